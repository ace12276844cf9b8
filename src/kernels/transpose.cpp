#include "kernels/transpose.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE  // the foreach_target.h below includes this file again
#define HWY_COMPILE_ALL_ATTAINABLE  // the scalar target too, whatever the compiler's baseline is
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/transpose.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
void TransposeValues(const T* from, std::int64_t from_stride, std::int64_t rows,
                     std::int64_t columns, T* to, std::int64_t to_stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

#if HWY_TARGET != HWY_SCALAR  // which has no blocks of 16 bytes
// The blocks of 16 bytes of a vector, each to a row of its own: block i to row 4 i.
template <class D>
HWY_INLINE void store_blocks(D d, hn::Vec<D> v, float* to, std::int64_t stride) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  if constexpr (lanes == 4) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Half<D> half;
    store_blocks(half, hn::LowerHalf(half, v), to, stride);
    store_blocks(half, hn::UpperHalf(half, v), to + lanes / 2 * stride, stride);
  }
}

// So many rows make a line of the copy.
constexpr std::int64_t kLine = 16;

// Four rows of whole vectors; those of the next line are asked for, rows may be pages apart.
template <class D>
HWY_INLINE void transpose_four(D d, const float* from, std::int64_t from_stride, float* to,
                               std::int64_t to_stride) {
  for (int i = 0; i < 4; ++i) FetchLines(from, (kLine + i) * from_stride, 1);
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + from_stride);
  const auto r2 = hn::LoadU(d, from + 2 * from_stride), r3 = hn::LoadU(d, from + 3 * from_stride);
  const auto low02 = hn::InterleaveLower(d, r0, r2), high02 = hn::InterleaveUpper(d, r0, r2);
  const auto low13 = hn::InterleaveLower(d, r1, r3), high13 = hn::InterleaveUpper(d, r1, r3);
  store_blocks(d, hn::InterleaveLower(d, low02, low13), to, to_stride);
  store_blocks(d, hn::InterleaveUpper(d, low02, low13), to + to_stride, to_stride);
  store_blocks(d, hn::InterleaveLower(d, high02, high13), to + 2 * to_stride, to_stride);
  store_blocks(d, hn::InterleaveUpper(d, high02, high13), to + 3 * to_stride, to_stride);
}
#endif

void TransposeF32(const float* from, std::int64_t from_stride, std::int64_t rows,
                  std::int64_t columns, float* to, std::int64_t to_stride) {
  std::int64_t whole_rows = 0, whole_columns = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<float> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  whole_rows = rows / 4 * 4;
  whole_columns = columns / lanes * lanes;
  for (std::int64_t block = 0; block < whole_rows; block += kLine) {
    const std::int64_t end = std::min(block + kLine, whole_rows);
    for (std::int64_t c = 0; c < whole_columns; c += lanes) {
      for (std::int64_t r = block; r < end; r += 4) {
        transpose_four(d, from + r * from_stride + c, from_stride, to + c * to_stride + r,
                       to_stride);
      }
    }
  }
#endif
  TransposeValues(from + whole_columns, from_stride, whole_rows, columns - whole_columns,
                  to + whole_columns * to_stride, to_stride);
  TransposeValues(from + whole_rows * from_stride, from_stride, rows - whole_rows, columns,
                  to + whole_rows, to_stride);
}

void TransposeF64(const double* from, std::int64_t from_stride, std::int64_t rows,
                  std::int64_t columns, double* to, std::int64_t to_stride) {
  TransposeValues(from, from_stride, rows, columns, to, to_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

HWY_EXPORT(TransposeF32);
HWY_EXPORT(TransposeF64);

template <>
void transpose<float>(const float* from, std::int64_t from_stride, std::int64_t rows,
                      std::int64_t columns, float* to, std::int64_t to_stride) noexcept {
  HWY_DYNAMIC_DISPATCH(TransposeF32)(from, from_stride, rows, columns, to, to_stride);
}
template <>
void transpose<double>(const double* from, std::int64_t from_stride, std::int64_t rows,
                       std::int64_t columns, double* to, std::int64_t to_stride) noexcept {
  HWY_DYNAMIC_DISPATCH(TransposeF64)(from, from_stride, rows, columns, to, to_stride);
}

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
