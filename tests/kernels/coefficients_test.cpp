// The coefficients of channels against their formulas in long double, on every target.
#include "kernels/coefficients.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernel_cases.hpp"
#include "support/norm_oracle.hpp"

namespace evenrow::kernels {
namespace {

using oracle::Real;

class Coefficients : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Coefficients, ::testing::ValuesIn(available_targets()),
                         target_test_name);

// Statistics of some channels: means near and far beside the deviation, variances down to 0.
template <class C>
struct Channels {
  std::int64_t n;
  Buffer<double> mean, variance, rstd, dbeta, dgamma;
  Buffer<C> gamma, beta;

  explicit Channels(std::int64_t channels)
      : n(channels),
        mean(n, 1),
        variance(n, 0),
        rstd(n, 1),
        dbeta(n, 2),
        dgamma(n, 3),
        gamma(n, 1),
        beta(n, 0) {
    fill_normal(mean.span(), 1);
    fill_normal(variance.span(), 2);
    fill_normal(dbeta.span(), 3, 0, 30);
    fill_normal(dgamma.span(), 4, 0, 30);
    fill_normal(gamma.span(), 5, 1);
    fill_normal(beta.span(), 6);
    const double scales[] = {1, 1e3, 1e-3, 1e8, 30};
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      mean[i] *= scales[i % 5];
      variance[i] = i % 7 == 3 ? 0 : variance[i] * variance[i] * scales[i % 3];
    }
  }
  Deviations deviations(double eps) { return {variance.data(), eps, rstd.data()}; }
  Normalization<C> with(double eps, bool parameters = true) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      rstd[i] = inverse_deviation(variance[i], eps);
    }
    return {mean.data(), rstd.data(), parameters ? gamma.data() : nullptr,
            parameters ? beta.data() : nullptr};
  }
};

template <class C>
struct Forward {
  Buffer<C> center, scale, shift;
  explicit Forward(std::int64_t n) : center(n, 1), scale(n, 2), shift(n, 3) {}
  ChannelAffine<C> k() { return {center.data(), scale.data(), shift.data()}; }
  bool untouched() const { return center.untouched() && scale.untouched() && shift.untouched(); }
};

Real exact_rstd(Real variance, Real eps) {
  return variance + eps == 0 ? 0 : 1 / std::sqrt(variance + eps);
}

// `error` of what was computed in double; then it is rounded to C.
template <class C>
Real rounded_error(Real value, Real error) {
  return error + (oracle::kUnit<C>)*(std::abs(value) + error) +
         std::numeric_limits<C>::denorm_min();
}

template <class C>
void forward_formulas() {
  const Real u = oracle::kDoubleUnit;
  for (const std::int64_t n : {0, 1, 2, 3, 7, 8, 9, 31, 64, 67}) {
    Channels<C> channels(n);
    for (const double eps : {0.0, 1e-5, 2.0}) {
      for (const bool parameters : {true, false}) {
        for (const bool infer : {false, true}) {
          Forward<C> k(n);
          const Normalization<C> with = channels.with(eps, parameters);
          const Buffer<double> expected = channels.rstd;
          fill_normal(channels.rstd.span(), 7);
          if (infer) {
            infer_coefficients<C>(n, channels.deviations(eps), with, k.k());
          } else {
            train_coefficients<C>(n, channels.deviations(eps), with, k.k());
            Forward<C> again(n);
            train_coefficients<C>(n, with, again.k());
            EXPECT_TRUE(same_bits<C>(again.center.span(), k.center.span()));
            EXPECT_TRUE(same_bits<C>(again.scale.span(), k.scale.span()));
            EXPECT_TRUE(same_bits<C>(again.shift.span(), k.shift.span()));
          }
          EXPECT_TRUE(same_bits<double>(channels.rstd.span(), expected.span()));
          EXPECT_TRUE(k.untouched() && channels.rstd.untouched());
          for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
            const Real mean = channels.mean[i], variance = channels.variance[i];
            const Real gamma = parameters ? Real{channels.gamma[i]} : 1;
            const Real beta = parameters ? Real{channels.beta[i]} : 0;
            const Real scale = gamma * exact_rstd(variance, eps);
            const double deviation = std::sqrt(channels.variance[i] + eps);
            const bool folded = infer && std::abs(channels.mean[i]) <= 8 * deviation;
            const Real center = folded ? C{0} : static_cast<C>(channels.mean[i]);
            ASSERT_EQ(k.center[i], center) << n << ' ' << i;
            // Sum, root, quotient, product: four roundings, half of the first.
            ASSERT_LE(std::abs(k.scale[i] - scale),
                      rounded_error<C>(scale, 4 * u * std::abs(scale)))
                << n << ' ' << i;
            const Real lost = (mean - center) * scale;
            ASSERT_LE(std::abs(k.shift[i] - (beta - lost)),
                      rounded_error<C>(beta - lost, 7 * u * (std::abs(beta) + std::abs(lost))))
                << n << ' ' << i;
          }
        }
      }
    }
  }
}
TEST_P(Coefficients, ForwardFloat) {
  forward_formulas<float>();
}
TEST_P(Coefficients, ForwardDouble) {
  forward_formulas<double>();
}

template <class C>
void gradient_formulas() {
  const Real u = oracle::kDoubleUnit;
  for (const std::int64_t n : {0, 1, 2, 3, 7, 8, 9, 31, 64, 67}) {
    Channels<C> channels(n);
    for (const double eps : {0.0, 1e-5, 2.0}) {
      for (const double weight : {1.0, 100.0, 0.3}) {
        Buffer<C> center(n, 1), a(n, 0), b(n, 2), c(n, 3);
        gradient_coefficients<C>(n, channels.with(eps), channels.dbeta.data(),
                                 channels.dgamma.data(), weight,
                                 {center.data(), a.data(), b.data(), c.data()});
        EXPECT_TRUE(center.untouched() && a.untouched() && b.untouched() && c.untouched());
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
          const Real mean = channels.mean[i], rstd = exact_rstd(channels.variance[i], eps);
          const Real exact_a = channels.gamma[i] * rstd;
          const Real exact_b = -rstd * channels.dgamma[i] / weight;
          const Real rounded_mean = static_cast<C>(channels.mean[i]);
          const Real average = -Real{channels.dbeta[i]} / weight;
          const Real lost = exact_b * (mean - rounded_mean);
          ASSERT_EQ(center[i], rounded_mean);
          ASSERT_LE(std::abs(a[i] - exact_a), rounded_error<C>(exact_a, 4 * u * std::abs(exact_a)));
          ASSERT_LE(std::abs(b[i] - exact_b), rounded_error<C>(exact_b, 5 * u * std::abs(exact_b)));
          ASSERT_LE(std::abs(c[i] - (average - lost)),
                    rounded_error<C>(average - lost, 8 * u * (std::abs(average) + std::abs(lost))));
        }
      }
    }
  }
}
TEST_P(Coefficients, GradientFloat) {
  gradient_formulas<float>();
}
TEST_P(Coefficients, GradientDouble) {
  gradient_formulas<double>();
}

TEST_P(Coefficients, StatisticsAreFiniteAndNoVarianceIsNegative) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t n : {1, 2, 3, 7, 8, 9, 31}) {
    Channels<float> channels(n);
    const auto fine = [&] {
      return are_statistics(n, channels.mean.data(), channels.variance.data());
    };
    EXPECT_TRUE(fine());
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      for (const double wrong : {nan, infinity, -infinity}) {
        const double mean = std::exchange(channels.mean[i], wrong);
        EXPECT_FALSE(fine());
        channels.mean[i] = mean;
      }
      for (const double wrong : {nan, infinity, -1e-300}) {
        const double variance = std::exchange(channels.variance[i], wrong);
        EXPECT_FALSE(fine());
        channels.variance[i] = variance;
      }
      for (const double right : {0.0, -0.0, std::numeric_limits<double>::max()}) {
        const double variance = std::exchange(channels.variance[i], right);
        EXPECT_TRUE(fine());
        channels.variance[i] = variance;
      }
    }
  }
  EXPECT_TRUE(are_statistics(0, nullptr, nullptr));
}

// A row without any variance, and eps = 0: scale 0, so that y is beta and dx is 0.
TEST_P(Coefficients, NoVarianceAndNoEps) {
  const double mean = 3.7, variance = 0, dbeta = 5, dgamma = 0;
  const float gamma = 2, beta = 0.25f;
  double rstd = 1;
  const Deviations deviations{&variance, 0.0, &rstd};
  const Normalization<float> with{&mean, &rstd, &gamma, &beta};
  for (const bool infer : {false, true}) {
    Affine<float> k;
    const ChannelAffine<float> of{&k.center, &k.scale, &k.shift};
    infer ? infer_coefficients<float>(1, deviations, with, of)
          : train_coefficients<float>(1, deviations, with, of);
    EXPECT_EQ(rstd, 0.0);
    EXPECT_EQ(k.center, 3.7f);
    EXPECT_EQ(k.scale, 0.0f);
    EXPECT_EQ(k.shift, 0.25f);
  }
  InputGradient<float> g;
  gradient_coefficients<float>(1, with, &dbeta, &dgamma, 4, {&g.center, &g.a, &g.b, &g.c});
  EXPECT_EQ(g.a, 0.0f);
  EXPECT_EQ(inverse_deviation(0.0, 0.0), 0.0);
  EXPECT_EQ(inverse_deviation(0.0, 0.25), 2.0);
}

// Folded up to |mean| = 8 / rstd, centred beyond.
TEST_P(Coefficients, InferenceFoldsUpToEightDeviations) {
  const std::vector<double> mean = {16, std::nextafter(16.0, 17.0), -16, -17, 0};
  const std::vector<double> variance(5, 3.0);
  std::vector<double> rstd(5);
  std::vector<float> center(5), scale(5), shift(5);
  infer_coefficients<float>(5, {variance.data(), 1.0, rstd.data()},
                            {mean.data(), rstd.data(), nullptr, nullptr},
                            {center.data(), scale.data(), shift.data()});
  EXPECT_EQ(center, (std::vector<float>{0, 16, 0, -17, 0}));
  EXPECT_EQ(scale, std::vector<float>(5, 0.5f));
  // What rounding 16 + 2^-48 to the center loses, times the scale.
  EXPECT_EQ(shift, (std::vector<float>{-8, -0x1p-49f, 8, 0, 0}));
}

template <class C>
void many_are_one_at_a_time() {
  for (const std::int64_t n : {2, 7, 17, 67}) {
    Channels<C> channels(n);
    for (const bool infer : {false, true}) {
      Forward<C> together(n), alone(n);
      const auto fill = [&](std::int64_t first, std::int64_t count, Forward<C>& to) {
        std::vector<double> rstd(static_cast<std::size_t>(count));
        const Deviations deviations{channels.variance.data() + first, 1e-5, rstd.data()};
        const Normalization<C> with{channels.mean.data() + first, rstd.data(),
                                    channels.gamma.data() + first, channels.beta.data() + first};
        const ChannelAffine<C> k{to.center.data() + first, to.scale.data() + first,
                                 to.shift.data() + first};
        infer ? infer_coefficients<C>(count, deviations, with, k)
              : train_coefficients<C>(count, deviations, with, k);
      };
      fill(0, n, together);
      for (std::int64_t c = 0; c < n; ++c) fill(c, 1, alone);
      EXPECT_TRUE(same_bits<C>(together.center.span(), alone.center.span()));
      EXPECT_TRUE(same_bits<C>(together.scale.span(), alone.scale.span()));
      EXPECT_TRUE(same_bits<C>(together.shift.span(), alone.shift.span()));
    }
    std::vector<C> together(static_cast<std::size_t>(4 * n)), alone = together;
    const auto fill = [&](std::int64_t first, std::int64_t count, std::vector<C>& to) {
      C* const k = to.data() + first;
      gradient_coefficients<C>(count,
                               {channels.mean.data() + first, channels.rstd.data() + first,
                                channels.gamma.data() + first, nullptr},
                               channels.dbeta.data() + first, channels.dgamma.data() + first, 77,
                               {k, k + n, k + 2 * n, k + 3 * n});
    };
    fill(0, n, together);
    for (std::int64_t c = 0; c < n; ++c) fill(c, 1, alone);
    EXPECT_TRUE(same_bits(together, alone));
  }
}
TEST_P(Coefficients, ManyChannelsAreOneAtATimeFloat) {
  many_are_one_at_a_time<float>();
}
TEST_P(Coefficients, ManyChannelsAreOneAtATimeDouble) {
  many_are_one_at_a_time<double>();
}

}  // namespace
}  // namespace evenrow::kernels
