// The transposed copy of a matrix: dispatched as in rows.hpp.
#pragma once

#include <cstdint>

namespace evenrow::kernels {

/// The row stride of a transposed copy of so many columns: not a multiple of 4 KiB, where every row
/// would begin in the same set of a cache.
constexpr std::int64_t transposed_stride(std::int64_t columns) noexcept {
  return columns + 16;
}

/// to[c * to_stride + r] = from[r * from_stride + c] for r < rows, c < columns; no overlap.
template <class T>
void transpose(const T* from, std::int64_t from_stride, std::int64_t rows, std::int64_t columns,
               T* to, std::int64_t to_stride) noexcept;

}  // namespace evenrow::kernels
