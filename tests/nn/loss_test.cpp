#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "evenrow/training_pass.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

double of_classes(std::vector<double> z, std::int32_t label, double smoothing = 0) {
  const std::vector<std::int32_t> classes{label};
  return loss<double>({.label_smoothing = smoothing}, z, 1, {.classes = classes, .values = {}});
}
double of_value(LossKind kind, double z, double target, double delta = 1) {
  const std::vector<double> output{z}, values{target};
  return loss<double>({.kind = kind, .huber_delta = delta}, output, 1, {{}, values});
}

constexpr double kUlp = std::numeric_limits<double>::epsilon();

TEST(Loss, CrossEntropyValuesAndStability) {
  EXPECT_NEAR(of_classes({0, 0}, 0), std::log(2.0), 2 * kUlp);
  EXPECT_NEAR(of_classes({1, 2, 3}, 0), std::log(std::exp(2.0) + std::exp(1.0) + 1), 8 * kUlp);
  EXPECT_EQ(of_classes({1000, 0}, 0), 0.0);
  EXPECT_EQ(of_classes({1000, 0}, 1), 1000.0);
  EXPECT_EQ(of_classes({-1e300, 0}, 1), 0.0);
  // smoothing 0.3 over 3 classes: q = (0.8, 0.1, 0.1); loss = lse - 0.8 * 1 - 0.1 * 2 - 0.1 * 3
  const double lse = std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0));
  EXPECT_NEAR(of_classes({1, 2, 3}, 0, 0.3), lse - 1.3, 16 * kUlp);
  EXPECT_TRUE(std::isnan(of_classes({NAN, 1}, 1)));
}

TEST(Loss, BinaryCrossEntropyValuesAndStability) {
  EXPECT_NEAR(of_value(LossKind::binary_cross_entropy, 0, 1), std::log(2.0), 2 * kUlp);
  EXPECT_EQ(of_value(LossKind::binary_cross_entropy, 1000, 1), 0.0);
  EXPECT_EQ(of_value(LossKind::binary_cross_entropy, 1000, 0), 1000.0);
  EXPECT_EQ(of_value(LossKind::binary_cross_entropy, -1000, 1), 1000.0);
  EXPECT_NEAR(of_value(LossKind::binary_cross_entropy, 2, 0.25),
              2 + std::log1p(std::exp(-2.0)) - 0.5, 4 * kUlp);
  EXPECT_TRUE(std::isnan(of_value(LossKind::binary_cross_entropy, NAN, 1)));
}

TEST(Loss, SquaredErrorAndHuberValues) {
  EXPECT_EQ(of_value(LossKind::squared_error, 3, 1), 4.0);
  EXPECT_EQ(of_value(LossKind::huber, 1.5, 1), 0.125);
  EXPECT_EQ(of_value(LossKind::huber, 4, 1), 2.5);
  EXPECT_EQ(of_value(LossKind::huber, -2, 1, 2.0), 2.0 * (3 - 1));
}

TEST(Loss, WrongArgumentsAreNamed) {
  const std::vector<double> z{1, 2}, values{1};
  const std::vector<std::int32_t> classes{0};
  const auto refused = [&](const LossSpec& spec, std::int64_t examples, const char* message) {
    EXPECT_THAT(
        [&] {
          loss<double>(spec, z, examples, {classes, values});
        },
        ThrowsError(ErrorKind::usage, message));
  };
  refused({.label_smoothing = 1.0}, 1, "label smoothing 1");
  refused({.kind = LossKind::huber, .label_smoothing = 0.1}, 1, "not with huber");
  refused({.kind = LossKind::huber, .huber_delta = 0}, 1, "huber delta 0");
  refused({}, 2, "cross_entropy over 1 output");
  refused({}, 3, "2 outputs cannot be those of 3 examples");
  refused({.kind = LossKind::squared_error}, 1, "1 target values, expected 1 examples x 2 outputs");
}

}  // namespace
}  // namespace evenrow
