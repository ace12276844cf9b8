// The search itself: scales, sequences, what depends on what, and whether it finds anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <set>
#include <stdexcept>

#include "evenrow/tune.hpp"
#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"
#include "tune/samplers.hpp"
#include "tune/space.hpp"

namespace evenrow {
namespace {

Space square() {
  return {{.name = "x", .low = -5, .high = 5}, {.name = "y", .low = -5, .high = 5}};
}

double bowl(RunningTrial& trial) {
  const double x = trial.real("x") - 1, y = trial.real("y") + 2;
  return x * x + 3 * y * y;
}

TEST(Space, PositionsAndValuesAreInverse) {
  const Space space{
      {.name = "a", .low = -3, .high = 5},
      {.name = "b", .low = 1e-5, .high = 10, .scale = Scale::log},
      {.name = "c", .low = 0, .high = 0.9999, .scale = Scale::one_minus_log},
      {.name = "d", .type = ParameterType::integer, .low = -2, .high = 3},
      {.name = "e", .type = ParameterType::integer, .low = 1, .high = 512, .scale = Scale::log},
      {.name = "f", .type = ParameterType::categorical, .choices = {"u", "v", "w"}}};
  tuning::check(space);
  for (const Parameter& p : space) {
    for (int i = 0; i <= 20; ++i) {
      const double value = tuning::from_unit(p, i / 20.0);
      EXPECT_NEAR(tuning::from_unit(p, tuning::to_unit(p, value)), value, 1e-9) << p.name;
      if (p.type == ParameterType::real) {
        EXPECT_NEAR(tuning::to_unit(p, value), i / 20.0, 1e-9);
      }
    }
  }
  EXPECT_NEAR(tuning::from_unit(space[1], 0.5), 1e-2, 1e-12);
  EXPECT_NEAR(tuning::from_unit(space[2], 0.5), 0.99, 1e-12);
  // Every integer has its part of the scale: a sixth here.
  std::map<double, int> counts;
  for (int i = 0; i < 600; ++i) ++counts[tuning::from_unit(space[3], (i + 0.5) / 600)];
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 100, 1) << value;
}

TEST(Space, ValuesAreShownByWhatIsSearchedOfThem) {
  const Parameter decay{.name = "beta2", .high = 0.9999, .scale = Scale::one_minus_log};
  EXPECT_EQ(value_text(decay, 0.9999), "0.9999");
  EXPECT_EQ(value_text(decay, 0.99986754321), "0.999868");
  EXPECT_EQ(value_text(decay, 0.99999987654), "0.999999877");
  EXPECT_EQ(value_text(decay, 0.9), "0.9");
  EXPECT_EQ(value_text(decay, 0.98765), "0.9877");
  EXPECT_EQ(value_text(decay, 0), "0");
  EXPECT_EQ(value_text(decay, -20), "-20");
  EXPECT_EQ(value_text({.name = "x"}, 0.99986754321), "0.9999");
  EXPECT_EQ(value_text({.name = "n", .type = ParameterType::integer}, 123456), "123456");
  EXPECT_EQ(value_text({.name = "c", .type = ParameterType::categorical, .choices = {"a", "b"}}, 1),
            "b");
}

TEST(Space, BadOnesAreRefused) {
  const auto refused = [](const Parameter& parameter, const std::string& message) {
    EXPECT_THAT([&] { Tuner({parameter}, {}); }, ThrowsError(ErrorKind::usage, message));
  };
  refused({.name = "p", .low = 2, .high = 1},
          "parameter p: its range is empty: low is 2, high is 1");
  refused({.name = "p", .low = 0, .high = 1, .scale = Scale::log}, "a log scale cannot begin at 0");
  refused({.name = "p", .type = ParameterType::integer, .low = 0, .high = 9, .scale = Scale::log},
          "a log scale cannot begin at 0; expected low >= 1");
  refused({.name = "p", .type = ParameterType::integer, .low = 0.5, .high = 9},
          "expected whole numbers");
  refused({.name = "p", .low = 0, .high = 1, .scale = Scale::one_minus_log},
          "below 1, and high is 1");
  refused({.name = "p", .low = 0, .high = std::nan("")}, "not finite");
  refused({.name = "p", .type = ParameterType::categorical}, "has no choices");
  refused({.name = "p", .type = ParameterType::categorical, .choices = {"a", "a"}},
          "choice a twice");
  refused({.name = "p", .condition = Condition{"q"}},
          "depends on q, which does not come before it");
  EXPECT_THAT([] { Tuner({}, {}); }, ThrowsError(ErrorKind::usage, "no parameter"));
  EXPECT_THAT([] { Tuner(square(), {.lag = 0}); }, ThrowsError(ErrorKind::usage, "lag is 0"));
}

// Of the first 2^k points of any scrambled Sobol dimension one lies in each of 2^k equal intervals.
TEST(Sobol, EveryDimensionIsStratifiedForEverySeed) {
  for (const std::uint64_t seed : {1u, 2u, 77u}) {
    std::vector<std::set<int>> cells(21);
    for (int n = 0; n < 256; ++n) {
      const auto point = tuning::sobol_position(23, seed, n);
      for (std::size_t d = 0; d < 21; ++d) cells[d].insert(static_cast<int>(point[d] * 256));
      for (const double x : point) EXPECT_TRUE(x >= 0 && x < 1);
    }
    for (const auto& dimension : cells) EXPECT_EQ(dimension.size(), 256u);
  }
  EXPECT_NE(tuning::sobol_position(2, 1, 5), tuning::sobol_position(2, 2, 5));
}

// SobolEngine(21, scramble=False) of PyTorch 2.13: points 0 to 15, in sixteenths, and 1,000 to
// 1,003, in parts of 1,024.
TEST(Sobol, PointsAreThoseOfPyTorchBeforeScrambling) {
  using Points = std::vector<std::array<unsigned, tuning::kSobolDimensions>>;
  const Points first{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
                      {8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8},
                      {12, 4, 4, 4, 12, 12, 4, 12, 12, 12, 12, 12, 4, 4, 12, 4, 12, 4, 12, 4, 4},
                      {4, 12, 12, 12, 4, 4, 12, 4, 4, 4, 4, 4, 12, 12, 4, 12, 4, 12, 4, 12, 12},
                      {6, 6, 10, 14, 6, 2, 6, 14, 14, 10, 14, 6, 6, 10, 6, 14, 6, 14, 14, 2, 2},
                      {14, 14, 2, 6, 14, 10, 14, 6, 6, 2, 6, 14, 14, 2, 14, 6, 14, 6, 6, 10, 10},
                      {10, 2, 14, 10, 10, 14, 2, 2, 2, 6, 2, 10, 2, 14, 10, 10, 10, 10, 2, 6, 6},
                      {2, 10, 6, 2, 2, 6, 10, 10, 10, 14, 10, 2, 10, 6, 2, 2, 2, 2, 10, 14, 14},
                      {3, 5, 15, 7, 9, 5, 7, 15, 15, 5, 11, 1, 15, 15, 13, 15, 13, 13, 15, 5, 3},
                      {11, 13, 7, 15, 1, 13, 15, 7, 7, 13, 3, 9, 7, 7, 5, 7, 5, 5, 7, 13, 11},
                      {15, 1, 11, 3, 5, 9, 3, 3, 3, 9, 7, 13, 11, 11, 1, 11, 1, 9, 3, 1, 7},
                      {7, 9, 3, 11, 13, 1, 11, 11, 11, 1, 15, 5, 3, 3, 9, 3, 9, 1, 11, 9, 15},
                      {5, 3, 5, 9, 15, 7, 1, 1, 1, 15, 5, 7, 9, 5, 11, 1, 11, 3, 1, 7, 1},
                      {13, 11, 13, 1, 7, 15, 9, 9, 9, 7, 13, 15, 1, 13, 3, 9, 3, 11, 9, 15, 9},
                      {9, 7, 1, 13, 3, 11, 5, 13, 13, 3, 9, 11, 13, 1, 7, 5, 7, 7, 13, 3, 5},
                      {1, 15, 9, 5, 11, 3, 13, 5, 5, 11, 1, 3, 5, 9, 15, 13, 15, 15, 5, 11, 13}}};
  const Points late{{{225, 99,  531, 693, 287, 929, 47,  921,  513, 71, 87,
                      261, 165, 393, 147, 379, 737, 353, 1015, 743, 535},
                     {737, 611, 19,  181, 799, 417, 559, 409, 1,   583, 599,
                      773, 677, 905, 659, 891, 225, 865, 503, 231, 23},
                     {993, 355, 787, 949, 543, 161, 303, 153, 257, 839, 855,
                      517, 421, 137, 915, 123, 481, 97,  247, 999, 791},
                     {481, 867, 275, 437, 31,  673, 815, 665, 769, 327, 343,
                      5,   933, 649, 403, 635, 993, 609, 759, 487, 279}}};
  const auto expect_points = [](const Points& points, std::uint64_t from, int bits) {
    for (std::size_t i = 0; i < points.size(); ++i) {
      const std::uint64_t n = from + i, gray = n ^ (n >> 1);
      for (std::size_t d = 0; d < tuning::kSobolDimensions; ++d) {
        EXPECT_EQ(tuning::sobol_bits(d, gray), points[i][d] << (32 - bits)) << n << ", " << d;
      }
    }
  };
  expect_points(first, 0, 4);
  expect_points(late, 1000, 10);
}

// The first two dimensions are a (0, 2)-sequence: one point in every cell of 16 x 16.
TEST(Sobol, FirstTwoDimensionsFillEveryCell) {
  std::set<int> cells;
  for (int n = 0; n < 256; ++n) {
    const auto point = tuning::sobol_position(2, 9, n);
    cells.insert(static_cast<int>(point[0] * 16) * 16 + static_cast<int>(point[1] * 16));
  }
  EXPECT_EQ(cells.size(), 256u);
}

// A learning curve that falls to the bowl's height.
double curve(RunningTrial& trial) {
  const double end = bowl(trial);
  for (int step = 1; step <= 9; ++step) {
    if (trial.report(step, end + 10.0 / step)) return 0;
  }
  if (trial.number() % 13 == 7) throw std::runtime_error("fails");
  return end;
}

TEST(Tune, SameTrialsForAnyNumberOfJobs) {
  for (const Search search : {Search::random, Search::sobol, Search::tpe}) {
    for (const Pruner pruner : {Pruner::none, Pruner::asha}) {
      const TuneOptions options{.trials = 40, .search = search, .pruner = pruner, .seed = 5};
      const Study one = tune(square(), curve, options);
      for (const int jobs : {2, 4}) {
        TuneOptions more = options;
        more.jobs = jobs;
        const Study many = tune(square(), curve, more);
        ASSERT_EQ(many.trials.size(), 40u);
        for (std::size_t i = 0; i < 40; ++i) {
          EXPECT_EQ(one.trials[i].parameters, many.trials[i].parameters) << i;
          EXPECT_EQ(one.trials[i].intermediate, many.trials[i].intermediate) << i;
          EXPECT_EQ(one.trials[i].state, many.trials[i].state) << i;
          EXPECT_EQ(one.trials[i].value, many.trials[i].value) << i;
        }
      }
    }
  }
}

TEST(Tune, StoppedAndGoneOnWithGivesTheSameTrials) {
  const TemporaryFolder folder;
  TuneOptions options{.trials = 30, .pruner = Pruner::asha, .jobs = 3};
  const Study whole = tune(square(), curve, options);
  options.journal = folder / "journal.log";
  int asked = 0;
  const Study part = tune(square(), curve, options, [&] { return ++asked > 12; });
  EXPECT_LT(part.trials.size(), 20u);
  // A process that was killed leaves a trial that is running.
  Tuner(square(), options).ask();
  const Study rest = tune(square(), curve, options);
  const Study read = read_study(options.journal);
  ASSERT_EQ(rest.trials.size(), 30u);
  ASSERT_EQ(read.trials.size(), 30u);
  for (std::size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(whole.trials[i].parameters, rest.trials[i].parameters) << i;
    EXPECT_EQ(whole.trials[i].state, read.trials[i].state) << i;
    EXPECT_EQ(whole.trials[i].value, read.trials[i].value) << i;
    EXPECT_EQ(whole.trials[i].intermediate, read.trials[i].intermediate) << i;
  }
}

TEST(Tune, ObjectivesThatFailAreRecorded) {
  const auto objective = [](RunningTrial& trial) -> double {
    if (trial.number() == 1) throw std::runtime_error("no luck");
    if (trial.number() == 2) return std::nan("");
    if (trial.number() == 3 && trial.report(1, INFINITY)) return 0;
    return bowl(trial);
  };
  const Study study = tune(square(), objective, {.trials = 6});
  EXPECT_EQ(study.trials[1].state, TrialState::failed);
  EXPECT_EQ(study.trials[1].attributes.at("failure"), "\"no luck\"");
  EXPECT_EQ(study.trials[2].state, TrialState::failed);
  EXPECT_EQ(study.trials[3].state, TrialState::failed);
  EXPECT_EQ(ranking(study).size(), 6u);
  ASSERT_NE(best_trial(study), nullptr);
  const Study failed = tune(square(), [](RunningTrial&) { return std::nan(""); }, {.trials = 3});
  EXPECT_EQ(best_trial(failed), nullptr);
}

TEST(Tune, TpeFindsTheBowl) {
  for (const Direction direction : {Direction::minimize, Direction::maximize}) {
    const double sign = direction == Direction::minimize ? 1 : -1;
    const Study study = tune(square(), [&](RunningTrial& trial) { return sign * bowl(trial); },
                             {.trials = 80, .direction = direction});
    EXPECT_LT(sign * *best_trial(study)->value, 0.1);
  }
}

TEST(Tune, ParametersAreAskedByNameAndType) {
  const auto message = [](const std::function<void(RunningTrial&)>& use) {
    const Study study =
        tune(square(), [&](RunningTrial& trial) { return use(trial), 0.0; }, {.trials = 1});
    return study.trials[0].attributes.at("failure");
  };
  EXPECT_THAT(message([](RunningTrial& trial) { trial.integer("x"); }),
              testing::HasSubstr("parameter x is real, not integer"));
  EXPECT_THAT(message([](RunningTrial& trial) { trial.choice("nothing"); }),
              testing::HasSubstr("there is no parameter nothing"));
}

TEST(Asha, StopsTheWorseTwoThirdsAndNeverTheBest) {
  // Values fall from trial to trial, so each is the best so far: none is pruned.
  const Space space{{.name = "x"}};
  const auto run = [&](double sign, std::int64_t last_step = 0) {
    return tune(space,
                [&](RunningTrial& trial) {
                  const double value = sign * static_cast<double>(trial.number());
                  for (int step = 1; step <= 9; ++step) {
                    if (trial.report(step, value)) return 0.0;
                  }
                  return value;
                },
                {.trials = 30,
                 .search = Search::random,
                 .pruner = Pruner::asha,
                 .lag = 1,
                 .last_step = last_step});
  };
  for (const StudyTrial& trial : run(-1).trials) EXPECT_EQ(trial.state, TrialState::complete);
  // Rising: each is the worst so far.
  const Study rising = run(1);
  EXPECT_EQ(rising.trials[0].state, TrialState::complete);
  for (std::size_t i = 1; i < 30; ++i) {
    EXPECT_EQ(rising.trials[i].state, TrialState::pruned);
    EXPECT_EQ(rising.trials[i].intermediate.rbegin()->first, 1);
  }
  // Not at the last step, where nothing is left to be saved.
  EXPECT_EQ(run(1, 1).trials[29].intermediate.rbegin()->first, 3);
}

TEST(Importance, OfTheParameterThatCounts) {
  Space space = square();
  space.push_back(
      {.name = "c", .type = ParameterType::categorical, .choices = {"good", "bad", "worse"}});
  const auto share = [&](const std::function<double(RunningTrial&)>& objective) {
    return parameter_importance(tune(space, objective, {.trials = 100, .search = Search::sobol}));
  };
  const auto of_x = share([](RunningTrial& trial) { return std::abs(trial.real("x")); });
  ASSERT_EQ(of_x.size(), 3u);
  EXPECT_GT(of_x[0], 0.8);
  EXPECT_NEAR(of_x[0] + of_x[1] + of_x[2], 1.0, 1e-12);
  const auto of_c = share([](RunningTrial& trial) {
    return trial.choice("c") != "good" ? 1.0 + trial.real("y") / 100 : trial.real("y") / 100;
  });
  EXPECT_GT(of_c[2], 0.5);
  EXPECT_TRUE(parameter_importance(Study{}).empty());
}

}  // namespace
}  // namespace evenrow
