#include "nn/inference.hpp"

#include <algorithm>
#include <array>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "evenrow/inference_pass.hpp"
#include "kernels/activations.hpp"
#include "kernels/columns.hpp"
#include "kernels/gemm.hpp"
#include "kernels/targets.hpp"

namespace evenrow {
namespace nn {
namespace {

constexpr std::int64_t kTaskExamples = 256;  // fixed, so that bits are too
// Of a task: what a block reads, that normalized, what it gives, and what is kept to be added.
constexpr std::int64_t kMatrices = 4;

}  // namespace

std::int64_t check_inference(const NetworkSpec& spec, std::size_t x_values, std::size_t y_values) {
  const auto values = static_cast<std::int64_t>(x_values);
  const std::int64_t examples = values / spec.inputs;
  if (values != examples * spec.inputs ||
      static_cast<std::int64_t>(y_values) != examples * spec.outputs()) {
    core::fail(ErrorKind::usage,
               "infer: x has {} values and y {}, expected a multiple of {} inputs, and {} outputs "
               "an example",
               x_values, y_values, spec.inputs, spec.outputs());
  }
  return examples;
}

template <class T>
auto Inference<T>::folded_norm(const Network<T>& network, std::size_t block) -> Coefficients {
  const RunningStatistics& running = network.running(block);
  const std::size_t channels = running.mean.size();
  const auto count = static_cast<std::int64_t>(channels);
  Coefficients k{std::vector<T>(channels), std::vector<T>(channels), std::vector<T>(channels)};
  std::vector<double> rstd(channels);
  kernels::infer_coefficients<T>(
      count, {running.variance.data(), network.spec().blocks[block].eps, rstd.data()},
      {running.mean.data(), rstd.data(), network.parameter(block, ParameterKind::gamma).data(),
       network.parameter(block, ParameterKind::beta).data()},
      {k.center.data(), k.scale.data(), k.shift.data()});
  return k;
}

template <class T>
Inference<T>::Inference(const Network<T>& network, std::int64_t max_examples, int threads) {
  kernels::apply_target_environment();
  const NetworkSpec& spec = network.spec();
  blocks_.resize(spec.blocks.size());
  std::int64_t widest = 0;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const DenseSpec& dense = spec.blocks[b];
    Block& block = blocks_[b];
    block.weight = network.parameter(b, ParameterKind::weight).data() - network.parameters().data();
    if (dense.norm == Norm::batch) {
      switch (dense.placement) {
        case NormPlacement::before_linear:
          block.read = folded_norm(network, b);
          break;
        case NormPlacement::before_activation:
          block.linear = folded_norm(network, b);
          break;
        case NormPlacement::after_activation:
          block.output = folded_norm(network, b);
          break;
      }
    }
    if (dense.has_bias()) {
      const auto bias = network.parameter(b, ParameterKind::bias);
      block.linear = {std::vector<T>(bias.size(), T{0}), std::vector<T>(bias.size(), T{1}),
                      std::vector<T>(bias.begin(), bias.end())};
    }
    if (dense.residual > 0) blocks_[b - static_cast<std::size_t>(dense.residual)].keeps = true;
    widest = std::max(widest, dense.units);
  }
  matrix_ = widest * std::min(max_examples, kTaskExamples);
  threads_ = static_cast<int>(std::min<std::int64_t>(
      core::resolve_threads(threads), core::block_count(max_examples, kTaskExamples)));
  scratch_.resize(static_cast<std::size_t>(threads_ * kMatrices * matrix_));
}

template <class T>
void Inference<T>::run(const Network<T>& network, const T* x, std::int64_t examples,
                       T* y) noexcept {
  const core::SignalsWait wait;
  const std::int64_t inputs = network.inputs(), outputs = network.outputs();
  core::parallel_for(threads_, threads_, [&](std::int64_t thread) {
    T* const scratch = scratch_.data() + thread * kMatrices * matrix_;
    for (std::int64_t first = thread * kTaskExamples; first < examples;
         first += threads_ * kTaskExamples) {
      run_task(network, x + first * inputs, std::min(examples - first, kTaskExamples), scratch,
               y + first * outputs);
    }
  });
}

template <class T>
void Inference<T>::apply(const Coefficients& k, const T* x, T* y, std::int64_t examples,
                         bool relu) {
  const auto channels = static_cast<std::int64_t>(k.center.size());
  const kernels::Run all{.length = examples};
  // The kernel takes mutable coefficients because training fills them; it only reads.
  const kernels::ChannelAffine<T> affine{const_cast<T*>(k.center.data()),
                                         const_cast<T*>(k.scale.data()),
                                         const_cast<T*>(k.shift.data())};
  kernels::column_normalize<T>({x, channels}, {}, {y, channels}, {&all, 1, examples}, {0, examples},
                               channels, affine, relu, {});
}

template <class T>
void Inference<T>::run_task(const Network<T>& network, const T* x, std::int64_t examples,
                            T* scratch, T* y) const noexcept {
  std::array<T*, 2> matrices{scratch, scratch + matrix_};  // what is read and what is given
  T* const read = scratch + 2 * matrix_;
  T* kept = scratch + 3 * matrix_;
  const T* from = x;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const DenseSpec& dense = network.spec().blocks[b];
    const Block& block = blocks_[b];
    const std::int64_t inputs = network.spec().inputs_of(b), values = examples * dense.units;
    const bool input_relu = dense.input_activation == Activation::relu;
    if (!block.read.center.empty()) {
      apply(block.read, from, read, examples, input_relu);
      if (!input_relu) kernels::activate(dense.input_activation, read, read, examples * inputs);
      from = read;
    } else if (dense.input_activation != Activation::none) {
      kernels::activate(dense.input_activation, from, read, examples * inputs);
      from = read;
    }
    T* const to = b + 1 == blocks_.size() ? y : matrices[b % 2];
    kernels::gemm(kernels::Transpose::no, kernels::Transpose::yes, examples, dense.units, inputs,
                  from, inputs, network.parameters().data() + block.weight, inputs, to,
                  dense.units);
    const bool fused_relu = dense.activation == Activation::relu && !block.linear.center.empty();
    if (!block.linear.center.empty()) apply(block.linear, to, to, examples, fused_relu);
    if (!fused_relu) kernels::activate(dense.activation, to, to, values);
    if (!block.output.center.empty()) apply(block.output, to, to, examples, false);
    if (dense.residual > 0) {
      for (std::int64_t i = 0; i < values; ++i) to[i] += kept[i];
    }
    if (block.keeps) std::copy_n(to, values, kept);
    from = to;
  }
}

template class Inference<float>;
template class Inference<double>;

}  // namespace nn

template <class T>
struct InferencePass<T>::State {
  Network<T> network;
  std::int64_t max_examples;
  nn::Inference<T> inference;
};

template <class T>
InferencePass<T>::InferencePass(Network<T> network, const InferencePassOptions& options) {
  check(network.spec());
  if (options.max_examples < 1) {
    core::fail(ErrorKind::usage, "inference pass: max_examples {}, expected at least 1",
               options.max_examples);
  }
  nn::Inference<T> inference(network, options.max_examples, options.threads);
  state_ = std::make_unique<State>(
      State{std::move(network), options.max_examples, std::move(inference)});
}

template <class T>
InferencePass<T>::InferencePass(InferencePass&&) noexcept = default;
template <class T>
InferencePass<T>& InferencePass<T>::operator=(InferencePass&&) noexcept = default;
template <class T>
InferencePass<T>::~InferencePass() = default;

template <class T>
void InferencePass<T>::run(std::span<const T> x, std::span<T> y) {
  const std::int64_t examples = nn::check_inference(state_->network.spec(), x.size(), y.size());
  if (examples > state_->max_examples) {
    core::fail(ErrorKind::usage, "inference pass: {} examples, expected at most {} (max_examples)",
               examples, state_->max_examples);
  }
  state_->inference.run(state_->network, x.data(), examples, y.data());
}

template <class T>
const Network<T>& InferencePass<T>::network() const noexcept {
  return state_->network;
}

template class InferencePass<float>;
template class InferencePass<double>;

}  // namespace evenrow
