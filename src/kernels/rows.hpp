// SIMD kernels over rows: contiguous ones (one channel of `[C, m]`), and channels of a tensor that
// lie in several segments. Plain functions, each dispatched at run time to the best target of this
// CPU (see targets.hpp). They allocate nothing, throw nothing and start no threads.
//
// Sums are taken in leaves of kLeaf values, in double: 32 partial sums (value i goes to sum i mod
// 32), or of 16-bit values 64 in float, folded by halves; leaves are then merged in double over a
// fixed binary tree (pairwise.hpp). So a result depends on the values and their number alone, and
// is the same on every target with a fused multiply-add (AVX2 and AVX-512 agree bit for bit).
// Derived error bounds: docs/numerics.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "evenrow/batch_norm.hpp"
#include "kernels/coefficients.hpp"

namespace evenrow::kernels {

/// Values in a leaf: small enough for the pivot to be good and for a copy to stay in L1.
inline constexpr std::int64_t kLeaf = 1024;

/// How many of a leaf's first values give its pivot.
inline constexpr std::int64_t kPivotValues = 16;

/// Sum of the weights (without weights: number of values), mean, and M2 = sum(w (x - mean)^2) >= 0.
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
template <class C>
struct Affine {
  C center = 0;
  C scale = 1;
  C shift = 0;
};

/// y[i] = act((x[i] - center) * scale + shift), act none or relu; y may be x. NaN stays NaN.
template <class T>
void row_normalize(const T* x, T* y, std::int64_t n, const Affine<NormParameter<T>>& k,
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
                               const Affine<NormParameter<T>>* relu_of = nullptr) noexcept;

/// dx = a * (dy + b * (x - center) + c). (Multiplied out, the factor of x would be
/// gamma rstd^2 dgamma / n, too small for float where rows are wide.)
template <class C>
struct InputGradient {
  C center = 0;
  C a = 0;
  C b = 0;
  C c = 0;
};

/// dx[i] as above, from x[i] and dy[i]; dx may be dy or x; relu_of as above.
template <class T>
void row_input_gradient(const T* x, const T* dy, T* dx, std::int64_t n,
                        const InputGradient<NormParameter<T>>& k,
                        const Affine<NormParameter<T>>* relu_of = nullptr) noexcept;

/// Valid columns that follow each other in memory (in each channel).
struct Run {
  std::int64_t start = 0;   ///< Index of the first column.
  std::int64_t length = 0;  ///< >= 1.
  std::int64_t before = 0;  ///< Valid columns before this run.
  std::int64_t outer = 0;   ///< Where the first column is: (outer, inner).
  std::int64_t inner = 0;
};

/// The valid columns of a tensor as runs, in order. They have positions 0, 1, ...
struct Runs {
  const Run* data = nullptr;
  std::size_t size = 0;
  std::int64_t segment = 0;              ///< Columns that are contiguous: inner.
  const float* weights = nullptr;        ///< One a column, or null.
  const double* leaf_weights = nullptr;  ///< Then: their sum, one a leaf of positions.

  /// Index of the run with this position; size at the end.
  std::size_t at_position(std::int64_t position) const noexcept;
  /// Index of the first run that ends after this column; size if none does.
  std::size_t at_column(std::int64_t column) const noexcept;
};

/// Neighbouring channels of a tensor: column (o, i) of channel c is at base[o * outer + c * channel
/// + i]. A null base: no tensor.
template <class T>
struct Rows {
  T* base = nullptr;
  std::int64_t outer = 0;
  std::int64_t channel = 0;
  bool far = false;        ///< In memory, not in a cache: sums ask for it ahead.
  std::int64_t ahead = 0;  ///< Where it is mapped, it is asked for so many values ahead; or 0.
};

/// What a fused relu let through, a bit a value: column (o, i) of channel c is bit b % 8 of
/// base[o * outer + b / 8], b = first + c * channel + i. A null base: none. Bytes may be read up to
/// kBitsPadding behind the last one.
struct ReluBits {
  std::uint8_t* base = nullptr;
  std::int64_t outer = 0;    ///< In bytes.
  std::int64_t channel = 0;  ///< In bits.
  std::int64_t first = 0;
};
inline constexpr std::int64_t kBitsPadding = 4;

/// How the backward pass undoes a relu: not at all, by the bits, or by computing u again.
template <class C>
struct ReluGate {
  const ChannelAffine<C>* forward = nullptr;
  ReluBits bits{};
};

/// The moments of every leaf of the positions [first, first + count) of some channels; `first`
/// starts a leaf. Leaf l of channel c goes to leaves[c * stride + l].
template <class T>
void channel_moments(const Rows<const T>& x, const Runs& runs, std::int64_t first,
                     std::int64_t count, std::int64_t channels, Moments* leaves,
                     std::int64_t stride) noexcept;

/// The columns [begin, end); those that are not valid become 0. `stream`: written past the caches
/// (then no output is an input).
struct ColumnRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool stream = false;
};

/// y = act((x - center) * scale + shift + residual) for some channels, segment by segment. y may be
/// x or residual. Bits are written where they have a
/// base: then there is a residual, and `relu`.
template <class T>
void channel_normalize(const Rows<const T>& x, const Rows<const T>& residual, const Rows<T>& y,
                       const Runs& runs, const ColumnRange& range, std::int64_t channels,
                       const ChannelAffine<NormParameter<T>>& k, bool relu,
                       const ReluBits& bits) noexcept;

/// The gradient sums of leaves, as in channel_moments, of channels with these statistics.
template <class T>
void channel_gradient_sums(const Rows<const T>& x, const Rows<const T>& dy, const Runs& runs,
                           std::int64_t first, std::int64_t count, std::int64_t channels,
                           const Normalization<NormParameter<T>>& with,
                           const ReluGate<NormParameter<T>>& gate, GradientSums* leaves,
                           std::int64_t stride) noexcept;

/// dx = a * (dy + w * (b * (x - center) + c)), w being the column's weight or 1, and where it has a
/// base dresidual = dy; dy after the gate. dx may be dy or x, dresidual may be dy.
template <class T>
void channel_input_gradient(const Rows<const T>& x, const Rows<const T>& dy, const Rows<T>& dx,
                            const Rows<T>& dresidual, const Runs& runs, const ColumnRange& range,
                            std::int64_t channels, const ChannelGradient<NormParameter<T>>& k,
                            const ReluGate<NormParameter<T>>& gate) noexcept;

}  // namespace evenrow::kernels
