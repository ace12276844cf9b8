// What a call of the operator works on, after its arguments have been checked: the two loops take
// these, for every direction the same.
#pragma once

#include <cstdint>

#include "core/sizes.hpp"
#include "kernels/coefficients.hpp"
#include "kernels/columns.hpp"
#include "kernels/rows.hpp"

namespace evenrow::norm {

/// A tensor with the strides of a View. Null data: no tensor.
template <class T>
struct Strided {
  T* data = nullptr;
  std::int64_t outer = 0;
  std::int64_t channel = 0;
  bool far = false;  ///< Larger than the caches: it has to come from memory.

  /// Channels from c on of a tensor with contiguous segments.
  kernels::Rows<T> rows(std::int64_t c) const noexcept {
    return {data == nullptr ? nullptr : data + c * channel, outer, channel, far};
  }
  /// Channels from c on of a channels-last tensor. If it is far, memory is asked for the columns
  /// that are used next, and at least 16 KiB ahead.
  kernels::Columns<T> columns(std::int64_t c) const noexcept {
    constexpr std::int64_t kNext = 4, kAhead = 16384 / sizeof(T);
    return {data == nullptr ? nullptr : data + c, outer,
            far && outer > 0 ? outer * (kNext + core::block_count(kAhead, outer)) : 0};
  }
};

/// Bits of a tensor of the same sizes; see kernels::ReluBits.
struct StridedBits {
  std::uint8_t* data = nullptr;
  std::int64_t outer = 0;    ///< In bytes.
  std::int64_t channel = 0;  ///< In bits.

  kernels::ReluBits rows(std::int64_t c) const noexcept {
    return {data, outer, channel, c * channel};
  }
  /// From a bit on that begins a byte.
  kernels::ColumnBits columns(std::int64_t bit) const noexcept {
    return {data == nullptr ? nullptr : data + bit / 8, outer};
  }
};

/// y = act((x - center) * scale + shift + residual), training and inference.
template <class T>
struct Forward {
  Strided<const T> x{}, residual{};
  Strided<T> y{};
  kernels::ChannelAffine<NormParameter<T>> k{};
  bool relu = false;
  StridedBits bits{};  // to be written
  bool stream = false;
};

/// dx = a * (dy + b * (x - center) + c), dy after undoing a relu: by `bits` where they have data,
/// else by computing it again with `forward` if `relu`.
template <class T>
struct Backward {
  Strided<const T> x{}, dy{};
  Strided<T> dx{}, dresidual{};
  const double* mean = nullptr;
  const double* rstd = nullptr;
  kernels::ChannelAffine<NormParameter<T>> forward{};
  kernels::ChannelGradient<NormParameter<T>> k{};
  bool relu = false;
  StridedBits bits{};
  bool stream = false;
};

}  // namespace evenrow::norm
