// What must not change a single bit: threads, being in place, alignment, padding, layout.
#include <gtest/gtest.h>

#include "compacted.hpp"
#include "kernels/coefficients.hpp"
#include "kernels/rows.hpp"

namespace evenrow {
namespace {

template <class T>
class SameBits : public ::testing::Test {};
TYPED_TEST_SUITE(SameBits, Elements);

// Large enough for several tasks of every kind: chunks of a row, blocks of channels, leaves.
const std::vector<NormShape>& shapes() {
  static const std::vector<NormShape> all = {
      {1, 1, 140000}, {1, 2, 66001}, {1, 200, 150}, {20, 17, 130}, {300, 5, 49},
      {6, 300, 49},   {5, 140, 127}, {3, 130, 255}, {2, 2, 40000}, {3000, 9, 1},
      {600, 300, 1},  {2, 9000, 1},  {10, 4, 1},
  };
  return all;
}

TYPED_TEST(SameBits, AnyNumberOfThreadsInPlaceOrNotAlignedOrNot) {
  for (const NormShape& shape : shapes()) {
    // Plain; with a residual, so that a relu is kept as bits; that with a mask.
    for (const int kind : {0, 1, 2}) {
      NormCase<TypeParam> k(shape, 21, 4);
      if (kind > 0) k.add_residual(29);
      if (kind > 0) k.options.activation = Activation::relu;
      if (kind > 1) k.mask = random_mask(shape.columns(), 22);
      const auto one = run(k);
      for (const int threads : {2, 3, 8}) EXPECT_TRUE(run(k, {.threads = threads}) == one);
      EXPECT_TRUE(run(k, {.threads = 3, .y = YIn::x, .dx = DxIn::dy}) == one);
      EXPECT_TRUE(run(k, {.y = YIn::residual, .dx = DxIn::x, .dresidual_over_dy = true}) == one);
      EXPECT_TRUE(run(k, {.threads = 2, .misaligned = 1}) == one);
      EXPECT_TRUE(run(k, {.threads = 2, .spacing = Spacing::outer_first}) == one);
      EXPECT_TRUE(run(k, {.threads = 0, .spacing = Spacing::channel_first}) == one);
    }
  }
}

TYPED_TEST(SameBits, PaddingIsAsIfItWereNotThere) {
  for (const NormShape& shape : shapes()) {
    for (const double part : {0.02, 0.5, 0.99}) {
      NormCase<TypeParam> k(shape, 23, 4);
      k.mask = random_mask(shape.columns(), 24, part);
      k.poison_padding();
      EXPECT_TRUE(as_without_padding(k)) << shape_text(shape) << ' ' << part;
    }
    NormCase<TypeParam> k(shape, 23, 4);
    k.weights = random_weights(shape.columns(), 24, 0.6);
    k.poison_padding();
    EXPECT_TRUE(as_without_padding(k)) << shape_text(shape);
  }
}

TYPED_TEST(SameBits, LengthsAreAMask) {
  for (const NormShape& shape :
       {NormShape{6, 3, 40}, NormShape::channels_last(6, 40, 3), NormShape::feature_major(3, 240),
        NormShape{3, 3, 80}, NormShape{1, 1, 240}}) {
    NormCase<TypeParam> with_lengths(shape, 25, 4), with_mask(shape, 25, 4);
    with_lengths.lengths = {40, 3, 0, 39, 40, 1};
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      with_mask.mask.push_back(with_lengths.counts(j) ? 1 : 0);
    }
    EXPECT_TRUE(run(with_lengths) == run(with_mask));
    EXPECT_TRUE(as_without_padding(with_lengths));
  }
}

// Short segments are copied together into leaves: the same leaves as those of one long row.
TYPED_TEST(SameBits, ChannelsFirstIsFeatureMajor) {
  for (const NormShape& shape : {NormShape{300, 5, 49}, NormShape{64, 3, 1024}, NormShape{40, 2, 2},
                                 NormShape{2, 2, 40000}}) {
    const NormCase<TypeParam> k(shape, 26, 4);
    EXPECT_EQ(compacted(k).shape.outer, 1);
    EXPECT_TRUE(as_without_padding(k)) << shape_text(shape);
  }
}

// Chunks of a long row, by different threads, are subtrees of the one tree of the row kernels,
// which dense blocks use directly.
TYPED_TEST(SameBits, OperatorIsTheRowKernels) {
  for (const std::int64_t n : {500, 65536, 70001, 200000}) {
    const NormCase<TypeParam> k({1, 2, n}, 28, 4);
    const auto results = run(k, {.threads = 2});
    for (const std::int64_t c : {0, 1}) {
      const auto i = static_cast<std::size_t>(c);
      const TypeParam* const x = k.x.data() + c * n;
      const auto moments = kernels::row_moments(x, n);
      EXPECT_EQ(results.mean[i], moments.mean) << n;
      EXPECT_EQ(results.variance[i], moments.m2 / moments.count) << n;
      const double rstd = kernels::inverse_deviation(results.variance[i], k.options.eps);
      const auto sums =
          kernels::row_gradient_sums(x, k.dy.data() + c * n, n, results.mean[i], rstd);
      EXPECT_EQ(results.dbeta[i], static_cast<NormParameter<TypeParam>>(sums.dy)) << n;
      EXPECT_EQ(results.dgamma[i], static_cast<NormParameter<TypeParam>>(sums.dy_xhat)) << n;
    }
  }
}

TYPED_TEST(SameBits, RowsDoNotDependOnTheirNeighbours) {
  const NormCase<TypeParam> k({1, 7, 3000}, 27, 4), wide({2000, 67, 1}, 27, 4);
  for (const NormCase<TypeParam>* const all : {&k, &wide}) {
    const auto together = run(*all);
    for (const std::int64_t c : {std::int64_t{0}, all->shape.channels - 1}) {
      // Two equal channels beside each other: alone, a channel is a contiguous row in any layout.
      NormCase<TypeParam> pair({all->shape.outer, 2, all->shape.inner});
      for (std::int64_t j = 0; j < all->shape.columns(); ++j) {
        pair.x[pair.at(j, 0)] = pair.x[pair.at(j, 1)] = all->x[all->at(j, c)];
      }
      const auto alone = run(pair);
      EXPECT_EQ(alone.mean[0], together.mean[static_cast<std::size_t>(c)]);
      EXPECT_EQ(alone.variance[1], together.variance[static_cast<std::size_t>(c)]);
    }
  }
}

}  // namespace
}  // namespace evenrow
