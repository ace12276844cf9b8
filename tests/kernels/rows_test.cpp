// Every kernel over contiguous rows, on every target, for awkward sizes, misaligned and in place,
// against the reference with the bounds of docs/numerics.md.
#include "kernels/rows.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernel_cases.hpp"
#include "kernels/pairwise.hpp"
#include "support/norm_oracle.hpp"

namespace evenrow::kernels {
namespace {

using oracle::Real;

class RowKernels : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, RowKernels, ::testing::ValuesIn(available_targets()),
                         target_test_name);

template <class T>
void expect_moments(std::span<const T> x, const std::string& what) {
  const Moments computed = row_moments(x.data(), static_cast<std::int64_t>(x.size()));
  const auto exact = oracle::moment_bounds(widened(x), oracle::kRowLeaf<T>);
  EXPECT_EQ(computed.count, static_cast<double>(x.size())) << what;
  EXPECT_LE(std::abs(computed.mean - exact.mean), exact.mean_error) << what;
  EXPECT_LE(std::abs(computed.m2 - exact.m2), exact.m2_error) << what;
  EXPECT_GE(computed.m2, 0.0) << what;
}

template <class T>
void moments_of_awkward_sizes() {
  for (const std::int64_t n : awkward_sizes()) {
    for (const std::int64_t misaligned : {0, 1, 3}) {
      Buffer<T> x(n, misaligned);
      for (const double offset : {0.0, 3.0, -1e4}) {
        fill_normal(x.span(), static_cast<std::uint64_t>(n), offset);
        expect_moments(std::as_const(x).span(), std::to_string(n) + " + " + std::to_string(offset));
      }
    }
  }
}
EVENROW_EVERY_ELEMENT(RowKernels, Moments, moments_of_awkward_sizes)

// Where the pivot is as bad as it can be (the leaf's first 16 values are far from all others) the
// bound still holds: the pivot's values are part of the variance themselves.
TEST_P(RowKernels, MomentsWithMisleadingFirstValues) {
  Buffer<float> x(3000, 0);
  fill_normal(x.span(), 5);
  for (std::size_t i = 0; i < 16; ++i) x[i] = x[1024 + i] = 1e6f;
  expect_moments(std::as_const(x).span(), "16 outliers");
}

TEST_P(RowKernels, MomentsOfOffsetsUpTo1e30) {
  for (double offset = 1; offset < 2e30; offset *= 10) {
    Buffer<float> x(2500, 1);
    Buffer<double> wide(2500, 1);
    fill_normal(x.span(), 7, offset);
    fill_normal(wide.span(), 7, offset);
    expect_moments(std::as_const(x).span(), "float offset " + std::to_string(offset));
    expect_moments(std::as_const(wide).span(), "double offset " + std::to_string(offset));
  }
}

// Squares of these do not fit in float; sums in double do not care.
TEST_P(RowKernels, MomentsOfHugeAndTinyFloats) {
  for (const float size : {1e38f, 1e25f, 1e-25f, 1e-38f, 1e-44f}) {
    Buffer<float> x(1500, 1);
    for (std::size_t i = 0; i < 1500; ++i) x[i] = i % 2 == 0 ? size : -size;
    const Moments moments = row_moments(x.data(), 1500);
    EXPECT_EQ(moments.mean, 0.0) << size;
    EXPECT_DOUBLE_EQ(moments.m2 / 1500, static_cast<double>(size) * static_cast<double>(size));
  }
}

TEST_P(RowKernels, TwoNeighbouringValuesHaveAQuarterOfTheirSquaredDistance) {
  for (const std::int64_t n : {2, 64, 1024, 2048, 5000, 100000}) {
    Buffer<float> alternating(n, 0);
    for (std::int64_t i = 0; i < n; ++i) {
      alternating[static_cast<std::size_t>(i)] = i % 2 == 0 ? 1e7f : 1e7f + 1;
    }
    const Moments moments = row_moments(alternating.data(), n);
    EXPECT_EQ(moments.mean, 1e7 + 0.5) << n;
    EXPECT_EQ(moments.m2 / moments.count, 0.25) << n;
  }
  Buffer<float> halves(2048, 0);
  for (std::size_t i = 0; i < 2048; ++i) halves[i] = i < 1024 ? 1e7f : 1e7f + 1;
  EXPECT_EQ(row_moments(halves.data(), 2048).m2 / 2048, 0.25);
}

template <class T>
void constants() {
  for (const double c : {0.0, 100.0, 0.1, 1e10, -1e30, 3e38, 1e-42}) {
    if (std::isinf(as_real(rounded<T>(c)))) continue;  // a float16
    for (const std::int64_t n : awkward_sizes()) {
      if (n == 0) continue;
      Buffer<T> x(n, 1);
      for (T& value : x.span()) value = rounded<T>(c);
      const Moments moments = row_moments(x.data(), n);
      EXPECT_EQ(moments.mean, as_real(rounded<T>(c))) << n;
      EXPECT_EQ(moments.m2, 0.0) << c << ' ' << n;
    }
  }
}
EVENROW_EVERY_ELEMENT(RowKernels, Constants, constants)

TEST_P(RowKernels, NaNAndInfinityShow) {
  for (const double bad : {std::nan(""), static_cast<double>(INFINITY)}) {
    for (const std::size_t at : {0u, 15u, 40u, 1023u, 1500u}) {
      Buffer<float> x(2000, 0);
      fill_normal(x.span(), 1);
      x[at] = static_cast<float>(bad);
      const Moments moments = row_moments(x.data(), 2000);
      EXPECT_FALSE(std::isfinite(moments.mean)) << at;
      EXPECT_FALSE(std::isfinite(moments.m2)) << at;
    }
  }
}

template <class T>
void normalize_awkward_sizes() {
  using C = NormParameter<T>;
  const Affine<C> k{static_cast<C>(2.7), static_cast<C>(-1.3), static_cast<C>(0.4)};
  for (const std::int64_t n : awkward_sizes()) {
    for (const std::int64_t misaligned : {0, 1, 5}) {
      for (const bool relu : {false, true}) {
        Buffer<T> x(n, misaligned), y(n, misaligned + 1);
        fill_normal(x.span(), static_cast<std::uint64_t>(n), 3);
        row_normalize(x.data(), y.data(), n, k, relu);
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
          const Real a = (as_real(x[i]) - k.center) * k.scale;
          const Real u = a + k.shift;
          const Real error =
              oracle::stored_error<T>(u, oracle::affine_error<C>(a, k.shift), nullptr);
          ASSERT_LE(std::abs(as_real(y[i]) - (relu && u <= 0 ? 0 : u)), error) << n << ' ' << i;
        }
        Buffer<T> in_place = x;
        row_normalize(in_place.data(), in_place.data(), n, k, relu);
        EXPECT_TRUE(same_bits<T>(y.span(), in_place.span())) << n;
        EXPECT_TRUE(y.untouched() && in_place.untouched() && x.untouched()) << n;
      }
    }
  }
}
EVENROW_EVERY_ELEMENT(RowKernels, Normalize, normalize_awkward_sizes)

TEST_P(RowKernels, NormalizeKeepsNaNAndTouchesNothingElse) {
  Buffer<float> x(37, 0), y(37, 0);
  fill_normal(x.span(), 3);
  x[20] = std::nanf("");
  row_normalize(x.data(), y.data(), 37, {0.0f, 1.0f, 0.0f}, true);
  for (std::size_t i = 0; i < 37; ++i) EXPECT_EQ(std::isnan(y[i]), i == 20) << i;
}

// Kernels with the relu of the forward pass undone, against the same with dy already masked by what
// that forward pass gave.
template <class T>
void gradients_of_awkward_sizes() {
  using C = NormParameter<T>;
  const Affine<C> forward{static_cast<C>(0.1), static_cast<C>(1.7), static_cast<C>(-0.2)};
  const double mean = 0.1234, rstd = 0.9;
  const InputGradient<C> k{static_cast<C>(mean), static_cast<C>(1.1), static_cast<C>(-0.3),
                           static_cast<C>(0.05)};
  for (const std::int64_t n : awkward_sizes()) {
    const auto size = static_cast<std::size_t>(n);
    for (const std::int64_t misaligned : {0, 1, 5}) {
      Buffer<T> x(n, misaligned), dy(n, misaligned + 2), y(n, 0), masked(n, 0), dx(n, 1);
      fill_normal(x.span(), 11 + static_cast<std::uint64_t>(n));
      fill_normal(dy.span(), 22 + static_cast<std::uint64_t>(n));
      row_normalize(x.data(), y.data(), n, forward, true);
      for (std::size_t i = 0; i < size; ++i) masked[i] = as_real(y[i]) > 0 ? dy[i] : T{};

      Real sum = 0, products = 0, sum_size = 0, products_size = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const Real product = as_real(dy[i]) * (as_real(x[i]) - mean) * rstd;
        sum += as_real(dy[i]);
        products += product;
        sum_size += std::abs(as_real(dy[i]));
        products_size += std::abs(product);
      }
      const GradientSums sums = row_gradient_sums(x.data(), dy.data(), n, mean, rstd);
      // A leaf's sums, and at most three levels of leaves. The mean, rounded to float, is smaller
      // than what x is away from it.
      const Real depth = static_cast<Real>(oracle::kRowLeaf<T>.depth + 2 * 3);
      EXPECT_LE(std::abs(sums.dy - sum), depth * oracle::kSumUnit<T> * sum_size) << n;
      EXPECT_LE(std::abs(sums.dy_xhat - products),
                (depth + 4) * oracle::kSumUnit<T> * products_size)
          << n;
      const GradientSums after_relu =
          row_gradient_sums(x.data(), dy.data(), n, mean, rstd, &forward);
      const GradientSums of_masked = row_gradient_sums(x.data(), masked.data(), n, mean, rstd);
      EXPECT_TRUE(same_bits(after_relu, of_masked)) << n;

      row_input_gradient(x.data(), dy.data(), dx.data(), n, k);
      for (std::size_t i = 0; i < size; ++i) {
        const Real second = k.b * (as_real(x[i]) - k.center);
        const Real expected = k.a * (as_real(dy[i]) + second + k.c);
        const Real error = oracle::input_gradient_terms<C>(k.a, as_real(dy[i]), second, k.c);
        ASSERT_LE(std::abs(as_real(dx[i]) - expected),
                  error + oracle::storage_error<T>(expected, error))
            << n << ' ' << i;
      }
      for (const Affine<C>* relu_of : {static_cast<const Affine<C>*>(nullptr), &forward}) {
        const Buffer<T>& incoming = relu_of != nullptr ? masked : dy;
        row_input_gradient(x.data(), incoming.data(), dx.data(), n, k);
        Buffer<T> in_dy = dy, in_x = x;
        row_input_gradient(x.data(), in_dy.data(), in_dy.data(), n, k, relu_of);
        row_input_gradient(in_x.data(), dy.data(), in_x.data(), n, k, relu_of);
        EXPECT_TRUE(same_bits<T>(dx.span(), in_dy.span())) << n;
        EXPECT_TRUE(same_bits<T>(dx.span(), in_x.span())) << n;
        EXPECT_TRUE(dx.untouched() && in_dy.untouched() && in_x.untouched()) << n;
      }
    }
  }
}
EVENROW_EVERY_ELEMENT(RowKernels, Gradients, gradients_of_awkward_sizes)

// The targets with a fused multiply-add compute the same bits, whatever their vector length.
template <class T>
std::vector<Real> all_results(const std::string& target) {
  using C = NormParameter<T>;
  EXPECT_TRUE(use_target(target));
  std::vector<Real> results;
  for (const std::int64_t n : awkward_sizes()) {
    Buffer<T> x(n, 1), dy(n, 0), y(n, 0);
    fill_normal(x.span(), 1, 1e3);
    fill_normal(dy.span(), 2);
    const Moments moments = row_moments(x.data(), n);
    const GradientSums sums = row_gradient_sums(x.data(), dy.data(), n, moments.mean, 0.7);
    results.insert(results.end(), {moments.mean, moments.m2, sums.dy, sums.dy_xhat});
    row_normalize(x.data(), y.data(), n, {C{1000}, static_cast<C>(0.3), static_cast<C>(0.1)},
                  false);
    for (const T value : y.span()) results.push_back(as_real(value));
    row_input_gradient(x.data(), dy.data(), y.data(), n,
                       {C{1000}, static_cast<C>(0.3), static_cast<C>(0.1), C{1}});
    for (const T value : y.span()) results.push_back(as_real(value));
  }
  use_target("");
  return results;
}
TEST(RowsAcrossTargets, Avx2AndAvx512GiveTheSameBits) {
  if (!has_avx2_and_avx512()) GTEST_SKIP() << "this CPU does not have both";
  EXPECT_EQ(all_results<float>("avx2"), all_results<float>("avx512"));
  EXPECT_EQ(all_results<double>("avx2"), all_results<double>("avx512"));
  EXPECT_EQ(all_results<bfloat16>("avx2"), all_results<bfloat16>("avx512"));
  EXPECT_EQ(all_results<float16>("avx2"), all_results<float16>("avx512"));
}

TEST(Merge, WithNothingIsTheSame) {
  const Moments some{3, 1.7, 0.3};
  EXPECT_TRUE(same_bits(merge(some, {}), some));
  EXPECT_TRUE(same_bits(merge({}, some), some));
  EXPECT_EQ(merge(Moments{}, Moments{}).count, 0.0);
}

TEST(Merge, OfConstantsStaysExact) {
  const Moments merged = merge(Moments{3, 0.1, 0}, Moments{5, 0.1, 0});
  EXPECT_EQ(merged.count, 8.0);
  EXPECT_EQ(merged.mean, 0.1);
  EXPECT_EQ(merged.m2, 0.0);
}

TEST(Merge, OfTwoPartsIsTheWhole) {
  // {1, 2, 3} and {10, 20}: mean 7.2, M2 = 1 + 4 + 9 + 100 + 400 - 5 * 7.2^2 = 254.8
  const Moments merged = merge(Moments{3, 2, 2}, Moments{2, 15, 50});
  EXPECT_DOUBLE_EQ(merged.mean, 7.2);
  EXPECT_DOUBLE_EQ(merged.m2, 254.8);
}

// A node that knows how it was made.
struct Term {
  std::string text;
};
Term merge(const Term& a, const Term& b) {
  if (b.text.empty()) return a;
  return {"(" + a.text + b.text + ")"};
}

TEST(PairwiseMerge, TreeDependsOnTheNumberOfNodesAlone) {
  const std::vector<std::string> expected = {"",
                                             "a",
                                             "(ab)",
                                             "((ab)c)",
                                             "((ab)(cd))",
                                             "(((ab)(cd))e)",
                                             "(((ab)(cd))(ef))",
                                             "(((ab)(cd))((ef)g))"};
  for (std::size_t n = 0; n < expected.size(); ++n) {
    PairwiseMerge<Term> tree;
    for (std::size_t i = 0; i < n; ++i) tree.push({std::string(1, static_cast<char>('a' + i))});
    EXPECT_EQ(tree.total().text, expected[n]);
  }
}

TEST(PairwiseMerge, AlignedRunsGiveTheSameTree) {
  for (std::size_t n = 0; n <= 23; ++n) {
    PairwiseMerge<Term> whole, of_runs;
    for (std::size_t first = 0; first < n; first += 4) {
      PairwiseMerge<Term> run;
      for (std::size_t i = first; i < std::min(n, first + 4); ++i) {
        whole.push({std::string(1, static_cast<char>('a' + i))});
        run.push({std::string(1, static_cast<char>('a' + i))});
      }
      of_runs.push(run.total());
    }
    EXPECT_EQ(whole.total().text, of_runs.total().text) << n;
  }
}

}  // namespace
}  // namespace evenrow::kernels
