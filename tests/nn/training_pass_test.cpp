#include "evenrow/training_pass.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/random.hpp"
#include "evenrow/error.hpp"
#include "evenrow/inference_pass.hpp"
#include "kernels/gemm.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

struct Data {
  std::vector<float> x;
  std::vector<std::int32_t> classes;
  explicit Data(std::int64_t examples, std::int64_t inputs, std::int32_t outputs) {
    const core::RandomStream stream(9, core::Purpose::test, 1);
    for (std::int64_t i = 0; i < examples * inputs; ++i) {
      x.push_back(static_cast<float>(stream.normal(static_cast<std::uint64_t>(i))));
    }
    for (std::int64_t i = 0; i < examples; ++i) {
      classes.push_back(static_cast<std::int32_t>(i) % outputs);
    }
  }
  MiniBatch<float> batch() const { return {x, classes, {}}; }
};

NetworkSpec wide_spec(NormPlacement placement = NormPlacement::before_activation,
                      Activation activation = Activation::relu, double dropout = 0.2) {
  return {37,
          {DenseSpec{.units = 130,
                     .norm = Norm::batch,
                     .placement = placement,
                     .activation = activation,
                     .dropout = dropout},
           DenseSpec{.units = 65, .norm = Norm::batch, .activation = activation},
           DenseSpec{.units = 5}}};
}

// Its blocks of rows are larger than those of narrow layers, and the last one is smaller.
NetworkSpec widest_spec() {
  return {37,
          {DenseSpec{.units = 1100, .norm = Norm::batch, .activation = Activation::relu},
           DenseSpec{.units = 5}}};
}

// 130 wide, two residual blocks, norm and relu before the output.
NetworkSpec residual_spec(double dropout = 0.2) {
  NetworkSpec spec{37, {DenseSpec{.units = 130}}};
  append_residual_blocks(
      spec,
      DenseSpec{
          .units = 130, .norm = Norm::batch, .activation = Activation::relu, .dropout = dropout},
      std::vector<std::int64_t>{65, 70});
  spec.blocks.push_back(DenseSpec{.units = 5,
                                  .norm = Norm::batch,
                                  .placement = NormPlacement::before_linear,
                                  .input_activation = Activation::relu});
  return spec;
}

TEST(TrainingPass, SameBitsForAnyNumberOfThreads) {
  const Data data(101, 37, 5);
  for (const NetworkSpec& spec :
       {wide_spec(), wide_spec(NormPlacement::before_activation, Activation::gelu), residual_spec(),
        widest_spec()}) {
    std::vector<float> expected;
    double expected_loss = 0;
    for (const int threads : {1, 2, 3, 8}) {
      Network<float> network(spec, 4);
      TrainingPass<float> pass(spec, {.max_examples = 101, .seed = 1, .threads = threads});
      const PassResult result = pass.run(network, data.batch(), 7);
      const std::vector<float> gradients(pass.gradients().begin(), pass.gradients().end());
      if (threads == 1) {
        expected = gradients;
        expected_loss = result.loss;
      }
      EXPECT_EQ(result.loss, expected_loss) << threads;
      EXPECT_EQ(gradients, expected) << threads;
      // Summed by blocks of rows: a roundoff of 2^-53 for each of fewer than 2^16 squares.
      double squares = 0;
      for (const float g : gradients) squares += static_cast<double>(g) * static_cast<double>(g);
      EXPECT_NEAR(result.gradient_norm, std::sqrt(squares), 0x1p-37 * std::sqrt(squares));
    }
  }
}

TEST(TrainingPass, Bfloat16ProductsGiveNearlyTheSameGradientsOnAnyNumberOfThreads) {
  if (!kernels::HalfGemm::available()) {
    EXPECT_THAT([] { TrainingPass<float>(wide_spec(), {.precision = Precision::bf16}); },
                ThrowsError(ErrorKind::usage, "this processor does not multiply bfloat16"));
    return;
  }
  const Data data(101, 37, 5), fewer(60, 37, 5);
  for (const NetworkSpec& spec :
       {wide_spec(), wide_spec(NormPlacement::after_activation, Activation::gelu), residual_spec(),
        widest_spec()}) {
    const Network<float> network(spec, 4);
    std::vector<float> expected;
    for (const int threads : {1, 2, 3, 8}) {
      TrainingPass<float> pass(
          spec, {.max_examples = 101, .seed = 1, .threads = threads, .precision = Precision::bf16});
      pass.run(network, fewer.batch(), 6);  // other sizes in between
      pass.run(network, data.batch(), 7);
      const std::vector<float> gradients(pass.gradients().begin(), pass.gradients().end());
      if (threads == 1) expected = gradients;
      EXPECT_EQ(gradients, expected) << threads;
    }
    TrainingPass<float> exact(spec, {.max_examples = 101, .seed = 1, .threads = 2});
    exact.run(network, data.batch(), 7);
    // Each operand is off by 2^-9 of itself at most; on the way to a gradient lie at most 6
    // products forward and 6 back, of two operands each: 24 * 2^-9 of the norm, were no error ever
    // amplified. Batch norm divides by deviations that are errors' size too: twice that.
    double distance = 0, norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double g = exact.gradients()[i];
      distance += (expected[i] - g) * (expected[i] - g);
      norm += g * g;
    }
    EXPECT_LT(std::sqrt(distance / norm), 2 * 24 * 0x1p-9);
    EXPECT_GT(distance, 0) << "nothing was rounded";
  }
  EXPECT_THAT([] { TrainingPass<double>(wide_spec(), {.precision = Precision::bf16}); },
              ThrowsError(ErrorKind::usage, "precision bf16 is for networks of float"));
}

TEST(TrainingPass, RunningTwiceGivesTheSameAndTheStepSelectsTheDropoutMask) {
  const Data data(20, 37, 5);
  const NetworkSpec spec = wide_spec();
  const Network<float> network(spec, 4);
  TrainingPass<float> pass(spec, {.max_examples = 32, .threads = 1});
  const double first = pass.run(network, data.batch(), 0).loss;
  EXPECT_EQ(pass.run(network, data.batch(), 0).loss, first);
  EXPECT_NE(pass.run(network, data.batch(), 1).loss, first);
}

// With new_weight 1 the running statistics are the batch's, and inference must be what the
// training forward pass computed. Both compute (x - mean) * scale + shift in float from the same
// statistics in double, but inference folds the mean: two more roundings of terms of size
// |mean * scale| <= 8, in 3 blocks, carried on by weights whose absolute row sums are below 16:
// 8 * 2^-23 * 16^2 * 3 = 7e-4 at the very worst; the typical error is far smaller.
TEST(TrainingPass, InferenceEqualsTrainingWithBatchStatistics) {
  for (NetworkSpec spec :
       {wide_spec(NormPlacement::before_activation, Activation::tanh, 0.0),
        wide_spec(NormPlacement::after_activation, Activation::tanh, 0.0), residual_spec(0.0)}) {
    for (DenseSpec& block : spec.blocks) block.new_weight = 1.0;
    Network<float> network(spec, 4);
    const Data data(300, 37, 5);  // more than one task of inference
    TrainingPass<float> pass(spec, {.max_examples = 300, .threads = 2});
    pass.run(network, data.batch(), 0);
    pass.commit(network);
    EXPECT_EQ(network.running(1).updates, 1);
    std::vector<float> y(300 * 5), other(300 * 5);
    network.infer(data.x, y, 3);
    network.infer(data.x, other, 1);
    EXPECT_EQ(y, other);
    InferencePass<float>(network, {.max_examples = 300, .threads = 2}).run(data.x, other);
    EXPECT_EQ(y, other);
    for (std::size_t i = 0; i < 300; ++i) {
      for (std::size_t k = 0; k < 5; ++k) {
        ASSERT_NEAR(y[i * 5 + k], pass.outputs()[k * 300 + i], 7e-4);
      }
    }
  }
}

TEST(TrainingPass, AnObservedRunIsTheSameAndShowsItsBlocks) {
  const Data data(20, 37, 5);
  for (const NormPlacement placement :
       {NormPlacement::before_activation, NormPlacement::after_activation}) {
    const NetworkSpec spec = wide_spec(placement);
    const Network<float> network(spec, 4);
    TrainingPass<float> pass(spec, {.max_examples = 32, .threads = 1});
    EXPECT_THAT([&] { pass.block(0); }, ThrowsError(ErrorKind::usage, "after run_observed()"));
    const PassResult plain = pass.run(network, data.batch(), 3);
    const std::vector<float> gradients(pass.gradients().begin(), pass.gradients().end());
    const PassResult observed = pass.run_observed(network, data.batch(), 3);
    EXPECT_EQ(observed.loss, plain.loss);
    EXPECT_TRUE(std::ranges::equal(pass.gradients(), gradients));
    EXPECT_EQ(pass.block(0).activation_input.size(), 130u * 20);
    EXPECT_EQ(pass.block(0).mean.size(), 130u);
    EXPECT_TRUE(pass.block(2).mean.empty());
    EXPECT_TRUE(std::ranges::equal(pass.block(2).output, pass.outputs()));
    EXPECT_THAT([&] { pass.block(3); }, ThrowsError(ErrorKind::usage, "block 3 of 3"));
    pass.run(network, data.batch(), 3);
    EXPECT_THAT([&] { pass.block(0); }, ThrowsError(ErrorKind::usage, "after run_observed()"));
  }
}

TEST(TrainingPass, StatisticsAreStagedAndCommittedOnce) {
  const NetworkSpec spec = wide_spec();
  Network<float> network(spec, 4);
  const Data data(20, 37, 5);
  TrainingPass<float> pass(spec, {.max_examples = 20, .threads = 1});
  EXPECT_THROW(pass.commit(network), Error);
  pass.run(network, data.batch(), 0);
  EXPECT_EQ(network.running(0).updates, 0);
  pass.discard();
  EXPECT_THROW(pass.commit(network), Error);
  pass.run(network, data.batch(), 0);
  pass.run(network, data.batch(), 0);  // a recomputed forward pass counts once
  pass.commit(network);
  EXPECT_EQ(network.running(0).updates, 1);
  EXPECT_THROW(pass.commit(network), Error);
}

TEST(TrainingPass, OneExampleWithBatchNormIsRefusedByName) {
  const NetworkSpec spec = wide_spec();
  const Network<float> network(spec, 4);
  const Data data(1, 37, 5);
  TrainingPass<float> pass(spec, {.max_examples = 20, .threads = 1});
  EXPECT_THAT(
      [&] { pass.run(network, data.batch(), 0); },
      ThrowsError(ErrorKind::usage, "batch norm of block 0: the mini-batch has one example"));
  const NetworkSpec plain{37, {DenseSpec{.units = 5}}};
  TrainingPass<float> plain_pass(plain, {.max_examples = 20, .threads = 1});
  EXPECT_TRUE(plain_pass.run(Network<float>(plain, 1), data.batch(), 0).finite);
}

TEST(TrainingPass, NotFiniteIsReported) {
  const NetworkSpec spec = wide_spec();
  const Network<float> network(spec, 4);
  Data data(20, 37, 5);
  TrainingPass<float> pass(spec, {.max_examples = 20, .threads = 1});
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    data.x[3] = bad;
    EXPECT_FALSE(pass.run(network, data.batch(), 0).finite);
  }
}

TEST(TrainingPass, WrongArgumentsAreNamed) {
  const NetworkSpec spec = wide_spec();
  const Network<float> network(spec, 4);
  Data data(20, 37, 5);
  TrainingPass<float> pass(spec, {.max_examples = 16, .threads = 1});
  EXPECT_THAT([&] { pass.run(network, data.batch(), 0); },
              ThrowsError(ErrorKind::usage, "expected 1 to 16 examples of 37 inputs"));
  TrainingPass<float> large(spec, {.max_examples = 20, .threads = 1});
  data.classes[4] = 5;
  EXPECT_THAT([&] { large.run(network, data.batch(), 0); },
              ThrowsError(ErrorKind::usage, "class 5 of example 4, expected in [0, 5)"));
  data.classes.pop_back();
  EXPECT_THAT([&] { large.run(network, data.batch(), 0); },
              ThrowsError(ErrorKind::usage, "19 target classes"));
  const Network<float> other({37, {DenseSpec{.units = 5}}}, 1);
  EXPECT_THAT([&] { large.run(other, data.batch(), 0); },
              ThrowsError(ErrorKind::usage, "not the one that this pass was made for"));
  EXPECT_THAT([&] { TrainingPass<float>(spec, {.max_examples = 0}); },
              ThrowsError(ErrorKind::usage, "max_examples 0"));
}

}  // namespace
}  // namespace evenrow
