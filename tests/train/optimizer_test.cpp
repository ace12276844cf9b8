// Optimizers over whole networks, step after step, and the learning rates of schedules. The updates
// themselves: tests/kernels/updates_test.cpp; agreement with PyTorch: tests/parity.
#include "evenrow/optimizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include "core/random.hpp"
#include "evenrow/error.hpp"
#include "support/running_error.hpp"
#include "support/throws_error.hpp"
#include "train/names.hpp"

namespace evenrow {
namespace {

NetworkSpec small_spec() {
  return {3,
          {DenseSpec{.units = 5, .norm = Norm::batch, .activation = Activation::relu},
           DenseSpec{.units = 2}}};
}

// Gradients of one step: functions of the step.
template <class T>
std::vector<T> gradients_of(const Network<T>& network, std::uint64_t step) {
  const core::RandomStream stream(5, core::Purpose::test, step);
  std::vector<T> gradients(network.parameters().size());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    gradients[i] = static_cast<T>(0.1 * stream.normal(i));
  }
  return gradients;
}

template <class T>
double norm_of(const std::vector<T>& gradients) {
  double squares = 0;
  for (const T g : gradients) squares += static_cast<double>(g) * static_cast<double>(g);
  return std::sqrt(squares);
}

template <class T>
std::vector<T> parameters_of(const Network<T>& network) {
  return {network.parameters().begin(), network.parameters().end()};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

std::vector<OptimizerKind> all_kinds() {
  std::vector<OptimizerKind> kinds;
  for (const auto& entry : core::EnumNames<OptimizerKind>::table) kinds.push_back(entry.value);
  return kinds;
}

// The formulas of optimizer.hpp for one parameter, as written there.
template <class T>
struct Formula {
  using B = Bounded<T>;
  OptimizerSpec spec;
  B w, m{}, s{};

  static B constant(double value) { return B::rounded(value); }

  // 1 / (1 - beta^t) or its square root, computed in double and rounded to T: exact but for T.
  static long double correction(double beta, int t) {
    return 1.0L - std::pow(static_cast<long double>(beta), t);
  }

  void step(T gradient, double learning_rate, double decay, int t) {
    const B lr = constant(learning_rate);
    B g = gradient;
    if (spec.kind == OptimizerKind::adamw) {
      w = w * constant(1.0 - learning_rate * decay);
    } else {
      g = g + constant(decay) * w;
    }
    switch (spec.kind) {
      case OptimizerKind::sgd:
        w = w - lr * g;
        break;
      case OptimizerKind::momentum:
        m = constant(spec.momentum) * m + g;
        w = w - lr * m;
        break;
      case OptimizerKind::nesterov:
        m = constant(spec.momentum) * m + g;
        w = w - lr * (g + constant(spec.momentum) * m);
        break;
      case OptimizerKind::rmsprop:
        s = constant(spec.rho) * s + (B(T(1)) - constant(spec.rho)) * (g * g);
        w = w - lr * g / (sqrt(s) + constant(spec.eps));
        break;
      case OptimizerKind::adam:
      case OptimizerKind::adamw: {
        m = constant(spec.beta1) * m + constant(1.0 - spec.beta1) * g;
        s = constant(spec.beta2) * s + constant(1.0 - spec.beta2) * (g * g);
        const B mean = m * rounded_from_double(1.0L / correction(spec.beta1, t), spec.beta1, t);
        const B root = sqrt(s) * rounded_from_double(1.0L / std::sqrt(correction(spec.beta2, t)),
                                                     spec.beta2, t);
        w = w - lr * mean / (root + constant(spec.eps));
        break;
      }
    }
  }

  // A function of 1 - beta^t: pow is within one unit in the last place of beta^t, 2^-52, which
  // grows by the cancellation in 1 - beta^t; then up to 4 roundings in double (the difference, a
  // root, a quotient, a product with the rate), and one to T.
  static B rounded_from_double(long double value, double beta, int t) {
    const long double relative = 0x1p-52L / correction(beta, t) + 4 * 0x1p-53L;
    return B::rounded(value, std::abs(value) * relative);
  }
};

template <class T>
void follows_its_formula(const OptimizerSpec& spec) {
  const double rate = 0.01;
  Network<T> network(small_spec(), 3);
  std::vector<Formula<T>> expected;
  for (const T w : network.parameters()) expected.push_back({spec, w});
  Optimizer<T> optimizer(network, spec);
  for (int t = 1; t <= 20; ++t) {
    const std::vector<T> gradients = gradients_of(network, static_cast<std::uint64_t>(t));
    optimizer.step(network, gradients, norm_of(gradients), rate);
    EXPECT_EQ(optimizer.steps(), t);
    for (const ParameterSlot& slot : network.slots()) {
      const bool decayed = slot.kind == ParameterKind::weight || spec.decay_all;
      for (std::int64_t k = 0; k < slot.size(); ++k) {
        const auto i = static_cast<std::size_t>(slot.offset + k);
        expected[i].step(gradients[i], rate, decayed ? spec.weight_decay : 0.0, t);
        ASSERT_TRUE(expected[i].w.holds(network.parameters()[i]))
            << slot.name << " " << k << " after step " << t << ": " << network.parameters()[i]
            << ", expected " << static_cast<double>(expected[i].w.value);
        // The bound itself stays a small part of what the steps have changed.
        ASSERT_LT(expected[i].w.error, 1e4L * std::numeric_limits<T>::epsilon());
      }
    }
  }
}

TEST(Optimizer, FollowsItsFormulaStepAfterStep) {
  for (const OptimizerKind kind : all_kinds()) {
    for (const double decay : {0.0, 0.1}) {
      for (const bool decay_all : {false, true}) {
        SCOPED_TRACE(std::string(core::name_of(kind)) + " decay " + std::to_string(decay));
        const OptimizerSpec spec{.kind = kind, .weight_decay = decay, .decay_all = decay_all};
        follows_its_formula<float>(spec);
        follows_its_formula<double>(spec);
      }
    }
  }
}

// With bias correction the first step of adam is lr * sign(g), whatever the size of g.
TEST(Optimizer, FirstStepOfAdamIsTheLearningRate) {
  for (const double size : {1e-3, 1.0, 1e3}) {
    Network<double> network(small_spec(), 3);
    const std::vector<double> before = parameters_of(network);
    Optimizer<double> optimizer(network, {.kind = OptimizerKind::adam});
    std::vector<double> gradients(before.size(), size);
    gradients[1] = -size;
    optimizer.step(network, gradients, norm_of(gradients), 0.25);
    // eps beside sqrt(s): 1e-8 / size, at most 1e-5 of the step.
    EXPECT_NEAR(network.parameters()[0] - before[0], -0.25, 0.25 * 1.1e-8 / size + 1e-14);
    EXPECT_NEAR(network.parameters()[1] - before[1], 0.25, 0.25 * 1.1e-8 / size + 1e-14);
  }
}

TEST(Optimizer, WeightDecayIsForWeightsUnlessAskedForAll) {
  for (const OptimizerKind kind : all_kinds()) {
    for (const bool decay_all : {false, true}) {
      Network<double> network(small_spec(), 3);
      for (double& w : network.parameters()) w = 0.5;
      Optimizer<double> optimizer(network,
                                  {.kind = kind, .weight_decay = 0.1, .decay_all = decay_all});
      const std::vector<double> none(network.parameters().size(), 0.0);
      optimizer.step(network, none, 0.0, 0.01);
      for (const ParameterSlot& slot : network.slots()) {
        const double w = network.parameters()[static_cast<std::size_t>(slot.offset)];
        if (slot.kind == ParameterKind::weight || decay_all) {
          EXPECT_LT(w, 0.5) << core::name_of(kind) << ' ' << slot.name;
        } else {
          EXPECT_EQ(w, 0.5) << core::name_of(kind) << ' ' << slot.name;
        }
      }
    }
  }
}

// Clipping to half the norm is a step with half the gradients, exactly; a norm that is not above
// the limit changes nothing.
TEST(Optimizer, ClipsTheNormExactlyWhenItExceeds) {
  for (const OptimizerKind kind : all_kinds()) {
    const auto stepped = [&](double clip_norm, float scale, double norm) {
      Network<float> network(small_spec(), 3);
      Optimizer<float> optimizer(network, {.kind = kind, .clip_norm = clip_norm});
      std::vector<float> gradients = gradients_of(network, 1);
      for (float& g : gradients) g *= scale;
      optimizer.step(network, gradients, norm, 0.05);
      return parameters_of(network);
    };
    const double norm = 3.0;
    const std::vector<float> whole = stepped(0.0, 1.0f, norm);
    EXPECT_TRUE(same_bits(stepped(norm, 1.0f, norm), whole)) << core::name_of(kind);
    EXPECT_TRUE(same_bits(stepped(2 * norm, 1.0f, norm), whole)) << core::name_of(kind);
    const std::vector<float> half = stepped(0.0, 0.5f, norm);
    EXPECT_TRUE(same_bits(stepped(norm / 2, 1.0f, norm), half)) << core::name_of(kind);
    EXPECT_FALSE(same_bits(half, whole)) << core::name_of(kind);
  }
}

// Decay is not part of the gradients whose norm is clipped.
TEST(Optimizer, ClippingLeavesWeightDecayAlone) {
  Network<double> network(small_spec(), 3);
  for (double& w : network.parameters()) w = 0.5;
  Optimizer<double> optimizer(network,
                              {.kind = OptimizerKind::sgd, .weight_decay = 0.5, .clip_norm = 0.25});
  const std::vector<double> ones(network.parameters().size(), 1.0);
  optimizer.step(network, ones, 1.0, 0.125);
  EXPECT_EQ(network.parameters()[0], 0.5 - 0.125 * (0.25 * 1.0 + 0.5 * 0.5));
}

TEST(Optimizer, RestoredStateGoesOnWithTheSameBits) {
  for (const OptimizerKind kind : all_kinds()) {
    Network<float> network(small_spec(), 3);
    Optimizer<float> optimizer(network, {.kind = kind});
    for (std::uint64_t t = 1; t <= 3; ++t) {
      optimizer.step(network, gradients_of(network, t), 1.0, 0.05);
    }
    Network<float> copy = network;
    Optimizer<float> restored(copy, optimizer.spec());
    restored.restore(optimizer.steps(), optimizer.first_moment(), optimizer.second_moment());
    for (std::uint64_t t = 4; t <= 6; ++t) {
      optimizer.step(network, gradients_of(network, t), 1.0, 0.05);
      restored.step(copy, gradients_of(copy, t), 1.0, 0.05);
    }
    EXPECT_TRUE(same_bits(parameters_of(network), parameters_of(copy))) << core::name_of(kind);
    EXPECT_EQ(restored.steps(), 6);
  }
}

TEST(Optimizer, KeepsOnlyTheMomentsThatItsMethodHas) {
  const Network<float> network(small_spec(), 3);
  const std::size_t size = network.parameters().size();
  const auto moments = [&](OptimizerKind kind) {
    const Optimizer<float> optimizer(network, {.kind = kind});
    return std::pair(optimizer.first_moment().size(), optimizer.second_moment().size());
  };
  using Sizes = std::pair<std::size_t, std::size_t>;
  EXPECT_EQ(moments(OptimizerKind::sgd), Sizes(0, 0));
  EXPECT_EQ(moments(OptimizerKind::momentum), Sizes(size, 0));
  EXPECT_EQ(moments(OptimizerKind::nesterov), Sizes(size, 0));
  EXPECT_EQ(moments(OptimizerKind::rmsprop), Sizes(0, size));
  EXPECT_EQ(moments(OptimizerKind::adam), Sizes(size, size));
  EXPECT_EQ(moments(OptimizerKind::adamw), Sizes(size, size));
}

TEST(Optimizer, RefusesAStateOfAnotherNetwork) {
  const Network<float> network(small_spec(), 3);  // 15 weights, 10 of batch norm, 10 + 2
  ASSERT_EQ(network.parameters().size(), 37u);
  Optimizer<float> optimizer(network, {.kind = OptimizerKind::adam});
  const std::vector<float> right(37), wrong(36);
  const auto restore = [&](std::int64_t steps, const std::vector<float>& first,
                           const std::vector<float>& second) {
    return [&optimizer, steps, &first, &second] { optimizer.restore(steps, first, second); };
  };
  EXPECT_THAT(restore(4, wrong, right),
              ThrowsError(ErrorKind::data,
                          "optimizer state: 36 first and 37 second moments after 4 "
                          "steps, expected 37 and 37"));
  EXPECT_THAT(restore(4, right, wrong), ThrowsError(ErrorKind::data, "37 first and 36 second"));
  EXPECT_THAT(restore(-1, right, right), ThrowsError(ErrorKind::data, "after -1 steps"));
  EXPECT_EQ(optimizer.steps(), 0);
}

TEST(Optimizer, RefusesGradientsOfAnotherNetwork) {
  Network<float> network(small_spec(), 3), other({2, {DenseSpec{.units = 2}}}, 3);
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adam}) {
    Optimizer<float> optimizer(network, {.kind = kind});
    const std::vector<float> few(36);
    EXPECT_THAT([&] { optimizer.step(network, few, 1.0, 0.1); },
                ThrowsError(ErrorKind::usage, "optimizer: 36 gradients for 37 parameters"));
    EXPECT_EQ(optimizer.steps(), 0);
  }
  Optimizer<float> of_other(other, {.kind = OptimizerKind::rmsprop});
  const std::vector<float> gradients(37);
  EXPECT_THAT([&] { of_other.step(network, gradients, 1.0, 0.1); },
              ThrowsError(ErrorKind::usage, "make one Optimizer from each network"));
}

TEST(Optimizer, RefusesSettingsOutOfRange) {
  const Network<float> network(small_spec(), 3);
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto made = [&](const OptimizerSpec& spec) {
    return [&network, spec] { Optimizer<float>(network, spec); };
  };
  EXPECT_THAT(made({.momentum = 1.0}),
              ThrowsError(ErrorKind::usage, "optimizer: momentum 1, expected in [0, 1)"));
  EXPECT_THAT(made({.momentum = nan}), ThrowsError(ErrorKind::usage, "momentum nan"));
  EXPECT_THAT(made({.rho = -0.1}),
              ThrowsError(ErrorKind::usage, "optimizer: rho -0.1, expected in [0, 1)"));
  EXPECT_THAT(made({.beta1 = 1.5}), ThrowsError(ErrorKind::usage, "beta1 1.5"));
  EXPECT_THAT(made({.beta2 = 1.0}), ThrowsError(ErrorKind::usage, "beta2 1"));
  EXPECT_THAT(made({.eps = -1e-8}),
              ThrowsError(ErrorKind::usage, "optimizer: eps -1e-08, expected finite and >= 0"));
  EXPECT_THAT(made({.weight_decay = infinity}),
              ThrowsError(ErrorKind::usage, "optimizer: weight decay inf"));
  EXPECT_THAT(made({.clip_norm = -1.0}), ThrowsError(ErrorKind::usage, "optimizer: clip norm -1"));
  EXPECT_NO_THROW(made({.momentum = 0.0, .rho = 0.0, .beta1 = 0.0, .beta2 = 0.0})());
}

// 60,000 weights are several tasks.
NetworkSpec large_spec() {
  return {300, {DenseSpec{.units = 200, .norm = Norm::batch}, DenseSpec{.units = 10}}};
}

TEST(Optimizer, UpdatesEveryParameterOnce) {
  for (const int threads : {1, 3}) {
    Network<float> network(large_spec(), 3);
    std::ranges::fill(network.parameters(), 0.5f);
    Optimizer<float> optimizer(network, {.kind = OptimizerKind::sgd});
    const std::vector<float> ones(network.parameters().size(), 1.0f);
    optimizer.step(network, ones, 1.0, 0.125, threads);
    EXPECT_THAT(network.parameters(), testing::Each(0.375f)) << threads;
  }
}

TEST(Optimizer, SameBitsForAnyNumberOfThreads) {
  const NetworkSpec spec = large_spec();
  for (const OptimizerKind kind : all_kinds()) {
    std::vector<float> expected;
    for (const int threads : {1, 2, 3, 8}) {
      Network<float> network(spec, 3);
      Optimizer<float> optimizer(network, {.kind = kind, .weight_decay = 0.01});
      for (std::uint64_t t = 1; t <= 2; ++t) {
        optimizer.step(network, gradients_of(network, t), 1.0, 0.05, threads);
      }
      if (threads == 1) expected = parameters_of(network);
      EXPECT_TRUE(same_bits(parameters_of(network), expected))
          << core::name_of(kind) << " on " << threads;
    }
  }
}

TEST(Optimizer, DefaultLearningRates) {
  EXPECT_EQ(default_learning_rate(OptimizerKind::sgd), 0.1);
  EXPECT_EQ(default_learning_rate(OptimizerKind::momentum), 0.02);
  EXPECT_EQ(default_learning_rate(OptimizerKind::nesterov), 0.02);
  EXPECT_EQ(default_learning_rate(OptimizerKind::rmsprop), 1e-3);
  EXPECT_EQ(default_learning_rate(OptimizerKind::adam), 1e-3);
  EXPECT_EQ(default_learning_rate(OptimizerKind::adamw), 1e-3);
}

constexpr double kRate = 0.25;
constexpr std::int64_t kStepsPerEpoch = 8, kEpochs = 5, kLast = kStepsPerEpoch * kEpochs - 1;

double rate_at(const ScheduleSpec& schedule, std::int64_t step) {
  return learning_rate_at(schedule, kRate, step, kStepsPerEpoch, kEpochs);
}

TEST(Schedule, Constant) {
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{17}, kLast}) {
    EXPECT_EQ(rate_at({}, step), kRate);
  }
}

TEST(Schedule, StepFallsAfterEveryStepEpochs) {
  const ScheduleSpec schedule{.kind = ScheduleKind::step, .step_epochs = 2, .step_factor = 0.5};
  EXPECT_EQ(rate_at(schedule, 0), kRate);
  EXPECT_EQ(rate_at(schedule, 15), kRate);
  EXPECT_EQ(rate_at(schedule, 16), kRate / 2);
  EXPECT_EQ(rate_at(schedule, 31), kRate / 2);
  EXPECT_EQ(rate_at(schedule, 32), kRate / 4);
  EXPECT_EQ(rate_at(schedule, kLast), kRate / 4);
}

TEST(Schedule, CosineFallsFromTheFullRateToTheLastStepBeforeZero) {
  const ScheduleSpec schedule{.kind = ScheduleKind::cosine};
  EXPECT_EQ(rate_at(schedule, 0), kRate);
  EXPECT_DOUBLE_EQ(rate_at(schedule, 20), kRate / 2);
  for (std::int64_t step = 1; step <= kLast; ++step) {
    EXPECT_LT(rate_at(schedule, step), rate_at(schedule, step - 1)) << step;
  }
  const double last = kRate / 2 * (1 + std::cos(std::numbers::pi * 39 / 40));
  EXPECT_GT(rate_at(schedule, kLast), 0.0);
  // 1 + cos cancels: an error of a few 2^-53 of 1.
  EXPECT_NEAR(rate_at(schedule, kLast), last, 8 * 0x1p-53 * kRate);
  EXPECT_NEAR(rate_at(schedule, kLast + 1), 0.0, 8 * 0x1p-53 * kRate);
  EXPECT_NEAR(rate_at(schedule, kLast + 100), 0.0, 8 * 0x1p-53 * kRate);
}

TEST(Schedule, WarmupRisesToTheFullRate) {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::step, ScheduleKind::cosine}) {
    const ScheduleSpec schedule{.kind = kind, .warmup_epochs = 2};
    EXPECT_EQ(rate_at(schedule, 0), kRate / 16);  // not 0: the first step counts
    EXPECT_EQ(rate_at(schedule, 7), kRate / 2);
    EXPECT_EQ(rate_at(schedule, 15), kRate);
    EXPECT_EQ(rate_at(schedule, 16), kRate);
  }
  // Cosine over the three epochs that remain.
  const ScheduleSpec cosine{.kind = ScheduleKind::cosine, .warmup_epochs = 2};
  EXPECT_DOUBLE_EQ(rate_at(cosine, 28), kRate / 2);
  EXPECT_NEAR(rate_at(cosine, kLast + 1), 0.0, 8 * 0x1p-53 * kRate);
}

TEST(Schedule, WarmupOfAPartOfAnEpochAndOfAllEpochs) {
  const ScheduleSpec part{.warmup_epochs = 0.25};  // two steps
  EXPECT_EQ(rate_at(part, 0), kRate / 2);
  EXPECT_EQ(rate_at(part, 1), kRate);
  EXPECT_EQ(rate_at(part, 2), kRate);
  const ScheduleSpec odd{.warmup_epochs = 0.3};  // 2.4 steps: never above the full rate
  EXPECT_EQ(rate_at(odd, 2), kRate);
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine}) {
    const ScheduleSpec all{.kind = kind, .warmup_epochs = 5};
    EXPECT_EQ(rate_at(all, kLast), kRate);
    EXPECT_TRUE(std::isfinite(rate_at(all, kLast + 1)));
  }
}

}  // namespace
}  // namespace evenrow
