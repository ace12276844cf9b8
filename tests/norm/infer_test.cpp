#include <gtest/gtest.h>

#include "comparison.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

template <class T>
class Infer : public ::testing::Test {};
TYPED_TEST_SUITE(Infer, Elements);

template <class T>
std::vector<T> infer(const NormCase<T>& k, const RunOptions& how = {}) {
  NormMemory<T> memory(k, how);
  std::vector<T> y;
  memory.infer(y);
  return y;
}

TYPED_TEST(Infer, EveryLayoutAgainstTheReference) {
  for (const NormShape& shape :
       {NormShape{1, 6, 100}, NormShape{5, 6, 49}, NormShape{50, 6, 1}, NormShape{1, 6, 1},
        NormShape{3, 6, 12000}, NormShape{9000, 6, 1}, NormShape{0, 6, 4}}) {
    for (const bool masked : {false, true}) {
      NormCase<TypeParam> k(shape, 51, 1);
      k.options.activation = masked ? Activation::relu : Activation::none;
      if (masked && shape.columns() > 1) k.mask = random_mask(shape.columns(), 52);
      if (masked) k.add_residual(55);
      k.poison_padding();
      k.running_mean = {0, 1, -7, 9, 1000, 3e6};
      k.running_variance = {1, 0.5, 2, 1, 0.01, 0};
      const auto y = infer(k);
      Comparison<TypeParam>(k).infer(y);
      EXPECT_TRUE(same_bits(infer(k, {.threads = 3}), y));
      EXPECT_TRUE(same_bits(infer(k, {.threads = 2, .y = YIn::x}), y));
      EXPECT_TRUE(same_bits(infer(k, {.y = YIn::residual, .spacing = Spacing::outer_first}), y));
    }
  }
}

// The folded form beta - mean * scale cancels against x * scale where |mean| is large; the error
// must stay that of the centred one, far below the deviation.
TYPED_TEST(Infer, MeansFarFromZeroDoNotCancel) {
  for (double offset = 1; offset < 2e30 && fits<TypeParam>(offset + 10); offset *= 10) {
    NormCase<TypeParam> k({1, 2, 300}, 53, offset);
    const auto exact = kernels::reference::statistics(k.tensor());
    k.running_mean.assign(exact.mean.begin(), exact.mean.end());
    k.running_variance.assign(exact.variance.begin(), exact.variance.end());
    Comparison<TypeParam>(k).infer(infer(k));
  }
}

TYPED_TEST(Infer, EqualsTrainingWhenGivenTheBatchStatistics) {
  for (const NormShape& shape : {NormShape{1, 4, 700}, NormShape{6, 4, 49}, NormShape{300, 4, 1}}) {
    for (const double offset : {0.0, 5.0, 100.0, 1e6}) {
      if (!fits<TypeParam>(offset)) continue;
      NormCase<TypeParam> k(shape, 54, offset);
      k.options.activation = Activation::relu;
      const auto trained = run(k);
      k.running_mean = trained.mean;
      k.running_variance = trained.variance;
      const auto y = infer(k);
      // Where both are centred they have the same coefficients.
      if (offset >= 100) {
        EXPECT_TRUE(same_bits(y, trained.y)) << offset;
      }
      Comparison<TypeParam>(k).infer(y);
    }
  }
}

TYPED_TEST(Infer, NeedsOneFiniteMeanAndVarianceAChannel) {
  NormCase<TypeParam> k({2, 3, 4});
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const auto with = [&](std::vector<double> mean, std::vector<double> variance) {
    return [&k, mean, variance] {
      k.running_mean = mean;
      k.running_variance = variance;
      infer(k);
    };
  };
  using enum ErrorKind;
  EXPECT_THAT(with({1, 2}, {1, 1, 1}),
              ThrowsError(usage, "batch_norm_infer: mean has 2 values, expected 3"));
  EXPECT_THAT(with({1, 2, 3}, {}), ThrowsError(usage, "variance has 0 values, expected 3"));
  EXPECT_THAT(with({1, nan, 3}, {1, 1, 1}), ThrowsError(usage, "mean[1] is nan"));
  EXPECT_THAT(with({1, 2, infinity}, {1, 1, 1}), ThrowsError(usage, "mean[2] is inf"));
  EXPECT_THAT(with({1, 2, 3}, {-1e-9, 1, 1}), ThrowsError(usage, "variance[0] is -1e-09"));
  EXPECT_THAT(with({1, 2, 3}, {1, 1, nan}), ThrowsError(usage, "variance[2] is nan"));
}

}  // namespace
}  // namespace evenrow
