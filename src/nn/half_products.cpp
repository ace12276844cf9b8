#include "nn/half_products.hpp"

#include <algorithm>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/updates.hpp"
#include "nn/layout.hpp"
#include "nn/row_block.hpp"

namespace evenrow::nn {
namespace {

using kernels::HalfGemm;
using kernels::Transpose;

constexpr std::int64_t kRoundBlock = 1 << 14;  // values a task

void round_all(const float* from, std::vector<bfloat16>& to, std::int64_t count, int threads) {
  core::parallel_for(threads, core::block_count(count, kRoundBlock), [&](std::int64_t task) {
    const std::int64_t first = task * kRoundBlock;
    kernels::round_to_bfloat16(from + first, to.data() + first,
                               std::min(kRoundBlock, count - first));
  });
}

}  // namespace

HalfProducts::HalfProducts(const NetworkSpec& spec, std::int64_t max_examples) : spec_(spec) {
  if (!HalfGemm::available()) {
    core::fail(ErrorKind::usage,
               "precision bf16: this processor does not multiply bfloat16 (AVX-512 BF16 or AMX), "
               "so it would only be slower; use precision f32");
  }
  const std::vector<ParameterSlot> slots = parameter_slots(spec);
  blocks_.resize(spec.blocks.size());
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const ParameterSlot& weight = *find_slot(slots, b, ParameterKind::weight);
    blocks_[b].offset = weight.offset;
    blocks_[b].weight.resize(static_cast<std::size_t>(weight.size()));
    blocks_[b].read.resize(static_cast<std::size_t>(spec.inputs_of(b) * max_examples));
    blocks_[b].gradient.resize(static_cast<std::size_t>(spec.blocks[b].units * max_examples));
  }
}

void HalfProducts::make_products(std::int64_t examples) {
  const std::int64_t n = examples;
  // make(rows) for the two sizes of row blocks that `units` rows are cut into.
  const auto by_rows = [](std::int64_t units, const auto& make) {
    const std::int64_t size = row_block(units);
    ByRows made{.products = {}, .kernel_rows = std::min(units, size)};
    made.products.push_back(make(made.kernel_rows));
    if (const std::int64_t rest = units % size; units > size && rest > 0) {
      made.products.push_back(make(rest));
    }
    return made;
  };
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const std::int64_t in = spec_.inputs_of(b), units = spec_.blocks[b].units;
    // The network's inputs have an example a row, what blocks read has a channel a row.
    const bool by_example = b == 0;
    blocks_[b].forward = by_rows(units, [&](std::int64_t rows) {
      return HalfGemm(Transpose::no, by_example ? Transpose::yes : Transpose::no, rows, n, in, in,
                      by_example ? in : n, n);
    });
    blocks_[b].weight_gradient = by_rows(units, [&](std::int64_t rows) {
      return HalfGemm(Transpose::no, by_example ? Transpose::no : Transpose::yes, rows, in, n, n,
                      by_example ? in : n, in);
    });
    if (b + 1 == blocks_.size()) continue;
    blocks_[b].output_gradient = by_rows(units, [&](std::int64_t rows) {
      return HalfGemm(Transpose::yes, Transpose::no, rows, n, spec_.blocks[b + 1].units, units, n,
                      n);
    });
  }
  examples_ = examples;
}

void HalfProducts::begin(const Network<float>& network, const float* x, std::int64_t examples,
                         int threads) {
  if (examples != examples_) make_products(examples);
  for (Block& block : blocks_) {
    round_all(network.parameters().data() + block.offset, block.weight,
              static_cast<std::int64_t>(block.weight.size()), threads);
  }
  round_all(x, blocks_.front().read, examples * spec_.inputs, threads);
}

void HalfProducts::round_read(std::size_t block, std::int64_t first, std::int64_t rows,
                              const float* values) noexcept {
  const std::int64_t at = first * examples_;
  kernels::round_to_bfloat16(values + at, blocks_[block].read.data() + at, rows * examples_);
}

void HalfProducts::round_gradient(std::size_t block, std::int64_t first, std::int64_t rows,
                                  const float* values) noexcept {
  const std::int64_t at = first * examples_;
  kernels::round_to_bfloat16(values + at, blocks_[block].gradient.data() + at, rows * examples_);
}

void HalfProducts::forward(std::size_t block, std::int64_t first, std::int64_t rows,
                           float* z) const {
  const Block& of = blocks_[block];
  of.forward.of(rows).run(of.weight.data() + first * spec_.inputs_of(block), of.read.data(), z);
}

void HalfProducts::output_gradient(std::size_t block, std::int64_t first, std::int64_t rows,
                                   float* g) const {
  const Block& next = blocks_[block + 1];
  blocks_[block].output_gradient.of(rows).run(next.weight.data() + first, next.gradient.data(), g);
}

void HalfProducts::weight_gradient(std::size_t block, std::int64_t first, std::int64_t rows,
                                   float* dw) const {
  const Block& of = blocks_[block];
  of.weight_gradient.of(rows).run(of.gradient.data() + first * examples_, of.read.data(), dw);
}

}  // namespace evenrow::nn
