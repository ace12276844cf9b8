// What the operator and its kernels may deviate from the reference by: the bounds that
// docs/numerics.md derives, computed for given data. Nothing here is fitted to what the code does.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/reference.hpp"

namespace evenrow::oracle {

using Real = long double;

inline constexpr Real kDoubleUnit = 0x1p-53L;  // largest relative rounding error of double
template <class T>
inline constexpr Real kUnit = std::numeric_limits<T>::epsilon() / Real{2};

/// How one of the two loops cuts a row: values a leaf, values that give its pivot, and how many
/// additions deep a leaf is.
struct LeafShape {
  std::int64_t leaf;
  std::int64_t pivot;
  std::int64_t depth;
};
inline constexpr LeafShape kRowLeaf{1024, 16, 32 + 5};
inline constexpr LeafShape kChannelLeaf{512, 8, 512};

/// A row's exact moments, and how far computed ones may be away.
struct MomentBounds {
  Real n = 0, mean = 0, m2 = 0;
  Real mean_error = 0, m2_error = 0;
  Real levels = 0;  // of the tree of leaves
  Real depth = 0;   // of a leaf

  Real variance() const { return n > 0 ? m2 / n : 0; }
  /// Relative error of variance + eps.
  Real variance_error(Real eps) const {
    const Real total = variance() + eps;
    return n > 0 && total > 0 ? (m2_error / n + 3 * kDoubleUnit * total) / total : 0;
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

inline MomentBounds moment_bounds(std::span<const Real> row, const LeafShape& shape) {
  MomentBounds bounds;
  if (row.empty()) return bounds;
  const Real u = kDoubleUnit;
  bounds.n = static_cast<Real>(row.size());
  bounds.mean = exact_mean(row);
  Real squares = 0;  // around the pivots
  const auto size = static_cast<std::int64_t>(row.size());
  for (std::int64_t at = 0; at < size; at += shape.leaf) {
    const auto leaf = row.subspan(static_cast<std::size_t>(at),
                                  static_cast<std::size_t>(std::min(shape.leaf, size - at)));
    auto pivots = shape.pivot;
    while (pivots > static_cast<std::int64_t>(leaf.size())) pivots /= 2;
    const Real pivot = exact_mean(leaf.first(static_cast<std::size_t>(pivots)));
    for (const Real x : leaf) squares += (x - pivot) * (x - pivot);
  }
  Real lowest = row[0], highest = row[0];
  Real rest = 0;  // the mean itself is rounded to long double, which counts far from zero
  for (const Real x : row) {
    bounds.m2 += (x - bounds.mean) * (x - bounds.mean);
    rest += x - bounds.mean;
    lowest = std::min(lowest, x);
    highest = std::max(highest, x);
  }
  bounds.m2 -= rest * rest / bounds.n;
  const Real largest = std::max(std::abs(lowest), std::abs(highest));
  const Real spread = highest - lowest;
  bounds.depth = static_cast<Real>(std::min(size, shape.depth));
  // A leaf is merged once a level, and at most once a level more where the tree is not full.
  const auto leaves = (size + shape.leaf - 1) / shape.leaf;
  bounds.levels = leaves > 1 ? 2 * std::ceil(std::log2(static_cast<Real>(leaves))) : 0;
  bounds.mean_error = (bounds.depth + 7) * u * spread + u * largest +
                      bounds.levels * (3 * u * spread + u * largest);
  // The pivot itself is rounded: |x - pivot| moves by 2 u largest.
  squares +=
      4 * u * largest * std::sqrt(bounds.n * squares) + 4 * bounds.n * u * u * largest * largest;
  bounds.m2_error = (3 * bounds.depth + 24) * u * squares + 8 * bounds.levels * u * bounds.m2 +
                    2 * bounds.levels * bounds.mean_error * std::sqrt(bounds.n * bounds.m2) +
                    bounds.levels * bounds.n * bounds.mean_error * bounds.mean_error;
  return bounds;
}

/// Error of y = act((x - center) * scale + shift) in T, from exact coefficients (docs/numerics.md,
/// "Normalization"); A = (x - center) * scale.
template <class T>
Real affine_error(Real a, Real shift) {
  return Real{1.01} * kUnit<T> * (3 * std::abs(a) + std::abs(shift) + std::abs(a + shift)) +
         4 * std::numeric_limits<T>::denorm_min();
}

/// Error of y in training. `parameters` of one channel.
template <class T>
Real output_error(const MomentBounds& row, Real x, Real gamma, Real beta, Real eps) {
  const Real u = kDoubleUnit;
  const Real scale = gamma / std::sqrt(row.variance() + eps);
  const Real center = static_cast<T>(row.mean);
  const Real a = (x - center) * scale;
  const Real shift = beta - (row.mean - center) * scale;
  // The mean that is rounded to center is the computed one: center may be its neighbour in T.
  const Real neighbour = std::abs(scale) * 2 * kUnit<T> * std::abs(row.mean);
  const Real lost = Real{1.01} * kUnit<T> * 5 * neighbour;
  return affine_error<T>(a, shift) + lost +
         std::abs((x - row.mean) * scale) * (row.variance_error(eps) / 2 + 4 * u) +
         std::abs(scale) * row.mean_error +
         3 * u * (std::abs(beta) + std::abs((row.mean - center) * scale) + neighbour);
}

/// The backward pass of one row: exact results and what computed ones may be away by.
struct GradientBounds {
  Real dbeta = 0, dgamma = 0;
  Real dbeta_error = 0, dgamma_error = 0;  // of the sums in double
};
inline GradientBounds gradient_bounds(const MomentBounds& row, std::span<const Real> x,
                                      std::span<const Real> dy, Real eps) {
  GradientBounds bounds;
  const Real u = kDoubleUnit;
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
  bounds.dbeta_error = (row.depth + row.levels + 7) * u * sum;
  bounds.dgamma_error = (row.depth + row.levels + 12) * u * products + rstd * row.mean_error * sum +
                        row.variance_error(eps) / 2 * products;
  return bounds;
}

/// Error of dx at one value.
template <class T>
Real input_gradient_error(const MomentBounds& row, const GradientBounds& sums, Real x, Real dy,
                          Real gamma, Real eps) {
  const Real square = row.variance() + eps;
  const Real rstd = square > 0 ? 1 / std::sqrt(square) : 0;
  const Real a = gamma * rstd;
  const Real xhat = (x - row.mean) * rstd;
  const Real b = -rstd * sums.dgamma / row.n;
  const Real center = static_cast<T>(row.mean);
  const Real neighbour = 2 * kUnit<T> * std::abs(row.mean);  // see output_error
  const Real c = -sums.dbeta / row.n - b * (row.mean - center);
  const Real first = std::abs(dy), second = std::abs(b) * (std::abs(x - center) + neighbour),
             third = std::abs(c) + std::abs(b) * neighbour;
  const Real relative = row.variance_error(eps) + 8 * kDoubleUnit;
  return std::abs(a) * (Real{1.01} * kUnit<T> * (3 * first + 7 * second + 5 * third) +
                        relative * (first + 2 * second + 2 * third) +
                        (sums.dbeta_error + std::abs(xhat) * sums.dgamma_error) / row.n +
                        std::abs(b) * row.mean_error) +
         8 * std::numeric_limits<T>::denorm_min() * (1 + std::abs(a));
}

}  // namespace evenrow::oracle
