#include "tune/usable_range.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "evenrow/compare.hpp"

namespace evenrow {
namespace {

using testing::ElementsAre;

constexpr double kDiverged = -1.0;

TEST(RangeAbove, IsInterpolatedAroundTheHighest) {
  const std::vector<double> positions{-1, 0, 1, 3}, scores{0.5, 1.0, 0.75, 0.25};
  const auto expect = [&](double threshold, double low, double high, bool open_low,
                          bool open_high) {
    const auto range = tuning::range_above(positions, scores, threshold);
    ASSERT_TRUE(range);
    EXPECT_EQ(range->low, low);
    EXPECT_EQ(range->high, high);
    EXPECT_EQ(range->open_low, open_low);
    EXPECT_EQ(range->open_high, open_high);
  };
  expect(0.75, -0.5, 1.0, false, false);  // a score that is just good enough is inside
  expect(0.625, -0.75, 1.5, false, false);
  expect(0.5, -1.0, 2.0, true, false);
  expect(0.25, -1.0, 3.0, true, true);
  expect(1.0, 0.0, 0.0, false, false);
  EXPECT_FALSE(tuning::range_above(positions, scores, 1.01));
}

TEST(RangeAbove, EndsWhereItIsInterrupted) {
  const std::vector<double> positions{0, 1, 2, 3, 4}, scores{1.0, 0.0, 1.0, 2.0, 1.0};
  const auto range = tuning::range_above(positions, scores, 0.5);
  ASSERT_TRUE(range);
  EXPECT_EQ(range->low, 1.5);
  EXPECT_FALSE(range->open_low);
  EXPECT_TRUE(range->open_high);
  const std::vector<double> one{7.0};
  const auto single = tuning::range_above(one, one, 1.0);
  ASSERT_TRUE(single);
  EXPECT_EQ(single->high - single->low, 0.0);
  EXPECT_TRUE(single->open_low && single->open_high);
}

// Scores by norm, value and seed.
Comparison comparison_of(Vary vary, const std::vector<double>& values,
                         const std::vector<std::uint64_t>& seeds,
                         const std::vector<double>& scores) {
  Comparison comparison{.vary = vary, .values = values, .norms = {Norm::none, Norm::batch}};
  comparison.seeds = seeds;
  for (const double score : scores) {
    ComparedRun run;
    if (score != kDiverged) run.score = score;
    comparison.runs.push_back(run);
  }
  find_usable_ranges(comparison);
  return comparison;
}

TEST(UsableRange, IsOfAveragesInDecades) {
  const Comparison comparison =
      comparison_of(Vary::learning_rate, {0.01, 0.1, 1, 10}, {1, 2},
                    {0.80, 0.82, 0.90, 0.92, 0.85, 0.97, 0.5, kDiverged,  // 0.81 0.91 0.91 0.25
                     0.90, 0.90, 0.91, 0.93, 0.91, 0.91, 0.91, 0.91});    // 0.90 0.92 0.91 0.91
  EXPECT_NEAR(comparison.best_of_all, 0.92, 1e-12);
  ASSERT_EQ(comparison.usable.size(), 2u);
  const UsableRange& none = comparison.usable[0];
  EXPECT_NEAR(none.best, 0.91, 1e-12);
  // From 0.91 to 0.90: a tenth of the way to 0.81, and 1/66 of the way to 0.25.
  EXPECT_NEAR(std::log10(*none.low), -1.1, 1e-9);
  EXPECT_NEAR(std::log10(*none.high), 1.0 / 66, 1e-9);
  EXPECT_NEAR(none.size, 1.1 + 1.0 / 66, 1e-9);
  EXPECT_FALSE(none.open_low || none.open_high);
  const UsableRange& batch = comparison.usable[1];
  EXPECT_EQ(batch.high, 10.0);
  EXPECT_TRUE(batch.open_high);
  EXPECT_STREQ(unit_of(comparison.vary), "decades");
}

// With two seeds a draw has the first alone, the second alone (a quarter of the draws each) or
// both.
TEST(UsableRange, IntervalSpansWhatTheSeedsSay) {
  const std::vector<double> scores{0.90, 0.90, 0.80, 0.90, 0.10, 0.90,   // one seed 0.2, other 2
                                   0.90, 0.90, 0.90, 0.90, 0.90, 0.90};  // always 2
  const Comparison comparison = comparison_of(Vary::batch_size, {8, 16, 32}, {1, 2}, scores);
  EXPECT_NEAR(comparison.usable[0].interval_low, 0.2, 1e-9);
  EXPECT_NEAR(comparison.usable[0].interval_high, 2.0, 1e-9);
  EXPECT_EQ(comparison.usable[1].interval_low, 2.0);
  EXPECT_EQ(comparison.usable[1].interval_high, 2.0);
  EXPECT_STREQ(unit_of(comparison.vary), "doublings");
  const Comparison again = comparison_of(Vary::batch_size, {8, 16, 32}, {1, 2}, scores);
  EXPECT_EQ(again.usable[0].interval_low, comparison.usable[0].interval_low);
}

TEST(UsableRange, IsEmptyForANormThatIsNeverGoodEnough) {
  const Comparison comparison =
      comparison_of(Vary::depth, {1, 2}, {1}, {0.5, kDiverged, 0.9, 0.895});
  EXPECT_FALSE(comparison.usable[0].low);
  EXPECT_EQ(comparison.usable[0].size, 0.0);
  EXPECT_EQ(comparison.usable[0].interval_high, 0.0);
  EXPECT_EQ(comparison.usable[1].size, 1.0);  // blocks
  const Comparison all = comparison_of(Vary::depth, {1}, {1}, {kDiverged, kDiverged});
  EXPECT_EQ(all.best_of_all, 0.0);
  EXPECT_EQ(all.usable[0].best, 0.0);
}

TEST(UsableRange, OfSeedsIsACount) {
  const Comparison comparison = comparison_of(
      Vary::seed, {1, 2, 3, 4}, {}, {0.85, 0.89, kDiverged, 0.91, 0.92, 0.92, 0.92, 0.92});
  EXPECT_EQ(comparison.usable[0].size, 1.0);
  EXPECT_EQ(comparison.usable[0].best, 0.91);
  EXPECT_EQ(comparison.usable[1].size, 4.0);
  EXPECT_EQ(comparison.usable[1].interval_low, 4.0);
  EXPECT_FALSE(comparison.usable[1].low);
}

}  // namespace
}  // namespace evenrow
