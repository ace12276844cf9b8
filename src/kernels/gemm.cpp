#include "kernels/gemm.hpp"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>

namespace evenrow::kernels {
namespace {

// oneDNN uses one thread inside an active parallel region, and all it may outside; this makes it
// one everywhere.
class OneThread {
 public:
  OneThread() noexcept : threads_(omp_in_parallel() ? 0 : omp_get_max_threads()) {
    if (threads_ > 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (threads_ > 1) omp_set_num_threads(threads_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int threads_;
};

}  // namespace

template <>
void gemm<float>(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
                 std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                 float* c, std::int64_t ldc) noexcept {
  if (k == 0) {  // oneDNN leaves C as it is then
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, 0.0f);
    return;
  }
  const OneThread one_thread;
  // Its only errors are negative sizes and strides below the row length: checked by the plan.
  dnnl_sgemm(transpose_a == Transpose::yes ? 'T' : 'N', transpose_b == Transpose::yes ? 'T' : 'N',
             m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc);
}

template <>
void gemm<double>(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
                  std::int64_t k, const double* a, std::int64_t lda, const double* b,
                  std::int64_t ldb, double* c, std::int64_t ldc) noexcept {
  const std::int64_t a_row = transpose_a == Transpose::yes ? 1 : lda;
  const std::int64_t a_column = transpose_a == Transpose::yes ? lda : 1;
  const std::int64_t b_row = transpose_b == Transpose::yes ? 1 : ldb;
  const std::int64_t b_column = transpose_b == Transpose::yes ? ldb : 1;
  for (std::int64_t i = 0; i < m; ++i) {
    double* c_row = c + i * ldc;
    std::fill_n(c_row, n, 0.0);
    for (std::int64_t p = 0; p < k; ++p) {
      const double factor = a[i * a_row + p * a_column];
      for (std::int64_t j = 0; j < n; ++j) c_row[j] += factor * b[p * b_row + j * b_column];
    }
  }
}

}  // namespace evenrow::kernels
