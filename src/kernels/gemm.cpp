#include "kernels/gemm.hpp"

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <vector>

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

struct HalfGemm::Primitive {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::matmul::primitive_desc sizes;
  dnnl::matmul product;

  Primitive(const dnnl::memory::desc& a, const dnnl::memory::desc& b, const dnnl::memory::desc& c) {
    dnnl::primitive_attr attributes;  // oneDNN's own scratch memory is that of the creating thread
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    sizes = dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attributes, engine);
    product = dnnl::matmul(sizes);
  }
};

bool HalfGemm::available() noexcept {
  return __builtin_cpu_supports("avx512bf16") != 0;
}

HalfGemm::HalfGemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
                   std::int64_t k, std::int64_t lda, std::int64_t ldb, std::int64_t ldc) {
  using Type = dnnl::memory::data_type;
  const auto matrix = [](std::int64_t rows, std::int64_t columns, Type type, Transpose transpose,
                         std::int64_t stride) {
    return dnnl::memory::desc({rows, columns}, type,
                              transpose == Transpose::yes ? dnnl::memory::dims{1, stride}
                                                          : dnnl::memory::dims{stride, 1});
  };
  const OneThread one_thread;  // how many a primitive runs on is decided when it is made
  primitive_ = std::make_shared<const Primitive>(matrix(m, k, Type::bf16, transpose_a, lda),
                                                 matrix(k, n, Type::bf16, transpose_b, ldb),
                                                 matrix(m, n, Type::f32, Transpose::no, ldc));
}

void HalfGemm::run(const bfloat16* a, const bfloat16* b, float* c) const {
  thread_local std::vector<std::byte> scratch;
  const OneThread one_thread;
  const dnnl::engine& engine = primitive_->engine;
  const dnnl::matmul::primitive_desc& sizes = primitive_->sizes;
  const std::size_t bytes = sizes.scratchpad_desc().get_size();
  if (scratch.size() < bytes) scratch.resize(bytes);
  const auto memory = [&](const dnnl::memory::desc& desc, const void* values) {
    return dnnl::memory(desc, engine, const_cast<void*>(values));
  };
  dnnl::stream stream(engine);
  primitive_->product.execute(
      stream, {{DNNL_ARG_SRC, memory(sizes.src_desc(), a)},
               {DNNL_ARG_WEIGHTS, memory(sizes.weights_desc(), b)},
               {DNNL_ARG_DST, memory(sizes.dst_desc(), c)},
               {DNNL_ARG_SCRATCHPAD, memory(sizes.scratchpad_desc(), scratch.data())}});
  stream.wait();
}

}  // namespace evenrow::kernels
