// What the operator and its kernels may deviate from the reference by: the bounds that
// docs/numerics.md derives, computed for given data. Nothing here is fitted to what the code does.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "evenrow/batch_norm.hpp"
#include "support/elements.hpp"

namespace evenrow::oracle {

using Real = long double;

inline constexpr Real kDoubleUnit = 0x1p-53L;  // largest relative rounding error of double
template <class T>
inline constexpr Real kUnit = std::numeric_limits<T>::epsilon() / Real{2};

/// Error of storing, as a T, a number that is at most `error` away from `value`: half a unit in the
/// last place, where T is not what is computed in.
template <class T>
Real storage_error(Real value, Real error) {
  return kIsHalf<T> ? ulp<T>(std::abs(value) + error) / 2 : 0;
}

/// How one of the two loops cuts a row: values a leaf, values that give its pivot; how many
/// additions deep a leaf is in double (with weights), and in what its sums are taken, and their
/// unit.
struct LeafShape {
  std::int64_t leaf;
  std::int64_t pivot;
  std::int64_t weighted_depth;
  std::int64_t depth;
  Real unit;
};
template <class T>
inline constexpr Real kSumUnit = kIsHalf<T> ? 0x1p-24L : kDoubleUnit;
template <class T>
inline constexpr LeafShape kRowLeaf{1024, 16, 32 + 5, kIsHalf<T> ? 16 + 6 : 32 + 5, kSumUnit<T>};
template <class T>
inline constexpr LeafShape kChannelLeaf{64, std::same_as<T, double> ? 8 : 1, 64, 64, kSumUnit<T>};

/// A row's exact moments, and how far computed ones may be away.
struct MomentBounds {
  Real n = 0, mean = 0, m2 = 0;  // n: the sum of the weights
  Real mean_error = 0, m2_error = 0;
  Real levels = 0;          // of the tree of leaves
  Real depth = 0;           // of a leaf's sums
  Real unit = kDoubleUnit;  // of what they are taken in
  Real weight_error = 0;    // relative, of n
  bool weighted = false;

  Real variance() const { return n > 0 ? m2 / n : 0; }
  /// Relative error of variance + eps.
  Real variance_error(Real eps) const {
    const Real total = variance() + eps;
    if (!(n > 0 && total > 0)) return 0;
    return (m2_error / n + weight_error * variance() + 3 * kDoubleUnit * total) / total;
  }
};

inline Real exact_mean(std::span<const Real> values) {
  // A second pass takes away what the rounding of the first one's sums left.
  Real sum = 0, rest = 0;
  for (const Real x : values) sum += x;
  const Real mean = sum / static_cast<Real>(values.size());
  for (const Real x : values) rest += x - mean;
  return mean + rest / static_cast<Real>(values.size());
}

/// sum((x - p)^2) over every leaf, p being its pivot.
inline Real squares_around_pivots(std::span<const Real> row, const LeafShape& shape) {
  Real squares = 0;
  const auto size = static_cast<std::int64_t>(row.size());
  for (std::int64_t at = 0; at < size; at += shape.leaf) {
    const auto leaf = row.subspan(static_cast<std::size_t>(at),
                                  static_cast<std::size_t>(std::min(shape.leaf, size - at)));
    auto pivots = shape.pivot;
    while (pivots > static_cast<std::int64_t>(leaf.size())) pivots /= 2;
    const Real pivot = exact_mean(leaf.first(static_cast<std::size_t>(pivots)));
    for (const Real x : leaf) squares += (x - pivot) * (x - pivot);
  }
  return squares;
}

/// `weights`: one a value, or empty for 1 each (docs/numerics.md, "Weights"; m: values of a leaf).
inline MomentBounds moment_bounds(std::span<const Real> row, const LeafShape& shape,
                                  std::span<const Real> weights = {}) {
  MomentBounds bounds;
  if (row.empty()) return bounds;
  const Real u = kDoubleUnit;
  const auto size = static_cast<std::int64_t>(row.size());
  bounds.weighted = !weights.empty();
  const auto weight = [&](std::size_t i) { return bounds.weighted ? weights[i] : Real{1}; };
  Real lowest = row[0], highest = row[0], sum = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    bounds.n += weight(i);
    sum += weight(i) * (row[i] - row[0]);
    lowest = std::min(lowest, row[i]);
    highest = std::max(highest, row[i]);
  }
  bounds.mean = row[0] + sum / bounds.n;
  // The mean itself is rounded to long double, which counts far from zero: once more, around it.
  for (const bool last : {false, true}) {
    Real rest = 0, squares = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const Real d = row[i] - bounds.mean;
      rest += weight(i) * d;
      squares += weight(i) * d * d;
    }
    if (last) bounds.m2 = squares - rest * rest / bounds.n;
    bounds.mean += rest / bounds.n;
  }
  const Real largest = std::max(std::abs(lowest), std::abs(highest));
  const Real spread = highest - lowest;
  bounds.depth = static_cast<Real>(std::min(size, shape.depth));
  bounds.unit = shape.unit;
  // A leaf is merged once a level, and at most once a level more where the tree is not full.
  const auto leaves = (size + shape.leaf - 1) / shape.leaf;
  bounds.levels = leaves > 1 ? 2 * std::ceil(std::log2(static_cast<Real>(leaves))) : 0;
  const Real merges = bounds.levels * (3 * u * spread + u * largest);
  Real squares = 0, in_leaf = 0;
  if (!bounds.weighted) {
    const Real v = bounds.unit;
    bounds.mean_error = (bounds.depth + 7) * v * spread + u * largest + merges;
    squares = squares_around_pivots(row, shape);
    // The pivot itself is rounded: |x - pivot| moves by 2 v largest.
    squares +=
        4 * v * largest * std::sqrt(bounds.n * squares) + 4 * bounds.n * v * v * largest * largest;
    in_leaf = (3 * bounds.depth + 24) * v * squares;
  } else {
    const auto m = static_cast<Real>(std::min(size, shape.leaf));
    const auto depth = static_cast<Real>(std::min(size, shape.weighted_depth));
    const Real first = (depth + m + 12) * u * spread + 2 * u * largest;
    bounds.weight_error = (m + bounds.levels) * u;
    bounds.mean_error =
        (depth + 9) * u * spread + u * largest + merges + (leaves > 1 ? 2 * m * u * spread : 0);
    squares = bounds.m2 + bounds.n * first * first;
    in_leaf = (3 * depth + 30) * u * squares + m * u * bounds.n * first * first +
              (leaves > 1 ? 2 * m * u * bounds.m2 : 0);
  }
  const Real error = bounds.mean_error;
  bounds.m2_error = in_leaf + 8 * bounds.levels * u * bounds.m2 +
                    2 * bounds.levels * error * std::sqrt(bounds.n * bounds.m2) +
                    bounds.levels * bounds.n * error * error;
  return bounds;
}

/// Error of y = act((x - center) * scale + shift) in T, from exact coefficients (docs/numerics.md,
/// "Normalization"); A = (x - center) * scale.
template <class T>
Real affine_error(Real a, Real shift) {
  return Real{1.01} * kUnit<T> * (3 * std::abs(a) + std::abs(shift) + std::abs(a + shift)) +
         4 * std::numeric_limits<T>::denorm_min();
}

/// A number that is computed in C, and how far it may be off.
struct Estimate {
  Real value = 0;
  Real error = 0;
};

/// A residual is added in C: one rounding more. Null for none.
template <class T>
Estimate with_residual(Estimate u, const Real* residual) {
  if (residual != nullptr) {
    u.value += *residual;
    u.error += Real{1.01} * kUnit<NormParameter<T>> * (std::abs(u.value) + u.error);
  }
  return u;
}

/// Error of y when `error` is that of u = (x - center) * scale + shift in C: a residual is added,
/// then the sum is stored. (A relu makes no error larger.)
template <class T>
Real stored_error(Real u, Real error, const Real* residual) {
  const Estimate sum = with_residual<T>({u, error}, residual);
  return sum.error + storage_error<T>(sum.value, sum.error);
}

/// u of training, before the activation. gamma, beta: of the channel. `residual`: null for none.
template <class T>
Estimate training_output(const MomentBounds& row, Real x, Real gamma, Real beta, Real eps,
                         const Real* residual = nullptr) {
  using C = NormParameter<T>;
  const Real u = kDoubleUnit;
  const Real square = row.variance() + eps;
  const Real scale = square > 0 ? gamma / std::sqrt(square) : 0;
  const Real center = static_cast<C>(row.mean);
  const Real a = (x - center) * scale;
  const Real shift = beta - (row.mean - center) * scale;
  // The mean that is rounded to center is the computed one: center may be its neighbour in C.
  const Real neighbour = std::abs(scale) * 2 * kUnit<C> * std::abs(row.mean);
  const Real lost = Real{1.01} * kUnit<C> * 5 * neighbour;
  const Real error = affine_error<C>(a, shift) + lost +
                     std::abs((x - row.mean) * scale) * (row.variance_error(eps) / 2 + 4 * u) +
                     std::abs(scale) * row.mean_error +
                     3 * u * (std::abs(beta) + std::abs((row.mean - center) * scale) + neighbour);
  return with_residual<T>({a + shift, error}, residual);
}

/// Error of y in training.
template <class T>
Real output_error(const MomentBounds& row, Real x, Real gamma, Real beta, Real eps,
                  const Real* residual = nullptr) {
  const Estimate u = training_output<T>(row, x, gamma, beta, eps, residual);
  return stored_error<T>(u.value, u.error, nullptr);
}

/// Error of y in inference, where the statistics are given: folded (center 0) where |mean| <= 8
/// sqrt(variance + eps), else centred. Six operations in double make the coefficients.
template <class T>
Real inference_error(Real x, Real mean, Real variance, Real gamma, Real beta, Real eps,
                     const Real* residual = nullptr) {
  using C = NormParameter<T>;
  const Real deviation = std::sqrt(variance + eps);
  const Real scale = deviation == 0 ? 0 : gamma / deviation;
  const Real center = std::abs(mean) <= 8 * deviation ? 0 : static_cast<C>(mean);
  const Real lost = (mean - center) * scale, a = (x - center) * scale;
  const Real error = affine_error<C>(a, beta - lost) +
                     6 * kDoubleUnit * (std::abs(a) + std::abs(beta) + std::abs(lost));
  return stored_error<T>(a + beta - lost, error, residual);
}

/// The backward pass of one row: exact results and what computed ones may be away by.
struct GradientBounds {
  Real dbeta = 0, dgamma = 0;
  Real dbeta_error = 0, dgamma_error = 0;  // of the sums in double
};
inline GradientBounds gradient_bounds(const MomentBounds& row, std::span<const Real> x,
                                      std::span<const Real> dy, Real eps) {
  GradientBounds bounds;
  const Real u = kDoubleUnit, v = row.unit;
  const Real square = row.variance() + eps;
  const Real rstd = square > 0 ? 1 / std::sqrt(square) : 0;
  Real sum = 0, products = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Real xhat = (x[i] - row.mean) * rstd;
    bounds.dbeta += dy[i];
    bounds.dgamma += dy[i] * xhat;
    sum += std::abs(dy[i]);
    products += std::abs(dy[i] * xhat);
  }
  bounds.dbeta_error = ((row.depth + 7) * v + row.levels * u) * sum;
  bounds.dgamma_error = ((row.depth + 12) * v + row.levels * u) * products +
                        rstd * row.mean_error * sum + row.variance_error(eps) / 2 * products;
  // In float, x - mean is around the rounded mean.
  if (v > u) {
    bounds.dgamma_error += rstd * (2 * row.depth + 12) * v * v * std::abs(row.mean) * sum;
  }
  return bounds;
}

/// dx = a * (dy + w * (B + c)) in C, B = b * (x - center), from exact coefficients. `weighted`: w
/// multiplies, one rounding more of B and c.
template <class C>
Real input_gradient_terms(Real a, Real dy, Real b_term, Real c, Real w = 1, bool weighted = false) {
  const Real more = weighted ? 1 : 0;
  return Real{1.01} * kUnit<C> * std::abs(a) *
         (3 * std::abs(dy) + w * ((7 + more) * std::abs(b_term) + (5 + more) * std::abs(c)));
}

/// Error of dx at one value; `weight` is that of its column.
template <class T>
Real input_gradient_error(const MomentBounds& row, const GradientBounds& sums, Real x, Real dy,
                          Real gamma, Real eps, Real weight = 1) {
  using C = NormParameter<T>;
  const Real square = row.variance() + eps;
  const Real rstd = square > 0 ? 1 / std::sqrt(square) : 0;
  const Real a = gamma * rstd;
  const Real xhat = (x - row.mean) * rstd;
  const Real b = -rstd * sums.dgamma / row.n;
  const Real center = static_cast<C>(row.mean);
  const Real neighbour = 2 * kUnit<C> * std::abs(row.mean);  // see output_error
  const Real c = -sums.dbeta / row.n - b * (row.mean - center);
  const Real first = std::abs(dy), second = std::abs(b) * (std::abs(x - center) + neighbour),
             third = std::abs(c) + std::abs(b) * neighbour;
  const Real relative = row.variance_error(eps) + 8 * kDoubleUnit;
  const Real error =
      input_gradient_terms<C>(a, first, second, third, weight, row.weighted) +
      std::abs(a) * (relative * (first + 2 * weight * (second + third)) +
                     weight * (row.weight_error * (second + third) +
                               (sums.dbeta_error + std::abs(xhat) * sums.dgamma_error) / row.n +
                               std::abs(b) * row.mean_error)) +
      8 * std::numeric_limits<C>::denorm_min() * (1 + std::abs(a)) * (1 + weight);
  const Real dx = a * (dy + weight * (b * (x - center) + c));
  return error + storage_error<T>(dx, error);
}

}  // namespace evenrow::oracle
