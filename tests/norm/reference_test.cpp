// The operator against the reference, over layouts, sizes, offsets, padding, weights and every
// element type.
#include <gtest/gtest.h>

#include "comparison.hpp"

namespace evenrow {
namespace {

// Small and odd shapes; rows around one leaf (1024, or 64 columns), chunks of leaves (512, 8192),
// many short segments; 65 channels; 1x1 images; one channel; more channels than a block (256).
const std::vector<NormShape>& shapes() {
  static const std::vector<NormShape> all = {
      {1, 1, 2},    {1, 3, 2},    {2, 1, 1},    {2, 3, 1},     {2, 3, 5},     {7, 2, 3},
      {1, 5, 127},  {1, 4, 1023}, {1, 3, 1024}, {1, 3, 1025},  {1, 2, 2049},  {3, 2, 1000},
      {32, 5, 49},  {50, 3, 7},   {100, 2, 21}, {1, 1, 70000}, {2, 2, 40000}, {9, 1, 333},
      {128, 10, 1}, {127, 16, 1}, {511, 3, 1},  {512, 7, 1},   {513, 9, 1},   {1500, 33, 1},
      {40, 65, 1},  {16, 300, 1}, {1025, 1, 1}, {64, 65, 4},   {8, 4, 1},     {700, 2, 2},
  };
  return all;
}

template <class T>
class Reference : public ::testing::Test {};
TYPED_TEST_SUITE(Reference, Elements);

TYPED_TEST(Reference, EveryLayout) {
  for (const NormShape& shape : shapes()) {
    for (const Activation activation : {Activation::none, Activation::relu}) {
      for (const bool residual : {false, true}) {
        NormCase<TypeParam> k(shape, 3, 2.5);
        k.options.activation = activation;
        if (residual) k.add_residual(3);
        expect_matches_reference(k, run(k));
      }
    }
  }
}

TYPED_TEST(Reference, EveryLayoutWithAMaskAndNaNInThePadding) {
  for (const NormShape& shape : shapes()) {
    for (const double part : {0.1, 0.6, 0.95}) {
      NormCase<TypeParam> k(shape, 4, -1);
      k.options.activation = part < 0.5 ? Activation::relu : Activation::none;
      k.mask = random_mask(shape.columns(), 5, part);
      k.poison_padding();
      expect_matches_reference(k, run(k));
    }
  }
}

TYPED_TEST(Reference, EveryLayoutWithWeights) {
  for (const NormShape& shape : shapes()) {
    NormCase<TypeParam> k(shape, 11, 1.5);
    k.options.activation = shape.outer % 2 == 0 ? Activation::relu : Activation::none;
    k.weights = random_weights(shape.columns(), 12, 0.7);
    k.add_residual(13);
    k.poison_padding();
    expect_matches_reference(k, run(k));
  }
}

// Weights of 1 and 0 are a mask; all of them doubled say the same.
TYPED_TEST(Reference, WeightsOfOneAreAMaskAndAFactorChangesNothing) {
  for (const NormShape& shape :
       {NormShape{7, 5, 20}, NormShape{1200, 5, 1}, NormShape{1, 3, 2500}}) {
    NormCase<TypeParam> masked(shape, 14, 2);
    masked.mask = random_mask(shape.columns(), 15);
    NormCase<TypeParam> weighted(shape, 14, 2);
    for (const std::uint8_t valid : masked.mask) weighted.weights.push_back(valid != 0 ? 1.0f : 0);
    const auto results = run(weighted);
    expect_matches_reference(masked, results);
    EXPECT_EQ(results.weight, static_cast<double>(masked.count()));
    EXPECT_EQ(results.count, masked.count());
    for (float& weight : weighted.weights) weight *= 2;
    const auto doubled = run(weighted);
    EXPECT_EQ(doubled.weight, 2 * results.weight);
    EXPECT_EQ(doubled.mean, results.mean);
    EXPECT_EQ(doubled.variance, results.variance);
    EXPECT_TRUE(same_bits(doubled.y, results.y));
    EXPECT_TRUE(same_bits(doubled.dx, results.dx));
  }
}

TYPED_TEST(Reference, SequencesWithLengths) {
  const std::vector<std::int64_t> lengths = {20, 0, 13, 1, 7, 20, 19};  // of 20 steps
  for (const NormShape& shape : {NormShape{7, 5, 20}, NormShape::channels_last(7, 20, 5),
                                 NormShape::feature_major(5, 140)}) {
    NormCase<TypeParam> k(shape, 6, 10);
    k.lengths = lengths;
    k.poison_padding();
    expect_matches_reference(k, run(k));
  }
}

TYPED_TEST(Reference, OffsetsUpTo1e30) {
  for (double offset = 1; offset < 2e30 && fits<TypeParam>(offset + 10); offset *= 10) {
    for (const NormShape& shape :
         {NormShape{1, 2, 1500}, NormShape{1100, 3, 1}, NormShape{40, 2, 31}}) {
      NormCase<TypeParam> k(shape, 7, offset);
      const auto results = run(k);
      expect_matches_reference(k, results);
      for (const double variance : results.variance) EXPECT_GE(variance, 0.0) << offset;
      for (const TypeParam y : results.y) ASSERT_TRUE(std::isfinite(as_real(y))) << offset;
    }
  }
}

TYPED_TEST(Reference, HugeAndTinySpreads) {
  // Up to squares that do not fit in float, down to variances far below eps.
  for (const double spread : {1e-30, 1e-10, 1e-3, 1e3, 1e5, 1e18, 1e20, 1e30}) {
    if (!fits<TypeParam>(8 * spread)) continue;
    for (const NormShape& shape :
         {NormShape{1, 2, 1100}, NormShape{5, 2, 300}, NormShape{600, 3, 1}}) {
      NormCase<TypeParam> k(shape, 8, spread, spread);
      expect_matches_reference(k, run(k));
    }
  }
}

// Neighbouring channels of which some are too large or too small for sums in float, or constant,
// and gradients that are: each one is summed as if it were alone.
TYPED_TEST(Reference, ChannelsOfEverySize) {
  const std::vector<double> sizes = {1, 1e20, 1e-25, 0, 1e-3, 1e-20, 1e4};
  for (const NormShape& shape :
       {NormShape{200, 19, 1}, NormShape{3, 19, 700}, NormShape{40, 19, 50}}) {
    NormCase<TypeParam> k(shape, 15);
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const double size = sizes[i % sizes.size()], gradient = sizes[i / 2 % sizes.size()];
      for (std::int64_t j = 0; j < shape.columns(); ++j) {
        TypeParam &x = k.x[k.at(j, c)], &dy = k.dy[k.at(j, c)];
        if (fits<TypeParam>(8 * size))
          x = rounded<TypeParam>(static_cast<double>(as_real(x)) * size);
        if (gradient <= 1) dy = rounded<TypeParam>(static_cast<double>(as_real(dy)) * gradient);
      }
    }
    const auto results = run(k);
    expect_matches_reference(k, results);
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      NormCase<TypeParam> other(shape, 15);
      for (std::int64_t j = 0; j < shape.columns(); ++j) {
        other.x[k.at(j, c)] = k.x[k.at(j, c)];
        other.dy[k.at(j, c)] = k.dy[k.at(j, c)];
      }
      const auto among_others = run(other);
      const auto i = static_cast<std::size_t>(c);
      EXPECT_EQ(among_others.mean[i], results.mean[i]) << c;
      EXPECT_EQ(among_others.variance[i], results.variance[i]) << c;
      EXPECT_EQ(among_others.dgamma[i], results.dgamma[i]) << c;
    }
  }
}

TYPED_TEST(Reference, OtherEps) {
  for (const double eps : {0.0, 1e-12, 1e-3, 1.0, 1e6}) {
    NormCase<TypeParam> k({3, 4, 50}, 9, 1);
    k.options.eps = eps;
    expect_matches_reference(k, run(k));
  }
}

TYPED_TEST(Reference, WithoutGammaAndBeta) {
  NormCase<TypeParam> k({5, 3, 11}, 10, 1);
  k.gamma.clear();
  k.beta.clear();
  const auto without = run(k);
  expect_matches_reference(k, without);
  k.gamma.assign(3, 1);
  k.beta.assign(3, 0);
  EXPECT_TRUE(run(k) == without);
}

}  // namespace
}  // namespace evenrow
