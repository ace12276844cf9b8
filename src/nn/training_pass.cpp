// Forward, loss and backward of a network of dense blocks, fused by blocks of rows: the GEMM that
// makes a block of rows is followed at once, while they are hot, by all that happens to them, some
// rows at a time.
// (A long file: forward and backward mirror each other step by step, and are read together.)
// A row belongs to one task, so batch norm needs no reduction across threads, and a task is the
// same whoever runs it.
#include "evenrow/training_pass.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <type_traits>
#include <vector>

#include "core/fail.hpp"
#include "core/random.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "evenrow/aligned.hpp"
#include "kernels/activations.hpp"
#include "kernels/coefficients.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "kernels/targets.hpp"
#include "kernels/updates.hpp"
#include "nn/block_memory.hpp"
#include "nn/half_products.hpp"
#include "nn/layout.hpp"
#include "nn/loss.hpp"
#include "nn/operand.hpp"
#include "nn/row_block.hpp"
#include "nn/row_norm.hpp"

namespace evenrow {
namespace {

using kernels::Transpose;
using nn::for_rows;
using nn::row_block;
using nn::RowNorm;
using nn::Rows;
template <class T>
using Block = nn::BlockMemory<T>;

}  // namespace

template <class T>
struct TrainingPass<T>::State {
  NetworkSpec spec;
  TrainingPassOptions options;
  int threads = 1;
  std::vector<Block<T>> blocks;
  std::vector<ParameterSlot> slots;
  AlignedVector<T> gradients;
  std::optional<nn::HalfProducts> half;  // with Precision::bf16, which only float has
  // What blocks hand back: a block reads that of the next one, so two take turns.
  std::array<AlignedVector<T>, 2> handed_back;
  AlignedVector<T> transposed;      // of what a block reads, for the gradient of its weight
  AlignedVector<T> skipped;         // gradient that goes past the blocks of a residual connection
  std::vector<double> square_sums;  // of weight gradients, by row blocks
  std::int64_t examples = 0;        // of the last run
  bool staged = false;              // batch statistics wait for commit or discard
  bool observing = false;           // this run, or the last one, is observed

  void linear_rows(const T* parameters, const nn::Operand<T>& x, std::size_t b, std::int64_t first,
                   std::int64_t rows);
  void output_gradient_rows(const T* parameters, std::size_t b, std::int64_t first,
                            std::int64_t rows);
  void weight_gradient_rows(const nn::Operand<T>& x, std::size_t b, std::int64_t first,
                            std::int64_t rows);
  void forward(const Network<T>& network, const T* x, std::uint64_t step);
  void forward_rows(Block<T>& block, const T* parameters, Rows rows, const T* skip,
                    const core::RandomStream& dropout);
  void read_rows(Block<T>& block, const T* parameters, Rows rows, const T* from);
  void normalize_rows(Block<T>& block, const T* parameters, Rows rows, const T* from, T* to,
                      bool relu);
  void observe_rows(Block<T>& block, const T* parameters, Rows rows);
  void backward(const Network<T>& network, const T* x);
  void backward_rows(Block<T>& block, const T* parameters, Rows rows);
  void unread_rows(Block<T>& block, const T* parameters, Rows rows, const T* from, T* g);
  void unnormalize_rows(Block<T>& block, const T* parameters, Rows rows, const T* from, T* g,
                        bool relu);
  double gradient_square_sum() const;
};

// z = W x for the rows [first, first + rows) of a block, x being what it reads.
template <class T>
void TrainingPass<T>::State::linear_rows(const T* parameters, const nn::Operand<T>& x,
                                         std::size_t b, std::int64_t first, std::int64_t rows) {
  const Block<T>& block = blocks[b];
  const std::int64_t n = examples, in = block.inputs;
  T* const z = block.linear + first * n;
  if constexpr (std::is_same_v<T, float>) {
    if (half) return half->forward(b, first, rows, z);
  }
  kernels::gemm(Transpose::no, x.transpose, rows, n, in, parameters + block.weight + first * in, in,
                x.values, x.stride, z, n);
}

// dA = W' dZ of the next block, for some rows of a block.
template <class T>
void TrainingPass<T>::State::output_gradient_rows(const T* parameters, std::size_t b,
                                                  std::int64_t first, std::int64_t rows) {
  const Block<T>&block = blocks[b], &next = blocks[b + 1];
  const std::int64_t n = examples;
  T* const g = block.gradient + first * n;
  if constexpr (std::is_same_v<T, float>) {
    if (half) return half->output_gradient(b, first, rows, g);
  }
  nn::transposed_product(parameters + next.weight, next.spec.units, block.spec.units, first, rows,
                         static_cast<const T*>(next.gradient), n, g);
}

// dW = dZ x' for some rows of a block; `x` is that x'.
template <class T>
void TrainingPass<T>::State::weight_gradient_rows(const nn::Operand<T>& x, std::size_t b,
                                                  std::int64_t first, std::int64_t rows) {
  const Block<T>& block = blocks[b];
  const std::int64_t n = examples, in = block.inputs;
  T* const dw = gradients.data() + block.weight + first * in;
  if constexpr (std::is_same_v<T, float>) {
    if (half) return half->weight_gradient(b, first, rows, dw);
  }
  kernels::gemm(Transpose::no, x.transpose, rows, in, n,
                static_cast<const T*>(block.gradient + first * n), n, x.values, x.stride, dw, in);
}

// z = W x for a block of rows, then everything that follows, some rows at a time.
template <class T>
void TrainingPass<T>::State::forward(const Network<T>& network, const T* x, std::uint64_t step) {
  const T* parameters = network.parameters().data();
  if constexpr (std::is_same_v<T, float>) {
    if (half) half->begin(network, x, examples, threads);
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    Block<T>& block = blocks[b];
    Block<T>* const next = b + 1 < blocks.size() ? &blocks[b + 1] : nullptr;
    const auto span = static_cast<std::size_t>(block.spec.residual);
    const T* skip = span > 0 ? blocks[b - span].output : nullptr;
    const core::RandomStream dropout(options.seed, core::Purpose::dropout,
                                     step * blocks.size() + b);
    const std::int64_t n = examples;
    const std::int64_t size = row_block(block.spec.units);
    nn::Operand<T> reads{block.read, n};
    // The inputs have an example a row. Gradients are made later: their memory is free. Those of
    // the weight that reads the inputs are shared out as the copy is if that lies in their middle.
    if (b == 0 && !half) {
      const std::int64_t beyond =
          block.spec.units * block.inputs - nn::transposed_size(block.spec.units, n, block.inputs);
      const auto room = std::span(gradients).subspan(
          static_cast<std::size_t>(std::max<std::int64_t>(0, beyond / 2) / 16 * 16));
      reads = nn::transposed(block.spec.units, x, n, block.inputs, room, threads);
    }
    core::parallel_for(threads, core::block_count(block.spec.units, size), [&](std::int64_t task) {
      const std::int64_t first = task * size;
      const std::int64_t last = std::min(first + size, block.spec.units);
      linear_rows(parameters, reads, b, first, last - first);
      for_rows(first, last, n, [&](Rows rows) {
        forward_rows(block, parameters, rows, skip, dropout);
        if (next == nullptr) return;
        read_rows(*next, parameters, rows, block.output);
        if constexpr (std::is_same_v<T, float>) {
          if (half) half->round_read(b + 1, rows.first, rows.count, next->read);
        }
      });
    });
  }
}

// The channels of a block's norm that these rows are: statistics of the mini-batch, and what they
// make of `from`.
template <class T>
void TrainingPass<T>::State::normalize_rows(Block<T>& block, const T* parameters, Rows rows,
                                            const T* from, T* to, bool relu) {
  const RowNorm<T> norm(rows, examples);
  norm.statistics(from, block.mean.data() + rows.first, block.biased_variance.data() + rows.first);
  norm.normalize(from, to, block.deviations(rows.first),
                 block.normalization(parameters, rows.first), relu);
}

template <class T>
void TrainingPass<T>::State::forward_rows(Block<T>& block, const T* parameters, Rows rows,
                                          const T* skip, const core::RandomStream& dropout) {
  const DenseSpec& dense = block.spec;
  const std::int64_t n = examples, at = rows.first * n, size = rows.count * n;
  if (dense.has_bias()) {
    for (std::int64_t i = 0; i < rows.count; ++i) {
      T* const z = block.linear + at + i * n;
      kernels::row_normalize(z, z, n, {.shift = parameters[block.bias + rows.first + i]}, false);
    }
  }
  const bool fuse_relu = block.norm_before() && dense.activation == Activation::relu;
  if (block.norm_before()) {
    normalize_rows(block, parameters, rows, block.linear, block.activation_in, fuse_relu);
  }
  if (observing) observe_rows(block, parameters, rows);
  if (!fuse_relu && dense.activation != Activation::none) {
    kernels::activate(dense.activation, block.activation_in + at, block.activation_out + at, size);
  }
  const T* result = block.activation_out + at;
  T* const output = block.output + at;
  if (block.norm_after()) {
    normalize_rows(block, parameters, rows, block.activation_out, block.output, false);
    result = output;
  }
  if (dense.dropout > 0.0) {
    // Inverted dropout (Srivastava et al., 2014): what is kept is scaled up, inference is as is.
    const double threshold = dense.dropout * 0x1.0p32;
    const T scale = static_cast<T>(1.0 / (1.0 - dense.dropout));
    const std::int64_t draws = core::block_count(n, 4);
    for (std::int64_t row = 0; row < rows.count; ++row) {
      for (std::int64_t i = 0; i < n; i += 4) {
        const auto words =
            dropout.bits(static_cast<std::uint32_t>((rows.first + row) * draws + i / 4));
        for (std::int64_t j = i; j < std::min(i + 4, n); ++j) {
          const bool keep =
              static_cast<double>(words[static_cast<std::size_t>(j - i)]) >= threshold;
          const std::int64_t value = row * n + j;
          block.kept[static_cast<std::size_t>(at + value)] = keep ? 1 : 0;
          output[value] = keep ? result[value] * scale : T{0};
        }
      }
    }
    result = output;
  }
  if (skip != nullptr) {
    for (std::int64_t i = 0; i < size; ++i) output[i] = result[i] + skip[at + i];
  }
}

// What a block makes of rows that it reads, while they are hot from the block before.
template <class T>
void TrainingPass<T>::State::read_rows(Block<T>& block, const T* parameters, Rows rows,
                                       const T* from) {
  const std::int64_t at = rows.first * examples;
  const Activation activation = block.spec.input_activation;
  const bool fuse_relu = block.norm_first() && activation == Activation::relu;
  if (block.norm_first()) {
    normalize_rows(block, parameters, rows, from, block.read_in, fuse_relu);
  }
  if (!fuse_relu && activation != Activation::none) {
    kernels::activate(activation, block.read_in + at, block.read + at, rows.count * examples);
  }
}

// Keeps what enters the activation: most of them are computed in place, and relu with batch norm.
template <class T>
void TrainingPass<T>::State::observe_rows(Block<T>& block, const T* parameters, Rows rows) {
  T* const kept = block.observed.data();
  if (block.norm_before()) {
    const RowNorm<T> norm(rows, examples);
    return norm.normalize(block.linear, kept, block.deviations(rows.first),
                          block.normalization(parameters, rows.first), false);
  }
  const std::int64_t at = rows.first * examples;
  std::copy_n(block.linear + at, rows.count * examples, kept + at);
}

// From the last block to the first: dZ of a block of rows, then at once their dW = dZ X'.
template <class T>
void TrainingPass<T>::State::backward(const Network<T>& network, const T* x) {
  const T* parameters = network.parameters().data();
  const std::int64_t n = examples;
  const Block<T>* past = nullptr;  // the block whose output is this one's plus something
  for (std::size_t b = blocks.size(); b-- > 0;) {
    Block<T>& block = blocks[b];
    Block<T>* const next = b + 1 < blocks.size() ? &blocks[b + 1] : nullptr;
    const auto index = static_cast<std::int64_t>(b);
    const bool joins = past != nullptr && past - blocks.data() - past->spec.residual == index;
    const std::int64_t size = row_block(block.spec.units);
    nn::Operand<T> read{x, block.inputs};
    if (b > 0 && !half) {
      read = nn::transposed<T>(block.spec.units, block.read, block.inputs, n, transposed, threads);
    }
    core::parallel_for(threads, core::block_count(block.spec.units, size), [&](std::int64_t task) {
      const std::int64_t first = task * size;
      const std::int64_t last = std::min(first + size, block.spec.units);
      if (next != nullptr) output_gradient_rows(parameters, b, first, last - first);
      for_rows(first, last, n, [&](Rows rows) {
        T* const g = block.gradient + rows.first * n;
        T* const aside = skipped.data() + rows.first * n;
        const std::int64_t values = rows.count * n;
        if (next != nullptr) unread_rows(*next, parameters, rows, block.output, block.gradient);
        if (joins) {
          for (std::int64_t i = 0; i < values; ++i) g[i] += aside[i];
        }
        if (block.spec.residual > 0) std::copy_n(g, values, aside);
        backward_rows(block, parameters, rows);
        if constexpr (std::is_same_v<T, float>) {
          if (half) half->round_gradient(b, rows.first, rows.count, block.gradient);
        }
      });
      weight_gradient_rows(read, b, first, last - first);
      square_sums[static_cast<std::size_t>(block.first_sum + task)] = kernels::sum_of_squares(
          gradients.data() + block.weight + first * block.inputs, (last - first) * block.inputs);
    });
    if (block.spec.residual > 0) past = &block;
  }
}

// Through the channels of a block's norm that these rows are, and the relu that was fused, in
// place: from the gradient of what they give to that of `from`, which it read; dgamma and dbeta on
// the way.
template <class T>
void TrainingPass<T>::State::unnormalize_rows(Block<T>& block, const T* parameters, Rows rows,
                                              const T* from, T* g, bool relu) {
  const RowNorm<T> norm(rows, examples);
  norm.gradient(from, g, block.normalization(parameters, rows.first), relu,
                gradients.data() + block.gamma + rows.first,
                gradients.data() + block.beta + rows.first);
}

// Undoes read_rows.
template <class T>
void TrainingPass<T>::State::unread_rows(Block<T>& block, const T* parameters, Rows rows,
                                         const T* from, T* g) {
  const std::int64_t at = rows.first * examples;
  const Activation activation = block.spec.input_activation;
  const bool fused_relu = block.norm_first() && activation == Activation::relu;
  if (!fused_relu && activation != Activation::none) {
    kernels::activation_gradient(activation, block.read_in + at, block.read + at, g + at, g + at,
                                 rows.count * examples);
  }
  if (block.norm_first()) unnormalize_rows(block, parameters, rows, from, g, fused_relu);
}

template <class T>
void TrainingPass<T>::State::backward_rows(Block<T>& block, const T* parameters, Rows rows) {
  const DenseSpec& dense = block.spec;
  const std::int64_t n = examples, at = rows.first * n, size = rows.count * n;
  T* const g = block.gradient + at;
  if (dense.dropout > 0.0) {
    const T scale = static_cast<T>(1.0 / (1.0 - dense.dropout));
    for (std::int64_t i = 0; i < size; ++i) {
      g[i] = block.kept[static_cast<std::size_t>(at + i)] != 0 ? g[i] * scale : T{0};
    }
  }
  if (block.norm_after()) {
    unnormalize_rows(block, parameters, rows, block.activation_out, block.gradient, false);
  }
  const bool fused_relu = block.norm_before() && dense.activation == Activation::relu;
  if (!fused_relu && dense.activation != Activation::none) {
    kernels::activation_gradient(dense.activation, block.activation_in + at,
                                 block.activation_out + at, g, g, size);
  }
  if (block.norm_before()) {
    unnormalize_rows(block, parameters, rows, block.linear, block.gradient, fused_relu);
  }
  if (dense.has_bias()) {
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const T* const row = g + i * n;
      gradients[static_cast<std::size_t>(block.bias + rows.first + i)] =
          static_cast<T>(kernels::row_gradient_sums(row, row, n, 0.0, 1.0).dy);
    }
  }
}

// Of all gradients: those of weights are summed as they are made, all others are few.
template <class T>
double TrainingPass<T>::State::gradient_square_sum() const {
  double sum = 0;
  for (const double part : square_sums) sum += part;
  for (const ParameterSlot& slot : slots) {
    if (slot.kind != ParameterKind::weight) {
      sum += kernels::sum_of_squares(gradients.data() + slot.offset, slot.size());
    }
  }
  return sum;
}

template <class T>
TrainingPass<T>::TrainingPass(const NetworkSpec& spec, const TrainingPassOptions& options)
    : state_(std::make_unique<State>()) {
  kernels::apply_target_environment();
  check(spec);
  nn::check_loss(options.loss, spec.outputs());
  if (options.max_examples < 1) {
    core::fail(ErrorKind::usage, "training pass: max_examples {}, expected at least 1",
               options.max_examples);
  }
  std::int64_t widest = 0;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    const std::int64_t units = spec.blocks[b].units;
    if (!core::checked_product(units, options.max_examples)) {
      core::fail(ErrorKind::usage, "training pass: block {}: {} units x {} examples are too many",
                 b, units, options.max_examples);
    }
    widest = std::max(widest, units);
  }
  if (options.precision == Precision::bf16) {
    if constexpr (std::is_same_v<T, float>) {
      state_->half.emplace(spec, options.max_examples);
    } else {
      core::fail(ErrorKind::usage, "training pass: precision bf16 is for networks of float");
    }
  }
  state_->spec = spec;
  state_->options = options;
  state_->threads = core::resolve_threads(options.threads);
  state_->slots = nn::parameter_slots(spec);
  state_->gradients.resize(static_cast<std::size_t>(nn::parameter_count(state_->slots)));
  state_->blocks.resize(spec.blocks.size());
  for (AlignedVector<T>& gradient : state_->handed_back) {
    gradient.resize(static_cast<std::size_t>(widest * options.max_examples));
  }
  std::int64_t skipped = 0, transposed = 0, row_blocks = 0;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    Block<T>& block = state_->blocks[b];
    block.spec = spec.blocks[b];
    block.inputs = spec.inputs_of(b);
    const auto offset = [&](ParameterKind kind) {
      const ParameterSlot* const slot = nn::find_slot(state_->slots, b, kind);
      return slot == nullptr ? 0 : slot->offset;
    };
    block.weight = offset(ParameterKind::weight);
    block.bias = offset(ParameterKind::bias);
    block.gamma = offset(ParameterKind::gamma);
    block.beta = offset(ParameterKind::beta);
    block.first_sum = row_blocks;
    row_blocks += core::block_count(block.spec.units, row_block(block.spec.units));
    block.gradient = state_->handed_back[b % 2].data();
    block.allocate(options.max_examples, b > 0 ? state_->blocks[b - 1].output : nullptr);
    if (block.spec.residual > 0) skipped = std::max(skipped, block.spec.units);
    if (b > 0 && !state_->half) {
      transposed = std::max(
          transposed, nn::transposed_size(block.spec.units, block.inputs, options.max_examples));
    }
  }
  state_->transposed.resize(static_cast<std::size_t>(transposed));
  state_->square_sums.resize(static_cast<std::size_t>(row_blocks));
  state_->skipped.resize(static_cast<std::size_t>(skipped * options.max_examples));
}

template <class T>
TrainingPass<T>::TrainingPass(TrainingPass&&) noexcept = default;
template <class T>
TrainingPass<T>& TrainingPass<T>::operator=(TrainingPass&&) noexcept = default;
template <class T>
TrainingPass<T>::~TrainingPass() = default;

template <class T>
PassResult TrainingPass<T>::run(const Network<T>& network, const MiniBatch<T>& batch,
                                std::uint64_t step, bool observed) {
  State& state = *state_;
  if (network.spec() != state.spec) {
    core::fail(ErrorKind::usage,
               "training pass: the network is not the one that this pass was made for; make a "
               "TrainingPass from its spec()");
  }
  const auto values = static_cast<std::int64_t>(batch.x.size());
  const std::int64_t examples = values / state.spec.inputs;
  if (values != examples * state.spec.inputs || examples < 1 ||
      examples > state.options.max_examples) {
    core::fail(ErrorKind::usage,
               "training pass: x has {} values, expected 1 to {} examples of {} inputs", values,
               state.options.max_examples, state.spec.inputs);
  }
  const LossTargets<T> targets{batch.classes, batch.values};
  nn::check_targets(state.options.loss, examples, state.spec.outputs(), targets);
  for (std::size_t b = 0; b < state.blocks.size() && examples == 1; ++b) {
    if (state.blocks[b].spec.norm == Norm::batch) {
      core::fail(ErrorKind::usage,
                 "batch norm of block {}: the mini-batch has one example, whose variance is 0 "
                 "whatever it is; use two or more examples (--last-batch merge or drop takes care "
                 "of a last one)",
                 b);
    }
  }

  const core::SignalsWait wait;
  state.staged = false;
  state.observing = observed;
  for (Block<T>& block : state.blocks) {
    if (!observed) break;
    block.observed.resize(static_cast<std::size_t>(block.spec.units * state.options.max_examples));
  }
  state.examples = examples;
  state.forward(network, batch.x.data(), step);
  Block<T>& last = state.blocks.back();
  const nn::LossValue value = nn::loss_and_gradient<T>(
      state.options.loss, last.output, {examples, state.spec.outputs(), 1, examples}, targets,
      last.gradient, state.threads);
  PassResult result{.loss = value.loss, .correct = value.correct};
  state.backward(network, batch.x.data());
  const double squares = state.gradient_square_sum();
  result.gradient_norm = std::sqrt(squares);
  result.finite = std::isfinite(value.loss) && std::isfinite(squares);
  state.staged = true;
  return result;
}

template <class T>
BlockView<T> TrainingPass<T>::block(std::size_t index) const {
  if (!state_->observing || index >= state_->blocks.size()) {
    core::fail(ErrorKind::usage,
               "training pass: block {} of {}: expected one that exists, after run_observed()",
               index, state_->blocks.size());
  }
  const Block<T>& block = state_->blocks[index];
  const auto size = static_cast<std::size_t>(block.spec.units * state_->examples);
  return {.activation_input = std::span(block.observed).first(size),
          .activation_output = {block.activation_out, size},
          .output = {block.output, size},
          .mean = block.mean,
          .biased_variance = block.biased_variance};
}

template <class T>
std::span<T> TrainingPass<T>::gradients() noexcept {
  return state_->gradients;
}

template <class T>
std::span<const T> TrainingPass<T>::outputs() const noexcept {
  return {state_->blocks.back().output,
          static_cast<std::size_t>(state_->spec.outputs() * state_->examples)};
}

template <class T>
void TrainingPass<T>::commit(Network<T>& network) {
  if (!state_->staged || network.spec() != state_->spec) {
    core::fail(ErrorKind::usage,
               "commit: no batch statistics of this network are staged; call run() first, and "
               "commit() once for each run()");
  }
  for (std::size_t b = 0; b < state_->blocks.size(); ++b) {
    const Block<T>& block = state_->blocks[b];
    if (!block.mean.empty()) network.running(b).update(block.mean, block.biased_variance);
  }
  state_->staged = false;
}

template <class T>
void TrainingPass<T>::discard() noexcept {
  state_->staged = false;
}

template class TrainingPass<float>;
template class TrainingPass<double>;

}  // namespace evenrow
