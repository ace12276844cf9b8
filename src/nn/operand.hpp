// The operands of a product that is cut into blocks of rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "evenrow/aligned.hpp"
#include "kernels/gemm.hpp"
#include "kernels/transpose.hpp"
#include "nn/row_block.hpp"

namespace evenrow::nn {

/// As kernels::gemm takes it.
template <class T>
struct Operand {
  const T* values = nullptr;
  std::int64_t stride = 0;
  kernels::Transpose transpose = kernels::Transpose::no;
};

/// Whether B' of a product of so many rows is copied before the blocks begin, so that they read it
/// without transposing it, each for itself. Few rows do not repay the copy, and larger blocks than
/// the smallest hide what they do (docs/benchmarks.md, "The training step").
constexpr bool transposes_first(std::int64_t product_rows) noexcept {
  return product_rows >= 256 && row_block(product_rows) == row_block(1);
}

/// The values of that copy, B being [rows, columns]; 0 where there is none.
constexpr std::int64_t transposed_size(std::int64_t product_rows, std::int64_t rows,
                                       std::int64_t columns) noexcept {
  return transposes_first(product_rows) ? columns * kernels::transposed_stride(rows) : 0;
}

/// B' for a product of so many rows, B being [rows, columns] and dense: copied by all threads to
/// `room` if it has room for it, otherwise as it lies.
template <class T>
Operand<T> transposed(std::int64_t product_rows, const T* b, std::int64_t rows,
                      std::int64_t columns, std::span<T> room, int threads) {
  const std::int64_t size = transposed_size(product_rows, rows, columns);
  if (size == 0 || size > std::ssize(room)) return {b, columns, kernels::Transpose::yes};
  constexpr std::int64_t kRows = 32;  // a task
  const std::int64_t stride = kernels::transposed_stride(rows);
  core::parallel_for(threads, core::block_count(rows, kRows), [&](std::int64_t task) {
    const std::int64_t first = task * kRows;
    kernels::transpose(b + first * columns, columns, std::min(kRows, rows - first), columns,
                       room.data() + first, stride);
  });
  return {room.data(), stride, kernels::Transpose::no};
}

/// Whether rows of A', A having so many columns, are copied before their product with n columns: of
/// wide layers, where oneDNN is slow to collect columns whose values are pages apart. Many examples
/// hide that.
constexpr bool transposes_rows(std::int64_t columns, std::int64_t n) noexcept {
  return row_block(columns) >= 128 && n <= 512;
}

/// C = A' B for the rows [first, first + rows) of A', A being [k, columns] and B [k, n], all dense;
/// c is where row `first` of C is. Copies lie in memory that this thread keeps.
template <class T>
void transposed_product(const T* a, std::int64_t k, std::int64_t columns, std::int64_t first,
                        std::int64_t rows, const T* b, std::int64_t n, T* c) {
  using kernels::Transpose;
  if (!transposes_rows(columns, n)) {
    return kernels::gemm(Transpose::yes, Transpose::no, rows, n, k, a + first, columns, b, n, c, n);
  }
  constexpr std::int64_t kRows = 64;  // as many as stay in a cache until they are used
  thread_local AlignedVector<T> copy;
  const std::int64_t stride = kernels::transposed_stride(k);
  if (std::ssize(copy) < kRows * stride) copy.resize(static_cast<std::size_t>(kRows * stride));
  for (std::int64_t i = 0; i < rows; i += kRows) {
    const std::int64_t here = std::min(kRows, rows - i);
    kernels::transpose(a + first + i, columns, k, here, copy.data(), stride);
    kernels::gemm(Transpose::no, Transpose::no, here, n, k, static_cast<const T*>(copy.data()),
                  stride, b, n, c + i * n, n);
  }
}

}  // namespace evenrow::nn
