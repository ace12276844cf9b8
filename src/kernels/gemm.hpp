// Matrix products: the one place that knows the GEMM library (why this one: docs/benchmarks.md).
#pragma once

#include <cstdint>

namespace evenrow::kernels {

enum class Transpose { no, yes };

/// C = op(A) op(B), row-major: op(A) is [m, k], op(B) is [k, n], C is [m, n]; lda, ldb, ldc are the
/// row strides of A, B and C as stored. Runs on the calling thread alone, whatever the number of
/// threads around it, so that the bits of C depend on the arguments only.
/// float: oneDNN. double: a plain loop; it serves gradient checks.
template <class T>
void gemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
          std::int64_t k, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T* c,
          std::int64_t ldc) noexcept;

}  // namespace evenrow::kernels
