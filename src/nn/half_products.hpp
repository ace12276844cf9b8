// The products of a training pass with bfloat16 operands: rounded copies of the weights and of what
// blocks read and hand back, beside the float matrices of the pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evenrow/half.hpp"
#include "evenrow/network.hpp"
#include "kernels/gemm.hpp"

namespace evenrow::nn {

class HalfProducts {
 public:
  /// Errors (usage): this processor has no bfloat16 arithmetic.
  HalfProducts(const NetworkSpec& spec, std::int64_t max_examples);

  /// At the start of a pass: rounds the weights and the network's inputs, row-major. Makes the
  /// products for this number of examples, if they are not those of the last pass.
  void begin(const Network<float>& network, const float* x, std::int64_t examples, int threads);

  /// Rounds some rows of what a block reads (not the first, whose inputs begin() has), or of the
  /// gradient of its linear output.
  void round_read(std::size_t block, std::int64_t first, std::int64_t rows,
                  const float* values) noexcept;
  void round_gradient(std::size_t block, std::int64_t first, std::int64_t rows,
                      const float* values) noexcept;

  /// Rows [first, first + rows) of a block's linear output, of the gradient of its output (for
  /// which round_gradient of the next block is done), and of that of its weight. As TrainingPass
  /// cuts them: all of a block's row blocks are as large as the first, but perhaps the last.
  void forward(std::size_t block, std::int64_t first, std::int64_t rows, float* z) const;
  void output_gradient(std::size_t block, std::int64_t first, std::int64_t rows, float* g) const;
  void weight_gradient(std::size_t block, std::int64_t first, std::int64_t rows, float* dw) const;

 private:
  // One product for the row blocks of full size and one for the last.
  struct ByRows {
    std::vector<kernels::HalfGemm> products;
    const kernels::HalfGemm& of(std::int64_t rows) const {
      return rows == kernel_rows ? products.front() : products.back();
    }
    std::int64_t kernel_rows = 0;
  };
  struct Block {
    std::int64_t offset = 0;  // of the weight in the flat parameters
    std::vector<bfloat16> weight, read, gradient;
    ByRows forward, output_gradient, weight_gradient;
  };
  void make_products(std::int64_t examples);

  NetworkSpec spec_;
  std::int64_t examples_ = 0;
  std::vector<Block> blocks_;
};

}  // namespace evenrow::nn
