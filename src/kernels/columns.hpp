// SIMD kernels over a channels-last tensor: a column's channels are contiguous, and a lane is a
// channel. Dispatched as in rows.hpp; they allocate nothing, throw nothing and start no threads.
//
// Every channel is computed on its own, one column after the other: a result does not depend on how
// channels are split over calls, nor on the target if it has a fused multiply-add.
#pragma once

#include <cstdint>

#include "kernels/coefficients.hpp"
#include "kernels/rows.hpp"

namespace evenrow::kernels {

/// Columns in a leaf, and how many of its first ones give the pivot. 64 columns stand for one of
/// the pivot, as in a leaf of rows.hpp.
inline constexpr std::int64_t kColumnLeaf = 512;
inline constexpr std::int64_t kPivotColumns = 8;

/// Some neighbouring channels of a tensor: those of column j are at base + j * column. A null base:
/// no tensor.
template <class T>
struct Columns {
  T* base = nullptr;
  std::int64_t column = 0;
};

/// A bit a value, see ReluBits; base is that of a channel that is a multiple of 8.
using ColumnBits = Columns<std::uint8_t>;

/// As ReluGate; forward: one value a channel.
template <class C>
struct ColumnGate {
  const ChannelAffine<C>* forward = nullptr;
  ColumnBits bits{};
};

/// Mean and M2 of each channel over one leaf, the positions [first, first + count).
template <class T>
void column_moments(const Columns<const T>& x, const Runs& runs, std::int64_t first,
                    std::int64_t count, std::int64_t channels, double* mean, double* m2) noexcept;

/// Leaves merged, channel by channel. Leaf i has counts[i] (its weight), and its records of this
/// channel at records + i * record: a mean, and M2 `m2` further on. Variance: M2 / sum of counts.
void merge_column_moments(const double* records, std::int64_t record, std::int64_t m2,
                          const double* counts, std::int64_t leaves, std::int64_t channels,
                          double* mean, double* variance) noexcept;

/// sum(dy) and sum(dy * (x - mean)) of each channel over one leaf, dy after the gate.
template <class T>
void column_gradient_sums(const Columns<const T>& x, const Columns<const T>& dy, const Runs& runs,
                          std::int64_t first, std::int64_t count, std::int64_t channels,
                          const double* mean, const ColumnGate<NormParameter<T>>& gate,
                          double* sum_dy, double* sum_dy_centered) noexcept;

/// Leaves merged: dbeta = sum(dy), dgamma = sum(dy * xhat). The second sum is `centered` behind.
void merge_column_gradient_sums(const double* records, std::int64_t record, std::int64_t centered,
                                std::int64_t leaves, std::int64_t channels, const double* variance,
                                double eps, double* dbeta, double* dgamma) noexcept;

/// As channel_normalize, for some channels.
template <class T>
void column_normalize(const Columns<const T>& x, const Columns<const T>& residual,
                      const Columns<T>& y, const Runs& runs, const ColumnRange& range,
                      std::int64_t channels, const ChannelAffine<NormParameter<T>>& k, bool relu,
                      const ColumnBits& bits) noexcept;

/// As channel_input_gradient, for some channels.
template <class T>
void column_input_gradient(const Columns<const T>& x, const Columns<const T>& dy,
                           const Columns<T>& dx, const Columns<T>& dresidual, const Runs& runs,
                           const ColumnRange& range, std::int64_t channels,
                           const ChannelGradient<NormParameter<T>>& k,
                           const ColumnGate<NormParameter<T>>& gate) noexcept;

}  // namespace evenrow::kernels
