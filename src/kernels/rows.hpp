// SIMD kernels over one contiguous row (one channel of `[C, m]`, or a segment of it): plain
// functions, each dispatched at run time to the best target of this CPU. They allocate nothing,
// throw nothing and start no threads. T: float, double.
#pragma once

#include <cstdint>

#include "evenrow/activation.hpp"

namespace evenrow::kernels {

/// Number of values, their mean, and M2 = sum((x - mean)^2).
struct Moments {
  double count = 0;
  double mean = 0;
  double m2 = 0;
};

/// The two moments together (Chan, Golub, LeVeque 1979). merge(a, {}) == a, bit for bit.
Moments merge(const Moments& a, const Moments& b) noexcept;

/// Mean and M2 of x[0..n): leaves of a fixed length, merged over a fixed binary tree.
template <class T>
Moments row_moments(const T* x, std::int64_t n) noexcept;

/// y[i] = act((x[i] - center) * scale + shift), act none or relu; y may be x.
template <class T>
void row_normalize(const T* x, T* y, std::int64_t n, T center, T scale, T shift,
                   bool relu) noexcept;

/// Sums of the backward pass, accumulated by leaves and in double over the fixed tree.
struct GradientSums {
  double dy = 0;       ///< sum(dy)
  double dy_xhat = 0;  ///< sum(dy * xhat), xhat = (x - mean) * rstd
};
template <class T>
GradientSums row_gradient_sums(const T* x, const T* dy, std::int64_t n, T mean, T rstd) noexcept;

/// dx[i] = a * dy[i] + b * (x[i] - mean) + c; dx may be dy or x.
template <class T>
void row_input_gradient(const T* x, const T* dy, T* dx, std::int64_t n, T mean, T a, T b,
                        T c) noexcept;

}  // namespace evenrow::kernels
