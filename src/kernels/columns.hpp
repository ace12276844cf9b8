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

/// Columns in a leaf, and how many of its first ones give the pivot. One is enough for types that
/// leave the sums (in float of 16 bits, else in double) digits to spare: at least one of 64 values
/// gives the pivot, as in a leaf of rows.hpp.
inline constexpr std::int64_t kColumnLeaf = 64;
template <class T>
inline constexpr std::int64_t kPivotColumns = sizeof(T) == sizeof(double) ? 8 : 1;

/// Some neighbouring channels of a tensor: those of column j are at base + j * column. A null base:
/// no tensor. Memory is asked for `ahead` values ahead of what is read; 0: not at all.
template <class T>
struct Columns {
  T* base = nullptr;
  std::int64_t column = 0;
  std::int64_t ahead = 0;
};

/// A bit a value, see ReluBits; base is that of a channel that is a multiple of 8.
using ColumnBits = Columns<std::uint8_t>;

/// As ReluGate; forward: one value a channel.
template <class C>
struct ColumnGate {
  const ChannelAffine<C>* forward = nullptr;
  ColumnBits bits{};
};

/// Mean and M2 of each channel over every leaf of the positions [first, first + count); `first`
/// starts a leaf. Leaf i has its means at records + i * record, one a channel, and M2 `m2` further
/// on.
template <class T>
void column_moments(const Columns<const T>& x, const Runs& runs, std::int64_t first,
                    std::int64_t count, std::int64_t channels, double* records, std::int64_t record,
                    std::int64_t m2) noexcept;

/// Leaves, or what several of them were merged to, merged over the fixed tree: to the mean, and to
/// M2 / divisor. Node i has counts[i] (its weight) and is where column_moments puts a leaf. The
/// records are used up; the results may be the first one.
void merge_column_moments(double* records, std::int64_t record, std::int64_t m2,
                          const double* counts, std::int64_t nodes, std::int64_t channels,
                          double divisor, double* mean, double* squares) noexcept;

/// sum(dy) and, `centered` further on, sum(dy * (x - mean)) of each channel over every leaf, dy
/// after the gate; otherwise as column_moments.
template <class T>
void column_gradient_sums(const Columns<const T>& x, const Columns<const T>& dy, const Runs& runs,
                          std::int64_t first, std::int64_t count, std::int64_t channels,
                          const double* mean, const ColumnGate<NormParameter<T>>& gate,
                          double* records, std::int64_t record, std::int64_t centered) noexcept;

/// The same of gradient sums: sum(dy), and sum(dy * (x - mean)) or, where `rstd` is not null, times
/// it: sum(dy * xhat).
void merge_column_gradient_sums(double* records, std::int64_t record, std::int64_t centered,
                                std::int64_t nodes, std::int64_t channels, const double* rstd,
                                double* dy, double* dy_times) noexcept;

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
