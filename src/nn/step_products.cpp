#include "nn/step_products.hpp"

#include <algorithm>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/gemm.hpp"
#include "nn/layout.hpp"
#include "nn/operand.hpp"
#include "nn/row_block.hpp"

namespace evenrow::nn {

AlignedVector<float> some_values(std::int64_t count) {
  AlignedVector<float> values(static_cast<std::size_t>(count));
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return values;
}

StepProducts::StepProducts(const NetworkSpec& spec, std::int64_t examples, int threads)
    : threads_(threads), examples_(examples) {
  std::int64_t widest = spec.inputs, weights = 0, transposed = 0;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    const std::int64_t inputs = spec.inputs_of(b), units = spec.blocks[b].units;
    layers_.push_back({inputs, units, some_values(inputs * units), some_values(inputs * examples)});
    widest = std::max(widest, units);
    weights = std::max(weights, inputs * units);
    if (b > 0) transposed = std::max(transposed, transposed_size(units, inputs, examples));
    operations_ += (b == 0 ? 4.0 : 6.0) * static_cast<double>(inputs * units * examples);
  }
  gradient_ = some_values(widest * examples);
  transposed_.resize(static_cast<std::size_t>(transposed));
  spare_.resize(static_cast<std::size_t>(parameter_count(parameter_slots(spec))));
  result_.resize(static_cast<std::size_t>(std::max(widest * examples, weights)));
}

template <class Block>
void StepProducts::product(std::int64_t rows, const Block& block) const {
  const std::int64_t size = row_block(rows);
  core::parallel_for(threads_, core::block_count(rows, size), [&](std::int64_t task) {
    const std::int64_t first = task * size;
    block(first, std::min(size, rows - first));
  });
}

void StepProducts::run() {
  using kernels::Transpose;
  const core::SignalsWait wait;
  const std::int64_t n = examples_;
  for (std::size_t b = 0; b < layers_.size(); ++b) {
    const std::int64_t in = layers_[b].inputs;
    const float *w = layers_[b].weight.data(), *x = layers_[b].activations.data();
    const Operand<float> operand =
        b == 0 ? nn::transposed<float>(layers_[b].units, x, n, in, spare_, threads_)
               : Operand<float>{x, n};
    product(layers_[b].units, [&](std::int64_t first, std::int64_t rows) {
      kernels::gemm(Transpose::no, operand.transpose, rows, n, in, w + first * in, in,
                    operand.values, operand.stride, result_.data() + first * n, n);
    });
  }
  const float* const dz = gradient_.data();
  for (std::size_t b = layers_.size(); b-- > 0;) {
    const std::int64_t in = layers_[b].inputs, units = layers_[b].units;
    const float *w = layers_[b].weight.data(), *x = layers_[b].activations.data();
    const Operand<float> operand =
        b == 0 ? Operand<float>{x, in}
               : nn::transposed<float>(units, x, in, n, transposed_, threads_);
    product(units, [&](std::int64_t first, std::int64_t rows) {
      kernels::gemm(Transpose::no, operand.transpose, rows, in, n, dz + first * n, n,
                    operand.values, operand.stride, result_.data() + first * in, in);
    });
    if (b == 0) continue;
    product(in, [&](std::int64_t first, std::int64_t rows) {
      transposed_product(w, units, in, first, rows, dz, n, result_.data() + first * n);
    });
  }
}

}  // namespace evenrow::nn
