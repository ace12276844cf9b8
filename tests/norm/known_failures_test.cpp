// Known failures of other systems, each with a test.
#include <gtest/gtest.h>

#include "comparison.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

template <class T>
class KnownFailures : public ::testing::Test {};
TYPED_TEST_SUITE(KnownFailures, Elements);

TYPED_TEST(KnownFailures, AConstantRowGivesBetaExactly) {
  for (const double constant : {0.0, 100.0, 0.1, -7.3, 1e10, 1e30}) {
    if (!fits<TypeParam>(constant)) continue;
    for (const double eps : {1e-5, 0.0}) {
      for (const NormShape& shape : {NormShape{1, 3, 1000}, NormShape{7, 3, 333},
                                     NormShape{1300, 3, 1}, NormShape{2, 3, 1}}) {
        NormCase<TypeParam> k(shape);
        k.x.assign(k.x.size(), rounded<TypeParam>(constant));
        if (eps == 0) k.weights = random_weights(shape.columns(), 35, 1);
        k.options.eps = eps;
        const auto results = run(k);
        for (std::int64_t c = 0; c < 3; ++c) {
          const auto i = static_cast<std::size_t>(c);
          EXPECT_EQ(results.mean[i], as_real(rounded<TypeParam>(constant)));
          EXPECT_EQ(results.variance[i], 0.0);
          const auto beta = rounded<TypeParam>(static_cast<double>(k.beta[i]));
          for (std::int64_t j = 0; j < shape.columns(); ++j) {
            ASSERT_TRUE(same_bits(results.y[k.at(j, c)], beta)) << constant;
            ASSERT_TRUE(std::isfinite(as_real(results.dx[k.at(j, c)]))) << constant;
          }
        }
      }
    }
  }
}

// Two neighbours among the numbers of T, far from zero beside their distance of 1.
template <class T>
constexpr double kFar = 1e7;
template <>
constexpr double kFar<bfloat16> = 128;
template <>
constexpr double kFar<float16> = 1024;

TYPED_TEST(KnownFailures, VarianceOfNeighboursFarFromZero) {
  constexpr double far = kFar<TypeParam>;
  for (const NormShape& shape :
       {NormShape{1, 2, 5000}, NormShape{50, 2, 100}, NormShape{5000, 2, 1}, NormShape{2, 2, 1}}) {
    NormCase<TypeParam> k(shape);
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      for (const std::int64_t c : {0, 1}) {
        k.x[k.at(j, c)] = rounded<TypeParam>(far + static_cast<double>(j % 2));
      }
    }
    k.options.eps = 0;
    k.gamma = {1, 1};
    k.beta = {0, 0};
    const auto results = run(k);
    EXPECT_EQ(results.mean[0], far + 0.5);
    EXPECT_EQ(results.variance[0], 0.25);
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      ASSERT_EQ(as_real(results.y[k.at(j, 0)]), j % 2 == 0 ? -1 : 1);
    }
  }
}

// The variance is a tenth of the square of a bfloat16's last place there.
TYPED_TEST(KnownFailures, MeanFiveAndDeviationOneTenth) {
  for (const NormShape& shape :
       {NormShape{1, 3, 4000}, NormShape{16, 3, 256}, NormShape{4000, 3, 1}}) {
    const NormCase<TypeParam> k(shape, 36, 5, 0.1);
    const auto results = run(k);
    expect_matches_reference(k, results);
    for (const double variance : results.variance) EXPECT_NEAR(variance, 0.01, 0.001);
  }
}

// What a careful program does without more precision: both passes in the type that it computes in,
// one value after the other.
template <class C>
std::vector<C> two_pass(const std::vector<C>& x, C eps) {
  C sum = 0, squares = 0;
  for (const C value : x) sum += value;
  const C n = static_cast<C>(x.size()), mean = sum / n;
  for (const C value : x) squares += (value - mean) * (value - mean);
  const C rstd = 1 / std::sqrt(squares / n + eps);
  std::vector<C> y;
  for (const C value : x) y.push_back((value - mean) * rstd);
  return y;
}

// Up to a mean of a million deviations (as many as T can tell apart) no more digits are lost than
// by that: the larger of its error and one unit in the last place of the largest output.
TYPED_TEST(KnownFailures, LargeMeansLoseNoMoreThanTwoPasses) {
  using C = NormParameter<TypeParam>;
  for (double ratio = 1; ratio <= (kIsHalf<TypeParam> ? 100 : 1e6); ratio *= 10) {
    for (const NormShape& shape : {NormShape{1, 2, 3000}, NormShape{3000, 2, 1}}) {
      NormCase<TypeParam> k(shape, 37, ratio);
      k.gamma = {1, 1};
      k.beta = {0, 0};
      const auto results = run(k);
      const auto exact = kernels::reference::normalize(
          k.tensor(), kernels::reference::statistics(k.tensor()), k.parameters());
      for (const std::int64_t c : {0, 1}) {
        std::vector<C> row;
        for (const Real value : k.row(k.x, c)) row.push_back(static_cast<C>(value));
        const std::vector<C> theirs = two_pass(row, static_cast<C>(k.options.eps));
        Real our_error = 0, their_error = 0, largest = 0;
        for (std::int64_t j = 0; j < shape.columns(); ++j) {
          const Real y = exact[k.at(j, c)];
          const auto stored = rounded<TypeParam>(theirs[static_cast<std::size_t>(j)]);
          our_error = std::max(our_error, std::abs(as_real(results.y[k.at(j, c)]) - y));
          their_error = std::max(their_error, std::abs(as_real(stored) - y));
          largest = std::max(largest, std::abs(y));
        }
        EXPECT_LE(our_error, std::max(their_error, ulp<TypeParam>(largest))) << ratio;
      }
    }
  }
}

// Everything of one channel, to compare it with another run's.
template <class T>
bool same_channel(const NormCase<T>& k, std::int64_t c, const NormResults<T>& a,
                  const NormResults<T>& b) {
  const auto i = static_cast<std::size_t>(c);
  bool same = same_bits(a.mean[i], b.mean[i]) && same_bits(a.variance[i], b.variance[i]) &&
              same_bits(a.dgamma[i], b.dgamma[i]) && same_bits(a.dbeta[i], b.dbeta[i]);
  for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
    const std::size_t at = k.at(j, c);
    same = same && same_bits(a.y[at], b.y[at]) && same_bits(a.dx[at], b.dx[at]);
  }
  return same;
}

TYPED_TEST(KnownFailures, NaNInOneChannelTouchesNoOther) {
  for (const NormShape& shape :
       {NormShape{1, 5, 1500}, NormShape{20, 5, 90}, NormShape{1500, 5, 1}, NormShape{40, 65, 1}}) {
    for (const double bad : {std::nan(""), static_cast<double>(INFINITY)}) {
      NormCase<TypeParam> k(shape, 31);
      k.options.activation = Activation::relu;
      const auto good = run(k);
      k.x[k.at(shape.columns() / 2, 2)] = rounded<TypeParam>(bad);
      const auto results = run(k);
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        if (c != 2) {
          EXPECT_TRUE(same_channel(k, c, good, results)) << c;
          continue;
        }
        for (std::int64_t j = 0; j < shape.columns(); ++j) {  // never a number that looks right
          ASSERT_TRUE(std::isnan(as_real(results.y[k.at(j, c)])));
        }
      }
    }
  }
}

// A NaN in dy, too, stays in its channel; in the residual, at its value.
TYPED_TEST(KnownFailures, NaNInOtherInputsStaysWhereItIs) {
  for (const NormShape& shape : {NormShape{20, 5, 90}, NormShape{40, 65, 1}}) {
    NormCase<TypeParam> k(shape, 38);
    k.add_residual(39);
    k.options.activation = Activation::relu;
    const auto good = run(k);
    const std::size_t there = k.at(shape.columns() / 2, 2);
    k.dy[there] = rounded<TypeParam>(std::nan(""));
    auto results = run(k);
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      EXPECT_EQ(same_channel(k, c, good, results), c != 2) << c;
    }
    k.residual[there] = k.dy[there];
    results = run(k);
    EXPECT_TRUE(std::isnan(as_real(results.y[there])));
    results.y[there] = good.y[there];
    EXPECT_TRUE(same_bits(results.y, good.y));
  }
}

TYPED_TEST(KnownFailures, SixtyFiveChannelsLastOf100x100) {
  NormCase<TypeParam> k(NormShape::channels_last(2, 100 * 100, 65), 32, 3);
  k.add_residual(40);
  k.options.activation = Activation::relu;
  expect_matches_reference(k, run(k, {.threads = 2}));
}

TYPED_TEST(KnownFailures, ImagesOfOnePixel) {
  const NormCase<TypeParam> first(NormShape::channels_first(32, 64, 1), 33, 3);
  const NormCase<TypeParam> last(NormShape::channels_last(32, 1, 64), 33, 3);
  expect_matches_reference(first, run(first));
  EXPECT_TRUE(run(first) == run(last));
}

TYPED_TEST(KnownFailures, AnEmptyBatchTouchesNothing) {
  for (const NormShape& shape : {NormShape{0, 3, 5}, NormShape{4, 3, 0}, NormShape{0, 3, 1},
                                 NormShape{4, 0, 5}, NormShape{0, 0, 0}}) {
    NormCase<TypeParam> k(shape);
    RunningStatistics running(shape.channels);
    const auto saved = batch_norm_train<TypeParam>(
        {.x = k.x, .gamma = k.gamma, .beta = k.beta, .y = k.x, .shape = shape});
    EXPECT_EQ(saved.count(), shape.columns());
    running.update(saved);
    EXPECT_EQ(running.updates, shape.columns() == 0 ? 0 : 1);
    EXPECT_EQ(running.mean, std::vector<double>(static_cast<std::size_t>(shape.channels), 0.0));
    using C = NormParameter<TypeParam>;
    std::vector<C> dgamma(k.gamma.size(), 5), dbeta(k.gamma.size(), 5);
    batch_norm_backward<TypeParam>(
        {.x = k.x, .dy = k.dy, .gamma = k.gamma, .dx = k.dy, .dgamma = dgamma, .dbeta = dbeta},
        saved);
    EXPECT_EQ(dgamma, std::vector<C>(k.gamma.size(), 0));
    EXPECT_EQ(dbeta, std::vector<C>(k.gamma.size(), 0));
  }
}

TYPED_TEST(KnownFailures, ABatchOfPaddingAloneIsZeroAndCountsNothing) {
  for (const NormShape& shape : {NormShape{2, 3, 4}, NormShape{8, 3, 1}}) {
    NormCase<TypeParam> k(shape);
    k.mask.assign(8, 0);
    k.add_residual(41);
    k.poison_padding();
    const auto results = run(k);
    const std::vector<TypeParam> zeros(k.x.size());
    EXPECT_TRUE(same_bits(results.y, zeros));
    EXPECT_TRUE(same_bits(results.dx, zeros));
    EXPECT_TRUE(same_bits(results.dresidual, zeros));
    EXPECT_EQ(results.dgamma, std::vector<NormParameter<TypeParam>>(3, 0));
    EXPECT_EQ(results.dbeta, std::vector<NormParameter<TypeParam>>(3, 0));
    const auto saved =
        batch_norm_train<TypeParam>({.x = k.x, .y = k.x, .shape = shape, .valid = k.valid()});
    RunningStatistics running(3);
    running.update(saved);
    EXPECT_EQ(running.updates, 0);
  }
}

TYPED_TEST(KnownFailures, OneValidColumnIsAnError) {
  for (const NormShape& shape : {NormShape{1, 3, 1}, NormShape{2, 3, 4}, NormShape{8, 3, 1}}) {
    NormCase<TypeParam> k(shape);
    if (shape.columns() > 1) k.mask = {0, 0, 0, 1, 0, 0, 0, 0};
    const std::vector<TypeParam> before = k.x;
    EXPECT_THAT(
        [&] {
          batch_norm_train<TypeParam>({.x = k.x, .y = k.x, .shape = shape, .valid = k.valid()});
        },
        ThrowsError(ErrorKind::usage, "x has one valid column"));
    EXPECT_TRUE(same_bits(k.x, before));
  }
}

// A recomputed forward pass (activation checkpointing) counts once: only update() counts.
TYPED_TEST(KnownFailures, RecomputingTheForwardPassDoesNotCountTwice) {
  const NormCase<TypeParam> k({1, 2, 50}, 34, 3);
  std::vector<TypeParam> y(k.x.size());
  RunningStatistics running(2);
  auto saved = batch_norm_train<TypeParam>({.x = k.x, .y = y, .shape = k.shape});
  batch_norm_train<TypeParam>({.x = k.x, .y = y, .shape = k.shape}, {}, saved);
  running.update(saved);
  EXPECT_EQ(running.updates, 1);
  EXPECT_EQ(running.mean[0], (1.0 - 0.1) * 0.0 + 0.1 * saved.mean()[0]);
  EXPECT_EQ(running.variance[0], (1.0 - 0.1) * 1.0 + 0.1 * saved.biased_variance()[0]);
}

}  // namespace
}  // namespace evenrow
