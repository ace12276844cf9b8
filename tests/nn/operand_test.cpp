// Products whose operands are copied as they are needed first, and where they are not: of integers
// that float adds without an error, so that every product is exact.
#include "nn/operand.hpp"

#include <gtest/gtest.h>

#include <string>

#include "evenrow/aligned.hpp"

namespace evenrow::nn {
namespace {

using kernels::Transpose;

AlignedVector<float> integers(std::int64_t count, std::int64_t step) {
  AlignedVector<float> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = static_cast<float>(i * step % 7 - 3);
  }
  return values;
}

// C = A op(B) by definition, A [m, k]; `b(p, j)` is an element of op(B).
template <class B>
AlignedVector<float> product(const AlignedVector<float>& a, std::int64_t m, std::int64_t n,
                             std::int64_t k, const B& b) {
  AlignedVector<float> c(static_cast<std::size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t p = 0; p < k; ++p) {
      for (std::int64_t j = 0; j < n; ++j) {
        c[static_cast<std::size_t>(i * n + j)] += a[static_cast<std::size_t>(i * k + p)] * b(p, j);
      }
    }
  }
  return c;
}

TEST(Operand, TheTransposedRightOneGivesTheSameProduct) {
  constexpr std::int64_t kProductRows = 256, n = 45, k = 70;
  static_assert(transposes_first(kProductRows));
  const AlignedVector<float> a = integers(kProductRows * k, 5), b = integers(n * k, 3);
  const AlignedVector<float> expected = product(
      a, kProductRows, n, k,
      [&](std::int64_t p, std::int64_t j) { return b[static_cast<std::size_t>(j * k + p)]; });
  const auto needed = static_cast<std::size_t>(transposed_size(kProductRows, n, k));
  for (const std::size_t room : {needed, needed - 1}) {  // copied, or as it lies
    for (const int threads : {1, 3}) {
      AlignedVector<float> copy(room);
      const Operand<float> operand = transposed<float>(kProductRows, b.data(), n, k, copy, threads);
      EXPECT_EQ(operand.transpose == Transpose::no, room == needed);
      AlignedVector<float> c(expected.size());
      kernels::gemm(Transpose::no, operand.transpose, kProductRows, n, k, a.data(), k,
                    operand.values, operand.stride, c.data(), n);
      EXPECT_EQ(c, expected) << room << ", threads " << threads;
    }
  }
}

TEST(Operand, FewRowsAndLargeBlocksAreNotWorthACopy) {
  EXPECT_EQ(transposed_size(255, 100, 100), 0);
  EXPECT_EQ(transposed_size(1024, 100, 100), 0);
  EXPECT_GT(transposed_size(512, 100, 100), 0);
}

TEST(Operand, TransposedRowsOfTheLeftOneGiveTheSameProduct) {
  constexpr std::int64_t k = 37, n = 19;
  for (const std::int64_t columns : {96, 1024, 1500}) {  // not copied, copied, with a last block
    const AlignedVector<float> a = integers(k * columns, 5), b = integers(k * n, 3);
    AlignedVector<float> turned(a.size());
    for (std::int64_t p = 0; p < k; ++p) {
      for (std::int64_t i = 0; i < columns; ++i) {
        turned[static_cast<std::size_t>(i * k + p)] = a[static_cast<std::size_t>(p * columns + i)];
      }
    }
    const AlignedVector<float> expected = product(
        turned, columns, n, k,
        [&](std::int64_t p, std::int64_t j) { return b[static_cast<std::size_t>(p * n + j)]; });
    AlignedVector<float> c(expected.size());
    const std::int64_t size = row_block(columns);
    for (std::int64_t first = 0; first < columns; first += size) {
      const std::int64_t rows = std::min(size, columns - first);
      transposed_product<float>(a.data(), k, columns, first, rows, b.data(), n,
                                c.data() + first * n);
    }
    EXPECT_EQ(transposes_rows(columns, n), columns >= 1024);
    EXPECT_EQ(c, expected) << columns;
  }
}

TEST(Operand, ManyExamplesHideTheCollectingOfColumns) {
  EXPECT_TRUE(transposes_rows(1024, 512));
  EXPECT_FALSE(transposes_rows(1024, 513));
}

}  // namespace
}  // namespace evenrow::nn
