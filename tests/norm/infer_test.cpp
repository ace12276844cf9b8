#include <gtest/gtest.h>

#include "norm_cases.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

template <class T>
class Infer : public ::testing::Test {};
using Elements = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Infer, Elements);

template <class T>
std::vector<T> infer(const NormCase<T>& k, const std::vector<double>& mean,
                     const std::vector<double>& variance, int threads = 1, bool in_place = false) {
  std::vector<T> y = in_place ? k.x : std::vector<T>(k.x.size(), T{77});
  NormOptions options = k.options;
  options.threads = threads;
  batch_norm_infer<T>({.x = in_place ? std::span<const T>(y) : std::span<const T>(k.x),
                       .gamma = k.gamma,
                       .beta = k.beta,
                       .mean = mean,
                       .variance = variance,
                       .y = y,
                       .shape = k.shape,
                       .valid = k.valid()},
                      options);
  return y;
}

// Error of inference, docs/numerics.md: folded (center 0) where |mean| <= 8 sqrt(var + eps), else
// centred.
template <class T>
Real infer_error(Real x, Real mean, Real variance, Real gamma, Real beta, Real eps) {
  const Real deviation = std::sqrt(variance + eps);
  const Real scale = deviation == 0 ? 0 : gamma / deviation;
  const Real center = std::abs(mean) <= 8 * deviation ? 0 : static_cast<T>(mean);
  const Real lost = (mean - center) * scale;
  return oracle::affine_error<T>((x - center) * scale, beta - lost) +
         6 * oracle::kDoubleUnit *
             (std::abs((x - center) * scale) + std::abs(beta) + std::abs(lost));
}

template <class T>
void expect_matches_reference(const NormCase<T>& k, const std::vector<double>& mean,
                              const std::vector<double>& variance, const std::vector<T>& y) {
  const auto expected = kernels::reference::normalize(
      k.tensor(), {{mean.begin(), mean.end()}, {variance.begin(), variance.end()}}, k.parameters());
  for (std::int64_t c = 0; c < k.shape.channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
      const std::size_t at = k.at(j, c);
      if (!k.counts(j)) {
        ASSERT_EQ(y[at], 0);
        continue;
      }
      ASSERT_LE(std::abs(y[at] - expected[at]),
                infer_error<T>(k.x[at], mean[i], variance[i], k.gamma[i], k.beta[i], k.options.eps))
          << "mean " << mean[i] << " variance " << variance[i];
    }
  }
}

TYPED_TEST(Infer, EveryLayoutAgainstTheReference) {
  for (const NormShape& shape :
       {NormShape{1, 6, 100}, NormShape{5, 6, 49}, NormShape{50, 6, 1}, NormShape{1, 6, 1},
        NormShape{3, 6, 12000}, NormShape{9000, 6, 1}, NormShape{0, 6, 4}}) {
    for (const bool masked : {false, true}) {
      NormCase<TypeParam> k(shape, 51, 1);
      k.options.activation = masked ? Activation::relu : Activation::none;
      if (masked && shape.columns() > 1) k.mask = random_mask(shape.columns(), 52);
      k.poison_padding();
      const std::vector<double> mean = {0, 1, -7, 9, 1000, 3e6};
      const std::vector<double> variance = {1, 0.5, 2, 1, 0.01, 0};
      const auto y = infer(k, mean, variance);
      expect_matches_reference(k, mean, variance, y);
      EXPECT_EQ(infer(k, mean, variance, 3), y);
      EXPECT_EQ(infer(k, mean, variance, 2, true), y);
    }
  }
}

// The folded form beta - mean * scale cancels against x * scale where |mean| is large; the error
// must stay that of the centred one, far below the deviation.
TYPED_TEST(Infer, MeansFarFromZeroDoNotCancel) {
  for (double offset = 1; offset < 2e30; offset *= 10) {
    const NormCase<TypeParam> k({1, 2, 300}, 53, offset);
    const auto exact = kernels::reference::statistics(k.tensor());
    const std::vector<double> mean(exact.mean.begin(), exact.mean.end());
    const std::vector<double> variance(exact.variance.begin(), exact.variance.end());
    expect_matches_reference(k, mean, variance, infer(k, mean, variance));
  }
}

TYPED_TEST(Infer, EqualsTrainingWhenGivenTheBatchStatistics) {
  for (const NormShape& shape : {NormShape{1, 4, 700}, NormShape{6, 4, 49}, NormShape{300, 4, 1}}) {
    for (const double offset : {0.0, 5.0, 100.0, 1e6}) {
      NormCase<TypeParam> k(shape, 54, offset);
      k.options.activation = Activation::relu;
      const auto trained = run(k);
      const auto y = infer(k, trained.mean, trained.variance);
      for (std::int64_t c = 0; c < 4; ++c) {
        const auto i = static_cast<std::size_t>(c);
        const auto bounds = oracle::moment_bounds(k.row(k.x, c), leaf_shape(shape));
        const Real eps = k.options.eps, gamma = k.gamma[i], beta = k.beta[i];
        for (std::int64_t j = 0; j < shape.columns(); ++j) {
          const Real x = k.x[k.at(j, c)];
          ASSERT_LE(std::abs(static_cast<Real>(y[k.at(j, c)]) - trained.y[k.at(j, c)]),
                    oracle::output_error<TypeParam>(bounds, x, gamma, beta, eps) +
                        infer_error<TypeParam>(x, trained.mean[i], trained.variance[i], gamma, beta,
                                               eps));
          if (offset >= 100) {  // both centred: the same coefficients
            ASSERT_EQ(y[k.at(j, c)], trained.y[k.at(j, c)]);
          }
        }
      }
    }
  }
}

TYPED_TEST(Infer, NeedsOneFiniteMeanAndVarianceAChannel) {
  const NormCase<TypeParam> k({2, 3, 4});
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const auto with = [&](std::vector<double> mean, std::vector<double> variance) {
    return [&k, mean, variance] { infer(k, mean, variance); };
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
