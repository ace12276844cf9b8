// What an observation says of a step, against the same computed the plain way.
#include "train/observe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/random.hpp"
#include "kernels/activations.hpp"
#include "train/metrics_json.hpp"
#include "train/toy_data.hpp"

namespace evenrow {
namespace {

using training::distribution_of;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// numpy.quantile([3, 1, 4, 1, 5, 9, 2, 6], [.01, .05, .25, .5, .75, .95, .99])
TEST(Distribution, QuantilesAreThoseOfNumPy) {
  const Distribution seen = distribution_of(std::vector<float>{3, 1, 4, 1, 5, 9, 2, 6});
  const std::vector<double> expected{1, 1, 1.75, 3.5, 5.25, 7.95, 8.79};
  for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(seen.quantiles[i], expected[i], 1e-14) << i;
  EXPECT_EQ(seen.count, 8);
  EXPECT_EQ(seen.mean, 31.0 / 8);
  EXPECT_NEAR(seen.variance, (173.0 - 31.0 * 31.0 / 8) / 8, 1e-14);
  EXPECT_EQ(seen.smallest, 1);
  EXPECT_EQ(seen.largest, 9);
  const Distribution one = distribution_of(std::vector<float>{7});
  EXPECT_THAT(one.quantiles, testing::Each(7.0));
  EXPECT_EQ(one.variance, 0);
}

// Of many values a sample is taken. The part of 4096 multiples of the golden ratio that lies below
// any p is within (3 + 3.52 log 4096) / 4096 = 0.008 of p (Kuipers and Niederreiter, "Uniform
// distribution of sequences", 1974, theorem 2.3.4 with K = 1); so is a quantile's rank, where
// values rise from the first to the last. Where they rise along each of 800 rows of 128 no theorem
// is at hand: a sample that kept step with the rows would miss by far more.
TEST(Distribution, QuantilesOfALargeTensorAreThoseOfItsSample) {
  constexpr std::size_t kRows = 800, kColumns = 128, kSize = kRows * kColumns;
  std::vector<float> rising(kSize), periodic(kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    rising[i] = static_cast<float>(i) / static_cast<float>(kSize);
    periodic[i] = static_cast<float>(i % kColumns) / static_cast<float>(kColumns);
  }
  for (const auto& values : {rising, periodic}) {
    const Distribution seen = distribution_of(values);
    for (std::size_t i = 0; i < 7; ++i) {
      EXPECT_NEAR(seen.quantiles[i], kObservedQuantiles[i], 0.008 + 1.0 / kColumns) << i;
    }
    EXPECT_EQ(seen.count, static_cast<std::int64_t>(kSize));
    EXPECT_NEAR(seen.mean, 0.5, 0.01);
    EXPECT_NEAR(seen.variance, 1.0 / 12, 1e-3);
  }
}

TEST(Distribution, OrdersEveryKindOfNumber) {
  const core::RandomStream stream(8, core::Purpose::test, 0);
  std::vector<float> values{-0.0F, 0.0F, 1e-45F, -1e-45F, 3e38F, -3e38F, kInfinity, -kInfinity};
  for (std::uint64_t i = values.size(); i < 1001; ++i) {
    values.push_back(
        static_cast<float>(std::ldexp(stream.normal(i), static_cast<int>(i % 200) - 99)));
  }
  const Distribution seen = distribution_of(values);
  std::ranges::sort(values);
  EXPECT_EQ(seen.smallest, -kInfinity);
  EXPECT_EQ(seen.largest, kInfinity);
  for (std::size_t i = 0; i < 7; ++i) {
    const auto rank = static_cast<std::size_t>(std::lround(kObservedQuantiles[i] * 1000));
    EXPECT_EQ(seen.quantiles[i], values[rank]) << i;  // each rank is a whole number
  }
}

TEST(Distribution, NaNAndInfinityAreNoTrap) {
  const Distribution some = distribution_of(std::vector<float>{kNaN, 2, kNaN, 1, 3});
  EXPECT_EQ(some.quantiles[3], 2);
  EXPECT_EQ(some.largest, 3);
  EXPECT_TRUE(std::isnan(some.mean));
  const Distribution none = distribution_of(std::vector<float>{kNaN, kNaN});
  EXPECT_TRUE(std::isnan(none.quantiles[0]));
  const Distribution infinite =
      distribution_of(std::vector<float>{kInfinity, kInfinity, kInfinity, -kInfinity, 0});
  EXPECT_EQ(infinite.largest, kInfinity);
  EXPECT_EQ(infinite.quantiles[3], kInfinity);
  // What JSON has no word for is null.
  Observation observation;
  observation.blocks.resize(1);
  observation.blocks[0].input = none;
  const auto text = training::to_json(observation).dump();
  EXPECT_THAT(text, testing::HasSubstr("\"mean\":null"));
}

struct ObservedStep {
  NetworkSpec spec;
  Network<float> network{spec, 4};
  TrainingPass<float> pass{spec, {.max_examples = 40, .seed = 1, .threads = 1}};
  std::vector<float> x;
  PassResult result;
  Observation seen;

  explicit ObservedStep(const DenseSpec& block) : spec{7, {block, block, DenseSpec{.units = 5}}} {
    const core::RandomStream stream(3, core::Purpose::test, 0);
    for (std::uint64_t i = 0; i < 33 * 7; ++i) x.push_back(static_cast<float>(stream.normal(i)));
    std::vector<std::int32_t> classes;
    for (std::int32_t i = 0; i < 33; ++i) classes.push_back(i % 5);
    // Running statistics and gammas that are not their first values; two units that are dead.
    for (int step = 0; step < 3; ++step) {
      pass.run(network, {.x = x, .classes = classes}, 0);
      pass.commit(network);
    }
    for (std::size_t b = 0; b < 2; ++b) {
      for (float& gamma : network.parameter(b, ParameterKind::gamma)) gamma += 0.25F;
      const auto shift = network.parameter(b, ParameterKind::beta);
      if (!shift.empty()) shift[3] = shift[5] = -50;
    }
    result = pass.run_observed(network, {.x = x, .classes = classes}, 9);
    seen = training::observe(pass, network, x, 2);
  }
};

TEST(Observe, SeesWhatTheNetworkComputed) {
  for (const Activation activation : {Activation::relu, Activation::tanh, Activation::gelu}) {
    for (const Norm norm : {Norm::none, Norm::batch}) {
      for (const NormPlacement placement :
           {NormPlacement::before_activation, NormPlacement::after_activation}) {
        const ObservedStep step(
            {.units = 9,
             .norm = norm,
             .placement = placement,
             .activation = activation,
             .dropout = placement == NormPlacement::after_activation ? 0.3 : 0});
        ASSERT_EQ(step.seen.blocks.size(), 3u);
        double squares = 0;
        for (std::size_t b = 0; b < 3; ++b) {
          const BlockObservation& seen = step.seen.blocks[b];
          const BlockView<float> view = step.pass.block(b);
          EXPECT_EQ(seen.block, static_cast<std::int64_t>(b));
          EXPECT_EQ(seen.units, step.spec.blocks[b].units);
          EXPECT_EQ(seen.input.count, 33 * (b == 0 ? 7 : 9));
          EXPECT_EQ(seen.activation_input.count, 33 * seen.units);
          const std::span<const float> input =
              b == 0 ? std::span<const float>(step.x) : step.pass.block(b - 1).output;
          EXPECT_EQ(seen.input.quantiles, distribution_of(input).quantiles);
          EXPECT_EQ(seen.activation_input.quantiles,
                    distribution_of(view.activation_input).quantiles);
          EXPECT_EQ(seen.norm.has_value(), norm == Norm::batch && b < 2);
          EXPECT_EQ(seen.dead_units.has_value(), activation == Activation::relu && b < 2);
          for (const auto& [kind, value] : seen.gradient_norms) squares += value * value;
          // The activation of what entered it is what left it.
          std::vector<float> again(view.activation_input.size());
          kernels::activate(step.spec.blocks[b].activation, view.activation_input.data(),
                            again.data(), std::ssize(again));
          const bool in_place = activation == Activation::gelu && norm == Norm::none &&
                                step.spec.blocks[b].dropout > 0;  // see BlockView
          EXPECT_NE(std::ranges::equal(again, view.activation_output), in_place) << b;
        }
        // All parameters belong to some block; sums in double.
        EXPECT_NEAR(std::sqrt(squares), step.result.gradient_norm,
                    1e-12 * step.result.gradient_norm);
      }
    }
  }
}

TEST(Observe, WhatEntersTheActivationComesFromTheLinearPart) {
  for (const Norm norm : {Norm::none, Norm::batch}) {
    const ObservedStep step({.units = 9, .norm = norm, .activation = Activation::relu});
    const auto weight = step.network.parameter(0, ParameterKind::weight);
    const auto gamma = step.network.parameter(0, ParameterKind::gamma);
    const auto beta = step.network.parameter(0, ParameterKind::beta);
    const BlockView<float> view = step.pass.block(0);
    for (std::size_t unit = 0; unit < 9; ++unit) {
      std::vector<double> z(33);
      double mean = 0, variance = 0;
      for (std::size_t i = 0; i < 33; ++i) {
        for (std::size_t k = 0; k < 7; ++k)
          z[i] += double{weight[unit * 7 + k]} * step.x[i * 7 + k];
        mean += z[i] / 33;
      }
      for (const double value : z) variance += (value - mean) * (value - mean) / 33;
      for (std::size_t i = 0; i < 33; ++i) {
        const double expected =
            norm == Norm::none
                ? z[i]
                : gamma[unit] * (z[i] - mean) / std::sqrt(variance + 1e-5) + beta[unit];
        // Sums of 7 products below 8 in float, then scaled by at most 3, then -50: 50 * 2^-23.
        EXPECT_NEAR(view.activation_input[unit * 33 + i], expected, 2e-5);
      }
    }
  }
}

TEST(Observe, BatchNormAgainstItsRunningStatistics) {
  const ObservedStep step({.units = 9, .norm = Norm::batch, .activation = Activation::relu});
  const BlockView<float> view = step.pass.block(1);
  const RunningStatistics& running = step.network.running(1);
  EXPECT_EQ(running.updates, 3);  // not the observed step's
  double shift = 0, ratio = 1;
  for (std::size_t c = 0; c < 9; ++c) {
    shift += std::pow(view.mean[c] - running.mean[c], 2) / (running.variance[c] + 1e-5) / 9;
    ratio *= std::pow((view.biased_variance[c] + 1e-5) / (running.variance[c] + 1e-5), 1.0 / 9);
  }
  const NormObservation& norm = *step.seen.blocks[1].norm;
  EXPECT_NEAR(norm.mean_shift, std::sqrt(shift), 1e-12);
  EXPECT_NEAR(norm.variance_ratio, ratio, 1e-12);
  EXPECT_EQ(norm.gamma.quantiles[3], 1.25);
  EXPECT_EQ(norm.beta.smallest, -50);
  EXPECT_EQ(step.seen.blocks[1].dead_units, 2);
}

struct Observations : TrainObserver {
  std::vector<Observation> seen;
  std::int64_t steps = 0;
  void on_observation(const Observation& observation) override {
    EXPECT_EQ(observation.step, steps);  // before the step is told
    seen.push_back(observation);
  }
  void on_step(const StepMetrics& metrics) override { steps = metrics.step + 1; }
};

void expect_no_bit_changed(TrainOptions options) {
  const Dataset data = three_clouds(300);
  const TrainResult plain = train(data, options);
  EXPECT_EQ(plain.observe_seconds, 0);
  const auto parameters = plain.model.network.parameters();
  std::string expected;
  for (const std::int64_t every : {1, 5}) {
    for (const int threads : {1, 3}) {
      options.observe = every;
      options.threads = threads;
      Observations log;
      const TrainResult result = train(data, options, nullptr, &log);
      EXPECT_TRUE(std::ranges::equal(result.model.network.parameters(), parameters));
      EXPECT_GT(result.observe_seconds, 0);
      EXPECT_LT(result.observe_seconds, result.step_seconds);
      ASSERT_EQ(std::ssize(log.seen), (2 * 17 + every - 1) / every);
      std::string text;
      for (Observation& observation : log.seen) {
        EXPECT_EQ(observation.epoch, observation.step / 17);
        observation.seconds = 0;
        if (observation.step % 5 == 0) text += training::to_json(observation).dump() + "\n";
      }
      if (expected.empty()) expected = text;
      EXPECT_EQ(text, expected) << every << ' ' << threads;
    }
  }
}

TEST(Observe, ChangesNoBitAndIsTheSameOnAnyNumberOfThreads) {
  TrainOptions options;
  options.hidden = {130, 70};
  options.batch_size = 16;
  options.epochs = 2;
  options.dropout = 0.2;
  options.threads = 1;
  expect_no_bit_changed(options);
  options.residual = true;
  options.hidden = {70, 130};  // wider inside
  expect_no_bit_changed(options);
}

}  // namespace
}  // namespace evenrow
