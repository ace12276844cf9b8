#include "evenrow/lr_find.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/throws_error.hpp"
#include "train/toy_data.hpp"

namespace evenrow {
namespace {

TrainOptions small() {
  TrainOptions options;
  options.hidden = {16, 8};
  options.batch_size = 32;
  options.optimizer.kind = OptimizerKind::sgd;
  options.threads = 1;
  return options;
}

TEST(LrFind, RatesGrowByOneFactorAndASuggestionTrains) {
  const Dataset data = three_clouds(300);
  TrainOptions options = small();
  const LearningRateCurve curve =
      find_learning_rate(data, options, {.from = 1e-5, .to = 1.0, .steps = 101});
  ASSERT_EQ(curve.points.size(), 101u);
  for (std::size_t i = 0; i < 101; ++i) {
    EXPECT_NEAR(std::log10(curve.points[i].learning_rate), -5.0 + 0.05 * static_cast<double>(i),
                1e-12);
    EXPECT_EQ(curve.points[i].step, static_cast<std::int64_t>(i));
  }
  // Smoothed over 101 / 40 = 2 steps on either side.
  double sum = 0;
  for (std::size_t i = 48; i <= 52; ++i) sum += curve.points[i].loss;
  EXPECT_NEAR(curve.points[50].smoothed_loss, sum / 5, 1e-12);
  EXPECT_EQ(curve.points[0].smoothed_loss, curve.points[0].loss);
  ASSERT_TRUE(curve.suggestion);
  EXPECT_EQ(*curve.suggestion, std::sqrt(*curve.steepest * *curve.lowest));
  EXPECT_LE(*curve.steepest, *curve.lowest);
  options.learning_rate = *curve.suggestion;
  EXPECT_GT(train(data, options).validation->accuracy, 0.8);
}

TEST(LrFind, IsTheSameAgainOnAnyNumberOfThreads) {
  const Dataset data = three_clouds(300);
  TrainOptions options = small();
  const LearningRateCurve one = find_learning_rate(data, options);
  options.threads = 3;
  options.epochs = 1;  // does not count
  options.learning_rate = 7;
  const LearningRateCurve three = find_learning_rate(data, options);
  ASSERT_EQ(one.points.size(), three.points.size());
  for (std::size_t i = 0; i < one.points.size(); ++i) {
    EXPECT_EQ(one.points[i].loss, three.points[i].loss) << i;
  }
}

TEST(LrFind, EndsWhereTheLossRunsAway) {
  TrainOptions options = small();
  options.norm = Norm::none;
  const LearningRateCurve curve =
      find_learning_rate(noisy_plane(300), options, {.from = 1e-4, .to = 1e6, .steps = 200});
  EXPECT_TRUE(curve.diverged);
  EXPECT_LT(curve.points.back().learning_rate, 1e3);
  ASSERT_TRUE(curve.suggestion);
  EXPECT_LT(*curve.suggestion, 1.0);
  // Nothing to learn from rates that are all too high.
  const LearningRateCurve high =
      find_learning_rate(noisy_plane(300), options, {.from = 1e8, .to = 1e9, .steps = 10});
  EXPECT_TRUE(high.diverged);
  EXPECT_FALSE(high.suggestion);
}

TEST(LrFind, StopsWhenAskedAndRefusesWhatIsNoSweep) {
  struct : TrainObserver {
    std::int64_t steps = 0;
    void on_step(const StepMetrics&) override { ++steps; }
    bool stop_requested() override { return steps == 5; }
  } observer;
  const Dataset data = three_clouds(60);
  const LearningRateCurve curve = find_learning_rate(data, small(), {}, &observer);
  EXPECT_TRUE(curve.stopped);
  EXPECT_EQ(curve.points.size(), 5u);
  EXPECT_THAT([&] { find_learning_rate(data, small(), {.from = 1, .to = 0.1}); },
              ThrowsError(ErrorKind::usage, "from 1 to 0.1: expected 0 < from < to"));
  EXPECT_THAT([&] { find_learning_rate(data, small(), {.steps = 3}); },
              ThrowsError(ErrorKind::usage, "steps is 3"));
}

}  // namespace
}  // namespace evenrow
