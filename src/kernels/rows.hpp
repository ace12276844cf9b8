// SIMD kernels over one contiguous row (one channel of `[C, m]`, or a segment of it): plain
// functions, each dispatched at run time to the best target of this CPU (see targets.hpp). They
// allocate nothing, throw nothing and start no threads. T: float, double.
//
// Sums are taken in double, in leaves of kLeaf values: 32 partial sums (value i goes to sum i mod
// 32), folded by halves; leaves are then merged over a fixed binary tree (pairwise.hpp). So a
// result depends on the values and their number alone, and is the same on every target with a fused
// multiply-add (AVX2 and AVX-512 agree bit for bit). Derived error bounds: docs/numerics.md.
#pragma once

#include <cstdint>

#include "evenrow/activation.hpp"

namespace evenrow::kernels {

/// Values in a leaf: small enough for the pivot to be good and for a copy to stay in L1.
inline constexpr std::int64_t kLeaf = 1024;

/// Number of values, their mean, and M2 = sum((x - mean)^2) >= 0.
struct Moments {
  double count = 0;
  double mean = 0;
  double m2 = 0;
};

/// The two moments together (Chan, Golub, LeVeque 1979). merge(a, {}) == a and merge({}, b) == b,
/// bit for bit.
Moments merge(const Moments& a, const Moments& b) noexcept;

/// Mean and M2 of x[0..n). A constant x gives exactly that constant and 0. In a leaf: sums of
/// x - pivot and of its square, the pivot being the mean of the leaf's first values.
template <class T>
Moments row_moments(const T* x, std::int64_t n) noexcept;

/// u = (x - center) * scale + shift.
template <class T>
struct Affine {
  T center = 0;
  T scale = 1;
  T shift = 0;
};

/// y[i] = act((x[i] - center) * scale + shift), act none or relu; y may be x. NaN stays NaN.
template <class T>
void row_normalize(const T* x, T* y, std::int64_t n, T center, T scale, T shift,
                   bool relu) noexcept;

/// Sums of the backward pass.
struct GradientSums {
  double dy = 0;       ///< sum(dy)
  double dy_xhat = 0;  ///< sum(dy * xhat), xhat = (x - mean) * rstd
};
GradientSums merge(const GradientSums& a, const GradientSums& b) noexcept;

/// The sums over x[0..n), dy[0..n); `mean` in double costs nothing and keeps offsets exact. With
/// `relu_of` a value of dy counts as 0 where that forward pass's relu gave 0: u <= 0, with u
/// computed as row_normalize does, bit for bit.
template <class T>
GradientSums row_gradient_sums(const T* x, const T* dy, std::int64_t n, double mean, double rstd,
                               const Affine<T>* relu_of = nullptr) noexcept;

/// dx[i] = a * (dy[i] + b * (x[i] - center) + c); dx may be dy or x; relu_of as above. (Multiplied
/// out, the factor of x would be gamma rstd^2 dgamma / n, too small for float where rows are wide.)
template <class T>
void row_input_gradient(const T* x, const T* dy, T* dx, std::int64_t n, T center, T a, T b, T c,
                        const Affine<T>* relu_of = nullptr) noexcept;

}  // namespace evenrow::kernels
