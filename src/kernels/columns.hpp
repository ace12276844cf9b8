// SIMD kernels over consecutive columns of a channels-last tensor: column j starts at x + j *
// stride and holds `channels` contiguous values; a lane is a channel. Dispatched as in rows.hpp;
// they allocate nothing, throw nothing and start no threads. T: float, double.
//
// Every channel is computed on its own, one column after the other: a result does not depend on how
// channels or columns are split over calls, nor on the target if it has a fused multiply-add.
#pragma once

#include <cstdint>

#include "kernels/rows.hpp"

namespace evenrow::kernels {

/// Columns in a leaf, and how many of its first ones give the pivot. 64 columns stand for one of
/// the pivot, as in a leaf of rows.hpp.
inline constexpr std::int64_t kColumnLeaf = 512;
inline constexpr std::int64_t kPivotColumns = 8;

/// One value of each field a channel; see Affine.
template <class T>
struct ChannelAffine {
  const T* center;
  const T* scale;
  const T* shift;
};

/// sum[c] += sum_j (x_j[c] - pivot[c]),  squares[c] += sum_j (x_j[c] - pivot[c])^2
template <class T>
void column_moment_sums(const T* x, std::int64_t columns, std::int64_t stride,
                        std::int64_t channels, const double* pivot, double* sum,
                        double* squares) noexcept;

/// y_j[c] = act((x_j[c] - center[c]) * scale[c] + shift[c]), act none or relu; y may be x.
template <class T>
void column_normalize(const T* x, T* y, std::int64_t columns, std::int64_t stride,
                      std::int64_t channels, const ChannelAffine<T>& forward, bool relu) noexcept;

/// sum_dy[c] += sum_j dy_j[c],  sum_dy_centered[c] += sum_j dy_j[c] * (x_j[c] - mean[c]).
/// `relu_of` as in row_gradient_sums.
template <class T>
void column_gradient_sums(const T* x, const T* dy, std::int64_t columns, std::int64_t stride,
                          std::int64_t channels, const double* mean, double* sum_dy,
                          double* sum_dy_centered, const ChannelAffine<T>* relu_of) noexcept;

/// One value of each field a channel: dx = a * (dy + b * (x - center) + c).
template <class T>
struct ChannelGradient {
  const T* center;
  const T* a;
  const T* b;
  const T* c;
};
/// dx_j[c] as above; dx may be dy or x. `relu_of` as in row_gradient_sums.
template <class T>
void column_input_gradient(const T* x, const T* dy, T* dx, std::int64_t columns,
                           std::int64_t stride, std::int64_t channels,
                           const ChannelGradient<T>& gradient,
                           const ChannelAffine<T>* relu_of) noexcept;

}  // namespace evenrow::kernels
