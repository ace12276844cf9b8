// Matrix products: the one place that knows the GEMM library (why this one: docs/benchmarks.md).
#pragma once

#include <cstdint>
#include <memory>

#include "evenrow/half.hpp"

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

/// C = op(A) op(B) as gemm() has it, of bfloat16 operands; products are exact, sums and C are
/// float. Made once for its sizes; runs on the calling thread alone, and on several threads at a
/// time.
class HalfGemm {
 public:
  /// Whether this processor multiplies bfloat16 itself (AVX-512 BF16, AMX).
  static bool available() noexcept;

  /// Only where it is available().
  HalfGemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
           std::int64_t k, std::int64_t lda, std::int64_t ldb, std::int64_t ldc);

  void run(const bfloat16* a, const bfloat16* b, float* c) const;

 private:
  struct Primitive;
  std::shared_ptr<const Primitive> primitive_;
};

}  // namespace evenrow::kernels
