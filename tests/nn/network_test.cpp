#include "evenrow/network.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "evenrow/inference_pass.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

const DenseSpec kNormalized{.units = 4, .norm = Norm::batch, .activation = Activation::relu};

TEST(NetworkSpec, ABiasDirectlyBeforeBatchNormIsRefusedWithTheReason) {
  DenseSpec block = kNormalized;
  EXPECT_FALSE(block.has_bias());
  block.bias = true;
  EXPECT_THAT(
      [&] {
        check(NetworkSpec{3, {kNormalized, block}});
      },
      ThrowsError(ErrorKind::usage,
                  "network block 1: a bias directly before batch norm does nothing"));
  block.placement = NormPlacement::after_activation;  // the activation is between them
  EXPECT_NO_THROW(check(NetworkSpec{3, {block}}));
  block.bias.reset();
  EXPECT_TRUE(block.has_bias());
  EXPECT_TRUE(DenseSpec{.units = 2}.has_bias());
}

TEST(NetworkSpec, EveryImpossibleNetworkIsRefusedByBlock) {
  const auto refused = [](const NetworkSpec& spec, const char* message) {
    EXPECT_THAT([&] { check(spec); }, ThrowsError(ErrorKind::usage, message));
  };
  refused({0, {kNormalized}}, "network: 0 inputs");
  refused({3, {}}, "no blocks");
  refused({3, {DenseSpec{.units = 0}}}, "block 0: 0 units");
  refused({3, {kNormalized, DenseSpec{.units = -1}}}, "block 1: -1 units");
  refused({std::int64_t{1} << 40, {DenseSpec{.units = std::int64_t{1} << 40}}}, "too many");
  refused({3, {DenseSpec{.units = 2, .dropout = 1.0}}}, "dropout 1, expected in [0, 1)");
  refused({3, {DenseSpec{.units = 2, .dropout = NAN}}}, "dropout nan");
  DenseSpec block = kNormalized;
  block.eps = -1;
  refused({3, {block}}, "eps -1");
  block = kNormalized;
  block.new_weight = 0;
  refused({3, {block}}, "new_weight 0");
  block = kNormalized;
  block.placement = NormPlacement::before_linear;
  refused({3, {block}}, "block 0: a norm or an activation before its linear part");
  refused({3, {DenseSpec{.units = 4, .input_activation = Activation::relu}}},
          "block 0: a norm or an activation before its linear part");
  block.residual = 2;
  refused({3, {kNormalized, block}}, "block 1: residual 2, expected 0 (none) to 1");
  block.residual = -1;
  refused({3, {kNormalized, block}}, "block 1: residual -1, expected 0 (none) to 1");
  block.residual = 1;
  block.units = 5;
  refused({3, {kNormalized, block}}, "adds the 4 outputs of block 0 to 5 units");
  block.units = 4;
  DenseSpec across = block;
  across.residual = 2;
  refused({3, {kNormalized, block, across}}, "reaches across block 1");
  EXPECT_NO_THROW(check(NetworkSpec{3, {kNormalized, block, block}}));
}

TEST(NetworkSpec, ResidualBlocksAreTwoDenseBlocksEach) {
  NetworkSpec spec{3, {DenseSpec{.units = 4}}};
  DenseSpec like = kNormalized;
  like.dropout = 0.25;
  append_residual_blocks(spec, like, std::vector<std::int64_t>{7, 9});
  ASSERT_EQ(spec.blocks.size(), 5u);
  check(spec);
  const DenseSpec inside{.units = 7,
                         .norm = Norm::batch,
                         .placement = NormPlacement::before_linear,
                         .activation = Activation::relu,
                         .dropout = 0.25};
  EXPECT_EQ(spec.blocks[1], inside);
  EXPECT_EQ(spec.blocks[2], (DenseSpec{.units = 4, .dropout = 0.25, .bias = false, .residual = 2}));
  EXPECT_EQ(spec.blocks[3].units, 9);
  // The norm is of what the block reads; the linear part after it has its bias.
  EXPECT_EQ(spec.norm_channels(1), 4);
  EXPECT_EQ(spec.norm_channels(2), 0);
  const Network<float> network(spec, 1);
  EXPECT_EQ(network.parameter(1, ParameterKind::gamma).size(), 4u);
  EXPECT_EQ(network.parameter(1, ParameterKind::bias).size(), 7u);
  EXPECT_EQ(network.running(1).mean.size(), 4u);
}

TEST(Network, StartsWithGammaOneBetaZeroBiasZeroAndScaledWeights) {
  const std::int64_t inputs = 400, units = 300;
  DenseSpec hidden = kNormalized;
  hidden.units = units;
  Network<double> network({inputs, {hidden, DenseSpec{.units = 10}}}, 3);
  for (const double gamma : network.parameter(0, ParameterKind::gamma)) EXPECT_EQ(gamma, 1.0);
  for (const double beta : network.parameter(0, ParameterKind::beta)) EXPECT_EQ(beta, 0.0);
  EXPECT_TRUE(network.parameter(0, ParameterKind::bias).empty());
  for (const double bias : network.parameter(1, ParameterKind::bias)) EXPECT_EQ(bias, 0.0);
  EXPECT_EQ(network.running(0).mean, std::vector<double>(300, 0.0));
  EXPECT_EQ(network.running(0).variance, std::vector<double>(300, 1.0));
  EXPECT_TRUE(network.running(1).mean.empty());
  // The variance of n normals has the relative standard error sqrt(2 / n): five of them.
  const auto variance = [&](std::size_t block) {
    double sum = 0;
    const auto weights = network.parameter(block, ParameterKind::weight);
    for (const double w : weights) sum += w * w;
    return sum / static_cast<double>(weights.size());
  };
  const double he = 2.0 / inputs, xavier = 2.0 / (units + 10);
  EXPECT_NEAR(variance(0), he, 5 * he * std::sqrt(2.0 / (inputs * units)));
  EXPECT_NEAR(variance(1), xavier, 5 * xavier * std::sqrt(2.0 / (units * 10)));
}

TEST(Network, IsAValue) {
  Network<float> original({3, {kNormalized, DenseSpec{.units = 2}}}, 3);
  Network<float> copy = original;
  copy.parameter(0, ParameterKind::gamma)[0] = 7;
  copy.running(0).mean[0] = 7;
  EXPECT_EQ(original.parameter(0, ParameterKind::gamma)[0], 1);
  EXPECT_EQ(original.running(0).mean[0], 0);
  const std::vector<float> x{1, 2, 3};
  std::vector<float> before(2), after(2);
  original.infer(x, before);
  copy.parameter(0, ParameterKind::weight)[0] += 1;
  original.infer(x, after);
  EXPECT_EQ(before, after);
}

TEST(Network, SlotsCoverAllParametersWithoutGaps) {
  const Network<float> network({3, {kNormalized, DenseSpec{.units = 2}}}, 3);
  std::int64_t end = 0;
  std::vector<std::string> names;
  for (const ParameterSlot& slot : network.slots()) {
    EXPECT_EQ(slot.offset, end);
    end += slot.size();
    names.push_back(slot.name);
  }
  EXPECT_EQ(end, static_cast<std::int64_t>(network.parameters().size()));
  EXPECT_EQ(names, (std::vector<std::string>{"blocks.0.weight", "blocks.0.gamma", "blocks.0.beta",
                                             "blocks.1.weight", "blocks.1.bias"}));
}

TEST(Network, InferRefusesSizesThatDoNotMatch) {
  const Network<float> network({3, {DenseSpec{.units = 2}}}, 3);
  std::vector<float> x(7), y(4);
  EXPECT_THAT([&] { network.infer(x, y); }, ThrowsError(ErrorKind::usage, "multiple of 3 inputs"));
  x.resize(6);
  y.resize(3);
  EXPECT_THAT([&] { network.infer(x, y); }, ThrowsError(ErrorKind::usage, "y 3"));
  EXPECT_THAT([&] { Network<float>().infer(x, y); }, ThrowsError(ErrorKind::usage, "no blocks"));
  EXPECT_NO_THROW(network.infer({}, {}));  // no examples: nothing to do
}

TEST(InferencePass, RefusesWhatItCannotDo) {
  const Network<float> network({3, {DenseSpec{.units = 2}}}, 3);
  EXPECT_THAT([&] { InferencePass<float>(network, {.max_examples = 0}); },
              ThrowsError(ErrorKind::usage, "max_examples 0"));
  EXPECT_THAT([&] { InferencePass<float>{Network<float>()}; },
              ThrowsError(ErrorKind::usage, "0 inputs"));
  InferencePass<float> pass(network, {.max_examples = 2});
  std::vector<float> x(9), y(6);
  EXPECT_THAT([&] { pass.run(x, y); }, ThrowsError(ErrorKind::usage, "expected at most 2"));
  EXPECT_THAT(
      [&] {
        pass.run({x.data(), 4}, y);
      },
      ThrowsError(ErrorKind::usage, "multiple of 3 inputs"));
}

// A hand-computed network: 2 inputs, one normalized unit with relu, one output.
TEST(Network, InferComputesTheFormula) {
  for (const double offset : {0.0, 1e6}) {  // folded, and centred because |mean| >> sigma
    Network<double> network(
        {2,
         {DenseSpec{.units = 1, .norm = Norm::batch, .activation = Activation::relu, .eps = 0.0},
          DenseSpec{.units = 1}}},
        1);
    network.parameter(0, ParameterKind::weight)[0] = 2;
    network.parameter(0, ParameterKind::weight)[1] = -1;
    network.parameter(0, ParameterKind::gamma)[0] = 3;
    network.parameter(0, ParameterKind::beta)[0] = 0.5;
    network.running(0).mean[0] = 1 + offset;
    network.running(0).variance[0] = 4;
    network.parameter(1, ParameterKind::weight)[0] = -2;
    network.parameter(1, ParameterKind::bias)[0] = 0.25;
    std::vector<double> y(2);
    network.infer(std::vector<double>{3 + offset, 1 + offset, -3 + offset, 1 + offset}, y);
    // z = 5, -7 (+ offset); normalized: 2, -4 -> 6.5, -11.5 -> 6.5, 0 -> -12.75, 0.25
    EXPECT_EQ(y, (std::vector<double>{-12.75, 0.25}));
  }
}

}  // namespace
}  // namespace evenrow
