// Forward, loss and backward of a network of dense blocks, fused by blocks of rows: the GEMM that
// makes a block of rows is followed at once, while they are hot, by all that happens to them.
// A row belongs to one task, so batch norm needs no reduction across threads, and a task is the
// same whoever runs it.
#include "evenrow/training_pass.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/fail.hpp"
#include "core/random.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/activations.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "kernels/targets.hpp"
#include "kernels/updates.hpp"
#include "nn/loss.hpp"
#include "norm/coefficients.hpp"

namespace evenrow {
namespace {

constexpr std::int64_t kRowBlock = 64;       // rows a task; fixed, so that bits are too
constexpr std::int64_t kSumBlock = 1 << 14;  // gradients a partial sum of squares

using kernels::Transpose;

// What one dense block keeps of a forward pass, all feature-major [units, examples]. Pointers to
// the same buffer where the backward pass does not need the values apart:
//   linear                      the product (and bias)
//   activation_in, _out         before and after the activation
//   output                      what the next block reads
// Batch norm's backward needs its own input; gelu needs activation_in, the other activations
// activation_out.
template <class T>
struct Block {
  DenseSpec spec;
  std::int64_t inputs = 0;
  std::int64_t weight = 0, bias = 0, gamma = 0, beta = 0;  // offsets into the flat parameters
  std::vector<std::vector<T>> buffers;
  T *linear = nullptr, *activation_in = nullptr, *activation_out = nullptr, *output = nullptr;
  T* gradient = nullptr;           // with respect to output, turned in place into that of linear
  std::vector<std::uint8_t> kept;  // dropout: 1 where a value was kept
  std::vector<double> mean, biased_variance;
  std::vector<T> observed;  // what entered the activation; of observed runs alone

  bool norm_before() const {
    return spec.norm == Norm::batch && spec.placement == NormPlacement::before_activation;
  }
  bool norm_after() const {
    return spec.norm == Norm::batch && spec.placement == NormPlacement::after_activation;
  }
  /// What batch norm normalizes.
  T* norm_in() const { return norm_before() ? linear : activation_out; }

  void allocate(std::int64_t max_examples) {
    const auto size = static_cast<std::size_t>(spec.units * max_examples);
    const auto buffer = [&] { return buffers.emplace_back(size).data(); };
    const bool gelu = spec.activation == Activation::gelu;
    const bool reads_its_output = !gelu && spec.activation != Activation::none;
    buffers.reserve(5);
    linear = buffer();
    activation_in = norm_before() ? buffer() : linear;
    activation_out = gelu ? buffer() : activation_in;
    const bool new_output = norm_after() || (spec.dropout > 0.0 && reads_its_output);
    output = new_output ? buffer() : activation_out;
    gradient = buffer();
    if (spec.dropout > 0.0) kept.resize(size);
    if (spec.norm == Norm::batch) {
      mean.resize(static_cast<std::size_t>(spec.units));
      biased_variance.resize(mean.size());
    }
  }
};

}  // namespace

template <class T>
struct TrainingPass<T>::State {
  NetworkSpec spec;
  TrainingPassOptions options;
  int threads = 1;
  std::vector<Block<T>> blocks;
  std::vector<T> gradients;
  std::vector<double> square_sums;
  std::int64_t examples = 0;  // of the last run
  bool staged = false;        // batch statistics wait for commit or discard
  bool observing = false;     // this run, or the last one, is observed

  void forward(const Network<T>& network, const T* x, std::uint64_t step);
  void forward_rows(Block<T>& block, const T* parameters, std::int64_t first, std::int64_t last,
                    const core::RandomStream& dropout);
  void observe_row(Block<T>& block, const T* parameters, std::int64_t row);
  void backward(const Network<T>& network, const T* x);
  void backward_rows(Block<T>& block, const T* parameters, std::int64_t first, std::int64_t last);
  double gradient_square_sum();
};

// z = W x for a block of rows, then everything that follows, row by row.
template <class T>
void TrainingPass<T>::State::forward(const Network<T>& network, const T* x, std::uint64_t step) {
  const T* parameters = network.parameters().data();
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    Block<T>& block = blocks[b];
    const core::RandomStream dropout(options.seed, core::Purpose::dropout,
                                     step * blocks.size() + b);
    const std::int64_t n = examples, in = block.inputs;
    core::parallel_for(threads, core::block_count(block.spec.units, kRowBlock),
                       [&](std::int64_t task) {
                         const std::int64_t first = task * kRowBlock;
                         const std::int64_t last = std::min(first + kRowBlock, block.spec.units);
                         const T* weight = parameters + block.weight + first * in;
                         T* z = block.linear + first * n;
                         if (b == 0) {  // x has an example a row
                           kernels::gemm(Transpose::no, Transpose::yes, last - first, n, in, weight,
                                         in, x, in, z, n);
                         } else {
                           kernels::gemm(Transpose::no, Transpose::no, last - first, n, in, weight,
                                         in, static_cast<const T*>(blocks[b - 1].output), n, z, n);
                         }
                         forward_rows(block, parameters, first, last, dropout);
                       });
  }
}

template <class T>
void TrainingPass<T>::State::forward_rows(Block<T>& block, const T* parameters, std::int64_t first,
                                          std::int64_t last, const core::RandomStream& dropout) {
  const DenseSpec& dense = block.spec;
  const std::int64_t n = examples;
  const auto normalize = [&](std::int64_t row, const T* from, T* to, bool relu) {
    const kernels::Moments moments = kernels::row_moments(from, n);
    const double variance = moments.m2 / moments.count;
    const auto at = static_cast<std::size_t>(row);
    block.mean[at] = moments.mean;
    block.biased_variance[at] = variance;
    const auto k =
        norm::train_coefficients<T>(moments.mean, variance, dense.eps,
                                    parameters[block.gamma + row], parameters[block.beta + row]);
    kernels::row_normalize(from, to, n, k, relu);
  };
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t at = row * n;
    if (dense.has_bias()) {
      kernels::row_normalize(block.linear + at, block.linear + at, n,
                             {.shift = parameters[block.bias + row]}, false);
    }
    const bool fuse_relu = block.norm_before() && dense.activation == Activation::relu;
    if (block.norm_before()) {
      normalize(row, block.linear + at, block.activation_in + at, fuse_relu);
    }
    if (observing) observe_row(block, parameters, row);
    if (!fuse_relu && dense.activation != Activation::none) {
      kernels::activate(dense.activation, block.activation_in + at, block.activation_out + at, n);
    }
    const T* result = block.activation_out + at;
    if (block.norm_after()) {
      normalize(row, result, block.output + at, false);
      result = block.output + at;
    }
    if (dense.dropout > 0.0) {
      // Inverted dropout (Srivastava et al., 2014): what is kept is scaled up, inference is as is.
      const double threshold = dense.dropout * 0x1.0p32;
      const T scale = static_cast<T>(1.0 / (1.0 - dense.dropout));
      for (std::int64_t i = 0; i < n; i += 4) {
        const auto words =
            dropout.bits(static_cast<std::uint32_t>(row * core::block_count(n, 4) + i / 4));
        for (std::int64_t j = i; j < std::min(i + 4, n); ++j) {
          const bool keep =
              static_cast<double>(words[static_cast<std::size_t>(j - i)]) >= threshold;
          block.kept[static_cast<std::size_t>(at + j)] = keep ? 1 : 0;
          block.output[at + j] = keep ? result[j] * scale : T{0};
        }
      }
    }
  }
}

// Keeps what enters the activation: most of them are computed in place, and relu with batch norm.
template <class T>
void TrainingPass<T>::State::observe_row(Block<T>& block, const T* parameters, std::int64_t row) {
  const std::int64_t at = row * examples;
  T* const kept = block.observed.data() + at;
  if (!block.norm_before()) {
    std::copy_n(block.linear + at, examples, kept);
    return;
  }
  const auto channel = static_cast<std::size_t>(row);
  const auto k = norm::train_coefficients<T>(block.mean[channel], block.biased_variance[channel],
                                             block.spec.eps, parameters[block.gamma + row],
                                             parameters[block.beta + row]);
  kernels::row_normalize(block.linear + at, kept, examples, k, false);
}

// From the last block to the first: dZ of a block of rows, then at once their dW = dZ X'.
template <class T>
void TrainingPass<T>::State::backward(const Network<T>& network, const T* x) {
  const T* parameters = network.parameters().data();
  const std::int64_t n = examples;
  for (std::size_t b = blocks.size(); b-- > 0;) {
    Block<T>& block = blocks[b];
    const std::int64_t in = block.inputs;
    core::parallel_for(
        threads, core::block_count(block.spec.units, kRowBlock), [&](std::int64_t task) {
          const std::int64_t first = task * kRowBlock;
          const std::int64_t last = std::min(first + kRowBlock, block.spec.units);
          if (b + 1 < blocks.size()) {
            const Block<T>& next = blocks[b + 1];
            kernels::gemm(Transpose::yes, Transpose::no, last - first, n, next.spec.units,
                          parameters + next.weight + first, block.spec.units,
                          static_cast<const T*>(next.gradient), n, block.gradient + first * n, n);
          }
          backward_rows(block, parameters, first, last);
          const T* dz = block.gradient + first * n;
          T* dw = gradients.data() + block.weight + first * in;
          if (b == 0) {
            kernels::gemm(Transpose::no, Transpose::no, last - first, in, n, dz, n, x, in, dw, in);
          } else {
            kernels::gemm(Transpose::no, Transpose::yes, last - first, in, n, dz, n,
                          static_cast<const T*>(blocks[b - 1].output), n, dw, in);
          }
        });
  }
}

template <class T>
void TrainingPass<T>::State::backward_rows(Block<T>& block, const T* parameters, std::int64_t first,
                                           std::int64_t last) {
  const DenseSpec& dense = block.spec;
  const std::int64_t n = examples;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t at = row * n;
    T* g = block.gradient + at;
    const auto through_norm = [&] {
      const T* x = block.norm_in() + at;
      const auto channel = static_cast<std::size_t>(row);
      const double mean = block.mean[channel], variance = block.biased_variance[channel];
      const auto sums =
          kernels::row_gradient_sums(x, g, n, mean, norm::inverse_deviation(variance, dense.eps));
      gradients[static_cast<std::size_t>(block.gamma + row)] = static_cast<T>(sums.dy_xhat);
      gradients[static_cast<std::size_t>(block.beta + row)] = static_cast<T>(sums.dy);
      const auto k =
          norm::backward_coefficients<T>(mean, variance, dense.eps, parameters[block.gamma + row],
                                         sums.dy_xhat, sums.dy, static_cast<double>(n));
      kernels::row_input_gradient(x, g, g, n, k);
    };
    if (dense.dropout > 0.0) {
      const T scale = static_cast<T>(1.0 / (1.0 - dense.dropout));
      for (std::int64_t i = 0; i < n; ++i) {
        g[i] = block.kept[static_cast<std::size_t>(at + i)] != 0 ? g[i] * scale : T{0};
      }
    }
    if (block.norm_after()) through_norm();
    if (dense.activation != Activation::none) {
      kernels::activation_gradient(dense.activation, block.activation_in + at,
                                   block.activation_out + at, g, g, n);
    }
    if (block.norm_before()) through_norm();
    if (dense.has_bias()) {
      gradients[static_cast<std::size_t>(block.bias + row)] =
          static_cast<T>(kernels::row_gradient_sums(g, g, n, 0.0, 1.0).dy);
    }
  }
}

template <class T>
double TrainingPass<T>::State::gradient_square_sum() {
  const auto count = static_cast<std::int64_t>(gradients.size());
  core::parallel_for(
      threads, static_cast<std::int64_t>(square_sums.size()), [&](std::int64_t task) {
        const std::int64_t first = task * kSumBlock;
        square_sums[static_cast<std::size_t>(task)] =
            kernels::sum_of_squares(gradients.data() + first, std::min(kSumBlock, count - first));
      });
  double sum = 0;
  for (const double part : square_sums) sum += part;
  return sum;
}

template <class T>
TrainingPass<T>::TrainingPass(const NetworkSpec& spec, const TrainingPassOptions& options)
    : state_(std::make_unique<State>()) {
  kernels::apply_target_environment();
  // The layout of the parameters is the network's own: one that is never trained tells it.
  const Network<T> network(spec, 0);
  nn::check_loss(options.loss, spec.outputs());
  if (options.max_examples < 1) {
    core::fail(ErrorKind::usage, "training pass: max_examples {}, expected at least 1",
               options.max_examples);
  }
  state_->spec = spec;
  state_->options = options;
  state_->threads = core::resolve_threads(options.threads);
  state_->gradients.resize(network.parameters().size());
  state_->square_sums.resize(static_cast<std::size_t>(
      core::block_count(static_cast<std::int64_t>(network.parameters().size()), kSumBlock)));
  state_->blocks.resize(spec.blocks.size());
  std::int64_t inputs = spec.inputs;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    Block<T>& block = state_->blocks[b];
    block.spec = spec.blocks[b];
    block.inputs = inputs;
    const auto offset = [&](ParameterKind kind) {
      const auto values = network.parameter(b, kind);
      return values.empty() ? 0 : values.data() - network.parameters().data();
    };
    block.weight = offset(ParameterKind::weight);
    block.bias = offset(ParameterKind::bias);
    block.gamma = offset(ParameterKind::gamma);
    block.beta = offset(ParameterKind::beta);
    if (!core::checked_product(block.spec.units, options.max_examples)) {
      core::fail(ErrorKind::usage, "training pass: block {}: {} units x {} examples are too many",
                 b, block.spec.units, options.max_examples);
    }
    block.allocate(options.max_examples);
    inputs = block.spec.units;
  }
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

  state.staged = false;
  state.observing = observed;
  for (Block<T>& block : state.blocks) {
    if (observed) block.observed.resize(block.buffers.front().size());
  }
  state.examples = examples;
  state.forward(network, batch.x.data(), step);
  Block<T>& last = state.blocks.back();
  const nn::LossValue value = nn::loss_and_gradient<T>(
      state.options.loss, last.output, {examples, state.spec.outputs(), 1, examples}, targets,
      last.gradient);
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
