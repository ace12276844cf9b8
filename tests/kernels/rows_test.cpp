// Every row kernel, on every target, for awkward sizes, misaligned and in place, against the
// reference with the bounds of docs/numerics.md.
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

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

class Rows : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Rows, ::testing::ValuesIn(available_targets()), target_test_name);

template <class T>
void expect_moments(std::span<const T> x, const std::string& what) {
  const Moments computed = row_moments(x.data(), static_cast<std::int64_t>(x.size()));
  const auto exact = oracle::moment_bounds(widened(x), oracle::kRowLeaf);
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
TEST_P(Rows, MomentsFloat) {
  moments_of_awkward_sizes<float>();
}
TEST_P(Rows, MomentsDouble) {
  moments_of_awkward_sizes<double>();
}

// Where the pivot is as bad as it can be (the leaf's first 16 values are far from all others) the
// bound still holds: the pivot's values are part of the variance themselves.
TEST_P(Rows, MomentsWithMisleadingFirstValues) {
  Buffer<float> x(3000, 0);
  fill_normal(x.span(), 5);
  for (std::size_t i = 0; i < 16; ++i) x[i] = x[1024 + i] = 1e6f;
  expect_moments(std::as_const(x).span(), "16 outliers");
}

TEST_P(Rows, MomentsOfOffsetsUpTo1e30) {
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
TEST_P(Rows, MomentsOfHugeAndTinyFloats) {
  for (const float size : {1e38f, 1e25f, 1e-25f, 1e-38f, 1e-44f}) {
    Buffer<float> x(1500, 1);
    for (std::size_t i = 0; i < 1500; ++i) x[i] = i % 2 == 0 ? size : -size;
    const Moments moments = row_moments(x.data(), 1500);
    EXPECT_EQ(moments.mean, 0.0) << size;
    EXPECT_DOUBLE_EQ(moments.m2 / 1500, static_cast<double>(size) * static_cast<double>(size));
  }
}

TEST_P(Rows, TwoNeighbouringValuesHaveAQuarterOfTheirSquaredDistance) {
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
    for (const std::int64_t n : awkward_sizes()) {
      if (n == 0) continue;
      Buffer<T> x(n, 1);
      for (T& value : x.span()) value = static_cast<T>(c);
      const Moments moments = row_moments(x.data(), n);
      EXPECT_EQ(moments.mean, static_cast<double>(static_cast<T>(c))) << n;
      EXPECT_EQ(moments.m2, 0.0) << c << ' ' << n;
    }
  }
}
TEST_P(Rows, ConstantsFloat) {
  constants<float>();
}
TEST_P(Rows, ConstantsDouble) {
  constants<double>();
}

TEST_P(Rows, NaNAndInfinityShow) {
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
  const T center = static_cast<T>(2.7), scale = static_cast<T>(-1.3), shift = static_cast<T>(0.4);
  for (const std::int64_t n : awkward_sizes()) {
    for (const std::int64_t misaligned : {0, 1, 5}) {
      for (const bool relu : {false, true}) {
        Buffer<T> x(n, misaligned), y(n, misaligned + 1);
        fill_normal(x.span(), static_cast<std::uint64_t>(n), 3);
        row_normalize(x.data(), y.data(), n, center, scale, shift, relu);
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
          const Real a = (static_cast<Real>(x[i]) - center) * scale;
          const Real u = a + shift;
          const Real expected = relu && u <= 0 ? 0 : u;
          ASSERT_LE(std::abs(y[i] - expected), oracle::affine_error<T>(a, shift)) << n << ' ' << i;
        }
        Buffer<T> in_place = x;
        row_normalize(in_place.data(), in_place.data(), n, center, scale, shift, relu);
        EXPECT_TRUE(std::equal(y.span().begin(), y.span().end(), in_place.span().begin())) << n;
        EXPECT_TRUE(y.untouched() && in_place.untouched() && x.untouched()) << n;
      }
    }
  }
}
TEST_P(Rows, NormalizeFloat) {
  normalize_awkward_sizes<float>();
}
TEST_P(Rows, NormalizeDouble) {
  normalize_awkward_sizes<double>();
}

TEST_P(Rows, NormalizeKeepsNaNAndTouchesNothingElse) {
  Buffer<float> x(37, 0), y(37, 0);
  fill_normal(x.span(), 3);
  x[20] = std::nanf("");
  row_normalize(x.data(), y.data(), 37, 0.0f, 1.0f, 0.0f, true);
  for (std::size_t i = 0; i < 37; ++i) EXPECT_EQ(std::isnan(y[i]), i == 20) << i;
}

// Kernels with the relu of the forward pass undone, against the same with dy already masked by what
// that forward pass gave.
template <class T>
void gradients_of_awkward_sizes() {
  const Affine<T> forward{static_cast<T>(0.1), static_cast<T>(1.7), static_cast<T>(-0.2)};
  const double mean = 0.1234, rstd = 0.9;
  const T center = static_cast<T>(mean), a = static_cast<T>(1.1), b = static_cast<T>(-0.3),
          c = static_cast<T>(0.05);
  for (const std::int64_t n : awkward_sizes()) {
    const auto size = static_cast<std::size_t>(n);
    for (const std::int64_t misaligned : {0, 1, 5}) {
      Buffer<T> x(n, misaligned), dy(n, misaligned + 2), y(n, 0), masked(n, 0), dx(n, 1);
      fill_normal(x.span(), 11 + static_cast<std::uint64_t>(n));
      fill_normal(dy.span(), 22 + static_cast<std::uint64_t>(n));
      row_normalize(x.data(), y.data(), n, forward.center, forward.scale, forward.shift, true);
      for (std::size_t i = 0; i < size; ++i) masked[i] = y[i] > 0 ? dy[i] : T{0};

      Real sum = 0, products = 0, sum_size = 0, products_size = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const Real product = static_cast<Real>(dy[i]) * (static_cast<Real>(x[i]) - mean) * rstd;
        sum += dy[i];
        products += product;
        sum_size += std::abs(dy[i]);
        products_size += std::abs(product);
      }
      const GradientSums sums = row_gradient_sums(x.data(), dy.data(), n, mean, rstd);
      const Real depth = 37 + 2 * 3;  // a leaf's sums, and at most three levels of leaves
      EXPECT_LE(std::abs(sums.dy - sum), depth * oracle::kDoubleUnit * sum_size) << n;
      EXPECT_LE(std::abs(sums.dy_xhat - products),
                (depth + 4) * oracle::kDoubleUnit * products_size)
          << n;
      const GradientSums after_relu =
          row_gradient_sums(x.data(), dy.data(), n, mean, rstd, &forward);
      const GradientSums of_masked = row_gradient_sums(x.data(), masked.data(), n, mean, rstd);
      EXPECT_TRUE(same_bits(after_relu, of_masked)) << n;

      row_input_gradient(x.data(), dy.data(), dx.data(), n, center, a, b, c);
      for (std::size_t i = 0; i < size; ++i) {
        const Real second = static_cast<Real>(b) * (static_cast<Real>(x[i]) - center);
        const Real error =
            Real{1.01} * oracle::kUnit<T> * std::abs(Real{a}) *
            (3 * std::abs(Real{dy[i]}) + 7 * std::abs(second) + 5 * std::abs(Real{c}));
        ASSERT_LE(std::abs(dx[i] - a * (dy[i] + second + c)), error) << n << ' ' << i;
      }
      for (const Affine<T>* relu_of : {static_cast<const Affine<T>*>(nullptr), &forward}) {
        const Buffer<T>& incoming = relu_of != nullptr ? masked : dy;
        row_input_gradient(x.data(), incoming.data(), dx.data(), n, center, a, b, c);
        Buffer<T> in_dy = dy, in_x = x;
        row_input_gradient(x.data(), in_dy.data(), in_dy.data(), n, center, a, b, c, relu_of);
        row_input_gradient(in_x.data(), dy.data(), in_x.data(), n, center, a, b, c, relu_of);
        EXPECT_TRUE(std::equal(dx.span().begin(), dx.span().end(), in_dy.span().begin())) << n;
        EXPECT_TRUE(std::equal(dx.span().begin(), dx.span().end(), in_x.span().begin())) << n;
        EXPECT_TRUE(dx.untouched() && in_dy.untouched() && in_x.untouched()) << n;
      }
    }
  }
}
TEST_P(Rows, GradientsFloat) {
  gradients_of_awkward_sizes<float>();
}
TEST_P(Rows, GradientsDouble) {
  gradients_of_awkward_sizes<double>();
}

// The targets with a fused multiply-add compute the same bits, whatever their vector length.
template <class T>
std::vector<double> all_results(const std::string& target) {
  EXPECT_TRUE(use_target(target));
  std::vector<double> results;
  for (const std::int64_t n : awkward_sizes()) {
    Buffer<T> x(n, 1), dy(n, 0), y(n, 0);
    fill_normal(x.span(), 1, 1e3);
    fill_normal(dy.span(), 2);
    const Moments moments = row_moments(x.data(), n);
    const GradientSums sums = row_gradient_sums(x.data(), dy.data(), n, moments.mean, 0.7);
    results.insert(results.end(), {moments.mean, moments.m2, sums.dy, sums.dy_xhat});
    row_normalize(x.data(), y.data(), n, T{1000}, static_cast<T>(0.3), static_cast<T>(0.1), false);
    results.insert(results.end(), y.span().begin(), y.span().end());
    row_input_gradient(x.data(), dy.data(), y.data(), n, T{1000}, static_cast<T>(0.3),
                       static_cast<T>(0.1), T{1});
    results.insert(results.end(), y.span().begin(), y.span().end());
  }
  use_target("");
  return results;
}
TEST(RowsAcrossTargets, Avx2AndAvx512GiveTheSameBits) {
  const auto targets = available_targets();
  for (const std::string target : {"avx2", "avx512"}) {
    if (std::find(targets.begin(), targets.end(), target) == targets.end()) {
      GTEST_SKIP() << "this CPU has no " << target;
    }
  }
  EXPECT_EQ(all_results<float>("avx2"), all_results<float>("avx512"));
  EXPECT_EQ(all_results<double>("avx2"), all_results<double>("avx512"));
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
