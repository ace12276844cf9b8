// Known failures of other systems, each with a test.
#include <gtest/gtest.h>

#include "norm_cases.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

template <class T>
class KnownFailures : public ::testing::Test {};
using Elements = ::testing::Types<float, double>;
TYPED_TEST_SUITE(KnownFailures, Elements);

TYPED_TEST(KnownFailures, AConstantRowGivesBetaExactly) {
  for (const double constant : {0.0, 100.0, 0.1, -7.3, 1e10, 1e30}) {
    for (const double eps : {1e-5, 0.0}) {
      for (const NormShape& shape : {NormShape{1, 3, 1000}, NormShape{7, 3, 333},
                                     NormShape{1300, 3, 1}, NormShape{2, 3, 1}}) {
        NormCase<TypeParam> k(shape);
        k.x.assign(k.x.size(), static_cast<TypeParam>(constant));
        k.options.eps = eps;
        const auto results = run(k);
        for (std::int64_t c = 0; c < 3; ++c) {
          const auto i = static_cast<std::size_t>(c);
          EXPECT_EQ(results.mean[i], static_cast<double>(static_cast<TypeParam>(constant)));
          EXPECT_EQ(results.variance[i], 0.0);
          for (std::int64_t j = 0; j < shape.columns(); ++j) {
            ASSERT_EQ(results.y[k.at(j, c)], k.beta[i]) << constant;
            ASSERT_TRUE(std::isfinite(results.dx[k.at(j, c)])) << constant;
          }
        }
      }
    }
  }
}

TYPED_TEST(KnownFailures, VarianceOfNeighboursFarFromZero) {
  for (const NormShape& shape :
       {NormShape{1, 2, 5000}, NormShape{50, 2, 100}, NormShape{5000, 2, 1}, NormShape{2, 2, 1}}) {
    NormCase<TypeParam> k(shape);
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      for (const std::int64_t c : {0, 1})
        k.x[k.at(j, c)] = static_cast<TypeParam>(10000000 + j % 2);
    }
    k.options.eps = 0;
    k.gamma = {1, 1};
    k.beta = {0, 0};
    const auto results = run(k);
    EXPECT_EQ(results.mean[0], 1e7 + 0.5);
    EXPECT_EQ(results.variance[0], 0.25);
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      ASSERT_EQ(results.y[k.at(j, 0)], j % 2 == 0 ? -1 : 1);
    }
  }
}

TYPED_TEST(KnownFailures, NaNInOneChannelTouchesNoOther) {
  for (const NormShape& shape :
       {NormShape{1, 5, 1500}, NormShape{20, 5, 90}, NormShape{1500, 5, 1}, NormShape{40, 65, 1}}) {
    for (const TypeParam bad : {std::numeric_limits<TypeParam>::quiet_NaN(),
                                std::numeric_limits<TypeParam>::infinity()}) {
      NormCase<TypeParam> k(shape, 31);
      k.options.activation = Activation::relu;
      const auto good = run(k);
      k.x[k.at(shape.columns() / 2, 2)] = bad;
      const auto results = run(k);
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        const auto i = static_cast<std::size_t>(c);
        for (std::int64_t j = 0; j < shape.columns(); ++j) {
          if (c == 2) {
            ASSERT_TRUE(std::isnan(results.y[k.at(j, c)]));  // never a number that looks right
          } else {
            ASSERT_EQ(results.y[k.at(j, c)], good.y[k.at(j, c)]);
            ASSERT_EQ(results.dx[k.at(j, c)], good.dx[k.at(j, c)]);
          }
        }
        if (c == 2) continue;
        EXPECT_EQ(results.mean[i], good.mean[i]);
        EXPECT_EQ(results.dgamma[i], good.dgamma[i]);
        EXPECT_EQ(results.dbeta[i], good.dbeta[i]);
      }
    }
  }
}

TYPED_TEST(KnownFailures, SixtyFiveChannelsLastOf100x100) {
  const NormCase<TypeParam> k(NormShape::channels_last(2, 100 * 100, 65), 32, 3);
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
    std::vector<TypeParam> dgamma(k.gamma.size(), 5), dbeta(k.gamma.size(), 5);
    batch_norm_backward<TypeParam>(
        {.x = k.x, .dy = k.dy, .gamma = k.gamma, .dx = k.dy, .dgamma = dgamma, .dbeta = dbeta},
        saved);
    EXPECT_EQ(dgamma, std::vector<TypeParam>(k.gamma.size(), 0));
    EXPECT_EQ(dbeta, std::vector<TypeParam>(k.gamma.size(), 0));
  }
}

TYPED_TEST(KnownFailures, ABatchOfPaddingAloneIsZeroAndCountsNothing) {
  for (const NormShape& shape : {NormShape{2, 3, 4}, NormShape{8, 3, 1}}) {
    NormCase<TypeParam> k(shape);
    k.mask.assign(8, 0);
    k.poison_padding();
    const auto results = run(k);
    EXPECT_EQ(results.y, std::vector<TypeParam>(k.x.size(), 0));
    EXPECT_EQ(results.dx, std::vector<TypeParam>(k.x.size(), 0));
    EXPECT_EQ(results.dgamma, std::vector<TypeParam>(3, 0));
    EXPECT_EQ(results.dbeta, std::vector<TypeParam>(3, 0));
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
    EXPECT_EQ(k.x, before);
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
