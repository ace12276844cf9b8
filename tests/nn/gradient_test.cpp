// Gradients of whole networks against central differences, in double: every activation, placement,
// loss and dropout, through the same fused path that trains in float.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "evenrow/training_pass.hpp"
#include "nn/names.hpp"

namespace evenrow {
namespace {

struct Case {
  Norm norm;
  NormPlacement placement;
  Activation activation;
  LossKind loss;
  double dropout;
  bool residual = false;
};

std::string describe(const Case& c) {
  return fmt::format("norm {} {}, {}, {}, dropout {}{}", core::name_of(c.norm),
                     core::name_of(c.placement), core::name_of(c.activation), core::name_of(c.loss),
                     c.dropout, c.residual ? ", residual" : "");
}

constexpr std::int64_t kInputs = 3, kOutputs = 3, kExamples = 7;

struct Problem {
  Network<double> network;
  std::vector<double> x, values;
  std::vector<std::int32_t> classes;
  TrainingPass<double> pass;

  explicit Problem(const Case& c)
      : network(spec_of(c), 11),
        pass(spec_of(c), {.loss = {.kind = c.loss,
                                   .label_smoothing = c.loss == LossKind::cross_entropy ? 0.1 : 0.0,
                                   .huber_delta = 0.5},
                          .max_examples = kExamples,
                          .seed = 5,
                          .threads = 1}) {
    const core::RandomStream stream(1, core::Purpose::test, 0);
    std::uint64_t at = 0;
    for (int i = 0; i < kInputs * kExamples; ++i) x.push_back(stream.normal(at++));
    for (int i = 0; i < kOutputs * kExamples; ++i) values.push_back(stream.uniform(at++));
    for (int i = 0; i < kExamples; ++i) classes.push_back(i % kOutputs);
    // gamma, beta and biases away from their start, where some derivatives vanish.
    for (const ParameterSlot& slot : network.slots()) {
      if (slot.kind == ParameterKind::weight) continue;
      for (std::int64_t i = 0; i < slot.size(); ++i) {
        network.parameters()[static_cast<std::size_t>(slot.offset + i)] +=
            0.3 * stream.normal(at++);
      }
    }
  }

  static NetworkSpec spec_of(const Case& c) {
    const DenseSpec hidden{.units = 5,
                           .norm = c.norm,
                           .placement = c.placement,
                           .activation = c.activation,
                           .dropout = c.dropout,
                           .eps = 1e-3};
    NetworkSpec spec{kInputs, {}};
    DenseSpec output{.units = kOutputs};
    if (c.placement == NormPlacement::before_linear) {  // the inputs come normalized
      output.norm = c.norm;
      output.placement = c.placement;
      output.input_activation = c.activation;
      spec.blocks.push_back(DenseSpec{.units = hidden.units});
    } else {
      spec.blocks.push_back(hidden);
    }
    if (c.residual) {  // two in a row, one about a single block that has an activation
      append_residual_blocks(spec, hidden, std::vector<std::int64_t>{4});
      DenseSpec single = hidden;
      single.residual = 1;
      spec.blocks.push_back(single);
    } else {
      spec.blocks.push_back(hidden);
      spec.blocks.back().units = 4;
    }
    spec.blocks.push_back(output);
    return spec;
  }

  PassResult run() { return pass.run(network, {x, classes, values}, 3); }
};

// D(h) = (L(w + h) - L(w - h)) / 2h has the truncation error c h^2 + O(h^4), so D(2h) - D(h) is
// three times that of D(h): the difference itself bounds it with room for the O(h^4). Rounding:
// each L is a sum of products about 100 operations deep, |error| <= 100 eps (1 + |L|), and the
// quotient magnifies it by 1 / h.
void check_gradients(const Case& c) {
  SCOPED_TRACE(describe(c));
  Problem problem(c);
  const PassResult base = problem.run();
  ASSERT_TRUE(base.finite);
  const std::vector<double> gradients(problem.pass.gradients().begin(),
                                      problem.pass.gradients().end());
  double squares = 0;
  for (const double g : gradients) squares += g * g;
  EXPECT_NEAR(base.gradient_norm, std::sqrt(squares), 1e-14 * base.gradient_norm);

  const double h = std::cbrt(std::numeric_limits<double>::epsilon());
  const double rounding =
      100 * std::numeric_limits<double>::epsilon() * (1 + std::abs(base.loss)) / h;
  double loosest = 0;
  const auto parameters = problem.network.parameters();
  for (const ParameterSlot& slot : problem.network.slots()) {
    for (std::int64_t i = 0; i < slot.size(); ++i) {
      const auto p = static_cast<std::size_t>(slot.offset + i);
      const double original = parameters[p];
      const auto difference = [&](double step) {
        parameters[p] = original + step;
        const double above = problem.run().loss;
        parameters[p] = original - step;
        const double below = problem.run().loss;
        parameters[p] = original;
        return (above - below) / (2 * step);
      };
      const double narrow = difference(h), wide = difference(2 * h);
      const double tolerance = std::abs(wide - narrow) + rounding;
      ASSERT_NEAR(gradients[p], narrow, tolerance) << slot.name << "[" << i << "]";
      loosest = std::max(loosest, tolerance);
    }
  }
  // The check has teeth: a mistake of a ten-thousandth of the gradient would be seen.
  EXPECT_LT(loosest, 1e-4 * base.gradient_norm);
}

TEST(NetworkGradient, AgreesWithCentralDifferencesForEveryBlockAndLoss) {
  int cases = 0;
  for (const Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu,
                                      Activation::gelu, Activation::tanh, Activation::sigmoid}) {
    for (const LossKind loss : {LossKind::cross_entropy, LossKind::binary_cross_entropy,
                                LossKind::squared_error, LossKind::huber}) {
      for (const double dropout : {0.0, 0.3}) {
        check_gradients({Norm::none, NormPlacement::before_activation, activation, loss, dropout});
        check_gradients({Norm::batch, NormPlacement::before_activation, activation, loss, dropout});
        check_gradients({Norm::batch, NormPlacement::after_activation, activation, loss, dropout});
        cases += 3;
      }
    }
  }
  EXPECT_EQ(cases, 144);
}

TEST(NetworkGradient, AgreesWithCentralDifferencesAroundAndBeforeTheLinearPart) {
  int cases = 0;
  for (const Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu,
                                      Activation::gelu, Activation::tanh, Activation::sigmoid}) {
    for (const double dropout : {0.0, 0.3}) {
      for (const bool residual : {false, true}) {
        for (const Norm norm : {Norm::none, Norm::batch}) {
          check_gradients({norm, NormPlacement::before_linear, activation, LossKind::cross_entropy,
                           dropout, residual});
          ++cases;
        }
      }
      for (const NormPlacement placement :
           {NormPlacement::before_activation, NormPlacement::after_activation}) {
        check_gradients(
            {Norm::batch, placement, activation, LossKind::squared_error, dropout, true});
        ++cases;
      }
    }
  }
  EXPECT_EQ(cases, 72);
}

// Closed forms for one normalized block under a linear loss head: the gradient with respect to a
// row's input sums to 0, so the weights of a constant input learn nothing.
TEST(NetworkGradient, BatchNormTakesAwayWhatAConstantInputAdds) {
  const NetworkSpec spec{2, {DenseSpec{.units = 4, .norm = Norm::batch}, DenseSpec{.units = 2}}};
  const Network<double> network(spec, 2);
  TrainingPass<double> pass(spec, {.max_examples = 6, .threads = 1});
  std::vector<double> x;
  for (int i = 0; i < 6; ++i) {
    x.push_back(0.7 * i - 1);
    x.push_back(5.0);  // the same for every example
  }
  const std::vector<std::int32_t> classes{0, 1, 1, 0, 1, 0};
  pass.run(network, {x, classes, {}}, 0);
  for (std::size_t unit = 0; unit < 4; ++unit) {
    const double varying = pass.gradients()[unit * 2], constant = pass.gradients()[unit * 2 + 1];
    // sum(dx) = 0 up to rounding: 6 terms of size |dx| times 5.
    EXPECT_NEAR(constant, 0.0, 64 * std::numeric_limits<double>::epsilon() * 5);
    EXPECT_NE(varying, 0.0);
  }
}

}  // namespace
}  // namespace evenrow
