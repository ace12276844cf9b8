// A training step allocates nothing once the first ones are done.
#include "support/allocations.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "core/random.hpp"
#include "evenrow/inference_pass.hpp"
#include "evenrow/optimizer.hpp"
#include "evenrow/training_pass.hpp"

namespace evenrow {
namespace {

NetworkSpec spec_with(Norm norm, NormPlacement placement, Activation activation) {
  const DenseSpec block{
      .units = 130, .norm = norm, .placement = placement, .activation = activation, .dropout = 0.2};
  return {37, {block, block, DenseSpec{.units = 5}}};
}

// Of forward, loss, backward, update and running statistics, after two such steps: in the first
// one the matrix products have their code made.
std::int64_t allocations_of_a_step(const NetworkSpec& spec, OptimizerKind kind, int threads) {
  constexpr std::int64_t kExamples = 101;
  const core::RandomStream stream(5, core::Purpose::test, 0);
  std::vector<float> x;
  for (std::int64_t i = 0; i < kExamples * spec.inputs; ++i) {
    x.push_back(static_cast<float>(stream.normal(static_cast<std::uint64_t>(i))));
  }
  std::vector<std::int32_t> classes;
  for (std::int32_t i = 0; i < kExamples; ++i) classes.push_back(i % 5);

  Network<float> network(spec, 4);
  TrainingPass<float> pass(spec, {.max_examples = kExamples, .threads = threads});
  Optimizer<float> optimizer(network, {.kind = kind, .clip_norm = 1.0});
  const auto step = [&](std::uint64_t number) {
    const PassResult result = pass.run(network, {.x = x, .classes = classes}, number);
    optimizer.step(network, pass.gradients(), result.gradient_norm, 1e-3, threads);
    pass.commit(network);
  };
  step(0);
  step(1);
  return allocations_of([&] { step(2); });
}

TEST(Allocation, IsCounted) {
  EXPECT_GT(allocations_of([] { std::vector<int> some(100); }), 0);
}

TEST(Allocation, OfAStep) {
  for (const Activation activation : {Activation::relu, Activation::gelu}) {
    for (const NormPlacement placement :
         {NormPlacement::before_activation, NormPlacement::after_activation}) {
      for (const Norm norm : {Norm::none, Norm::batch}) {
        for (const int threads : {1, 2}) {
          const NetworkSpec spec = spec_with(norm, placement, activation);
          EXPECT_EQ(allocations_of_a_step(spec, OptimizerKind::adam, threads), 0) << threads;
        }
      }
    }
  }
}

NetworkSpec residual_spec() {
  NetworkSpec spec{37, {DenseSpec{.units = 65}}};
  append_residual_blocks(
      spec, DenseSpec{.units = 65, .norm = Norm::batch, .activation = Activation::relu},
      std::vector<std::int64_t>{130, 130});
  spec.blocks.push_back(DenseSpec{.units = 5});
  return spec;
}

// Wide enough for operands that are copied to memory which a thread keeps.
TEST(Allocation, OfAWideNetwork) {
  const DenseSpec wide{.units = 1024, .norm = Norm::batch, .activation = Activation::relu};
  EXPECT_EQ(
      allocations_of_a_step({37, {wide, wide, DenseSpec{.units = 5}}}, OptimizerKind::adam, 2), 0);
}

TEST(Allocation, OfAResidualNetwork) {
  EXPECT_EQ(allocations_of_a_step(residual_spec(), OptimizerKind::adamw, 2), 0);
}

TEST(Allocation, OfInference) {
  for (const NetworkSpec& spec :
       {spec_with(Norm::batch, NormPlacement::before_activation, Activation::relu),
        spec_with(Norm::batch, NormPlacement::after_activation, Activation::gelu),
        residual_spec()}) {
    for (const std::int64_t examples : {1, 1000}) {
      InferencePass<float> pass(Network<float>(spec, 4), {.max_examples = examples, .threads = 2});
      const std::vector<float> x(static_cast<std::size_t>(examples * spec.inputs), 0.5f);
      std::vector<float> y(static_cast<std::size_t>(examples * spec.outputs()));
      pass.run(x, y);
      EXPECT_EQ(allocations_of([&] { pass.run(x, y); }), 0) << examples;
    }
  }
}

// Weights, gradients, two moments, and for each block what goes into batch norm and what comes out
// of the activation: no training with Adam keeps less. Ours has two more matrices in all.
TEST(Allocation, OfMemoryIsNearTheLeastThatAStepNeeds) {
  const DenseSpec block{.units = 256, .norm = Norm::batch, .activation = Activation::relu};
  const NetworkSpec spec{784, {block, block, block, block, DenseSpec{.units = 10}}};
  constexpr std::int64_t kExamples = 256;
  const std::int64_t before = allocated_bytes;
  const Network<float> network(spec, 4);
  const TrainingPass<float> pass(spec, {.max_examples = kExamples, .threads = 1});
  const Optimizer<float> optimizer(network, {.kind = OptimizerKind::adam});
  const std::int64_t found = allocated_bytes - before;
  std::int64_t values = 4 * std::ssize(network.parameters());
  for (const DenseSpec& b : spec.blocks) values += 2 * b.units * kExamples;
  EXPECT_LT(static_cast<double>(found), 1.1 * 4 * static_cast<double>(values));
}

TEST(Allocation, OfEveryOptimizer) {
  const NetworkSpec spec =
      spec_with(Norm::batch, NormPlacement::before_activation, Activation::relu);
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::momentum, OptimizerKind::nesterov,
        OptimizerKind::rmsprop, OptimizerKind::adam, OptimizerKind::adamw}) {
    EXPECT_EQ(allocations_of_a_step(spec, kind, 1), 0) << static_cast<int>(kind);
  }
}

}  // namespace
}  // namespace evenrow
