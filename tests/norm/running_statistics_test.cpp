#include <gtest/gtest.h>

#include "norm_cases.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

TEST(RunningStatistics, StartAtZeroMeanAndUnitVariance) {
  const RunningStatistics running(3);
  EXPECT_EQ(running.mean, std::vector<double>(3, 0.0));
  EXPECT_EQ(running.variance, std::vector<double>(3, 1.0));
  EXPECT_EQ(running.updates, 0);
}

TEST(RunningStatistics, UpdateByTheEquationWithTheBiasedVariance) {
  RunningStatistics running(1, 0.25);
  const std::vector<float> x = {1, 3};  // mean 2, biased variance 1
  std::vector<float> y(2);
  const auto saved = batch_norm_train<float>({.x = x, .y = y, .shape = {1, 1, 2}});
  EXPECT_EQ(running.updates, 0);  // nothing is committed by the forward pass
  running.update(saved);
  EXPECT_EQ(running.mean[0], 0.75 * 0 + 0.25 * 2);
  EXPECT_EQ(running.variance[0], 0.75 * 1 + 0.25 * 1);
  running.update(saved);
  EXPECT_EQ(running.mean[0], 0.75 * 0.5 + 0.25 * 2);
  EXPECT_EQ(running.updates, 2);
}

TEST(RunningStatistics, WeightOneIsTheLastBatch) {
  RunningStatistics running(2, 1.0);
  running.update(std::vector<double>{3, 4}, std::vector<double>{5, 6});
  EXPECT_EQ(running.mean, (std::vector<double>{3, 4}));
  EXPECT_EQ(running.variance, (std::vector<double>{5, 6}));
}

TEST(RunningStatistics, AreAValue) {
  RunningStatistics running(1);
  RunningStatistics copy = running;
  copy.update(std::vector<double>{1}, std::vector<double>{1});
  EXPECT_EQ(running.updates, 0);
  EXPECT_EQ(running.mean[0], 0.0);
  EXPECT_EQ(copy.updates, 1);
}

TEST(RunningStatistics, RefuseOtherChannelsAndWeights) {
  RunningStatistics running(2);
  const std::vector<double> one = {1}, two = {1, 2};
  EXPECT_THAT(
      [&] { running.update(one, two); },
      ThrowsError(ErrorKind::usage, "of 2 channels cannot take batch statistics of 1 means"));
  EXPECT_THAT([&] { running.update(two, one); }, ThrowsError(ErrorKind::usage, "1 variances"));
  for (const double weight : {0.0, -0.1, 1.1, std::nan("")}) {
    running.new_weight = weight;
    EXPECT_THAT([&] { running.update(two, two); },
                ThrowsError(ErrorKind::usage, "expected in (0, 1]"));
  }
  EXPECT_EQ(running.updates, 0);
  EXPECT_EQ(running.mean, std::vector<double>(2, 0.0));
}

}  // namespace
}  // namespace evenrow
