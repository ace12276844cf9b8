// Mistakes in the arguments of the operator: what the tables of its messages share.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "norm_cases.hpp"
#include "support/throws_error.hpp"

namespace evenrow {

// Arguments that are right; a case of the tables makes one of them wrong.
struct Arguments {
  std::vector<float> values = std::vector<float>(400);
  std::vector<std::uint8_t> mask = std::vector<std::uint8_t>(8, 1);
  std::vector<std::int64_t> lengths = {4, 2};
  std::vector<float> weights = std::vector<float>(8, 1.0f);
  std::vector<double> statistics = std::vector<double>(3, 1.0);
  NormOptions options{};
  BatchNormTrain<float> train;
  BatchNormBackward<float> backward;

  Arguments() {
    const std::span<float> all = values;
    const auto part = [&](std::size_t at, std::size_t n) { return all.subspan(at, n); };
    train = {.x = part(0, 24),
             .gamma = part(24, 3),
             .beta = part(27, 3),
             .y = part(30, 24),
             .shape = {2, 3, 4}};
    backward = {.x = part(0, 24),
                .dy = part(54, 24),
                .gamma = part(24, 3),
                .beta = part(27, 3),
                .dx = part(78, 24),
                .dgamma = part(102, 3),
                .dbeta = part(105, 3)};
  }
  std::span<float> part(std::size_t at, std::size_t n) {
    return std::span<float>(values).subspan(at, n);
  }
  void set_weight(std::size_t column, float weight) {
    weights[column] = weight;
    train.valid.weights = weights;
  }
};

struct Mistake {
  std::string name;
  std::function<void(Arguments&)> make;
  std::string message;  // a part of it
};

inline std::string mistake_name(const ::testing::TestParamInfo<Mistake>& info) {
  return info.param.name;
}

inline constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

inline void expect_refused_in_training(const Mistake& mistake) {
  Arguments a;
  mistake.make(a);
  const std::vector<float> before = a.values;
  EXPECT_THAT([&] { batch_norm_train(a.train, a.options); },
              ThrowsError(ErrorKind::usage, mistake.message));
  EXPECT_THAT([&] { batch_norm_train(a.train, a.options); },
              ThrowsError(ErrorKind::usage, "batch_norm_train: "));
  EXPECT_EQ(a.values, before);
}

inline void expect_refused_in_inference(const Mistake& mistake) {
  Arguments a;
  mistake.make(a);
  const auto infer = [&] {
    batch_norm_infer<float>({.x = a.train.x,
                             .gamma = a.train.gamma,
                             .beta = a.train.beta,
                             .residual = a.train.residual,
                             .mean = a.statistics,
                             .variance = a.statistics,
                             .y = a.train.y,
                             .shape = a.train.shape,
                             .valid = a.train.valid},
                            a.options);
  };
  EXPECT_THAT(infer, ThrowsError(ErrorKind::usage, mistake.message));
  EXPECT_THAT(infer, ThrowsError(ErrorKind::usage, "batch_norm_infer: "));
}

}  // namespace evenrow
