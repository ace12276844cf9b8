// One training pass over a mini-batch: forward, loss, backward. The building block of a training
// loop of your own; evenrow/train.hpp has the whole loop.
//
//   Network<float> network(spec, seed);
//   TrainingPass<float> pass(spec, {.loss = {}, .max_examples = 128});
//   Optimizer<float> optimizer(network, {.kind = OptimizerKind::adam});
//   for (...) {
//     const PassResult result = pass.run(network, {.x = x, .classes = labels}, step);
//     if (!result.finite) { pass.discard(); continue; }
//     optimizer.step(network, pass.gradients(), learning_rate);
//     pass.commit(network);
//   }
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "evenrow/network.hpp"

namespace evenrow {

enum class LossKind { cross_entropy, binary_cross_entropy, squared_error, huber };

/// Loss functions; every one is a mean over the examples (and over the outputs, for the last
/// three).
///   cross_entropy: -sum_k q_k log softmax(z)_k, with q one-hot, or (1 - s) one-hot + s / K with
///     label smoothing s (Szegedy et al., 2016); computed with the maximum subtracted.
///   binary_cross_entropy: max(z, 0) - z t + log1p(exp(-|z|)), t in [0, 1].
///   squared_error: (z - t)^2.
///   huber: |e| <= delta ? e^2 / 2 : delta (|e| - delta / 2), e = z - t (Huber, 1964).
struct LossSpec {
  LossKind kind = LossKind::cross_entropy;
  double label_smoothing = 0.0;  ///< cross_entropy only; [0, 1).
  double huber_delta = 1.0;      ///< huber only; > 0.
  friend bool operator==(const LossSpec&, const LossSpec&) = default;
};

/// Loss of outputs z, row-major [examples, outputs], and its gradient with respect to z. The value
/// is summed in double. `classes` for cross_entropy (one an example, in [0, outputs)); `values` for
/// the others, row-major like z.
template <class T>
struct LossTargets {
  std::span<const std::int32_t> classes{};
  std::span<const T> values{};
};
template <class T>
double loss(const LossSpec& spec, std::span<const T> outputs, std::int64_t examples,
            const LossTargets<T>& targets);

/// What the operands of a training pass's matrix products are. f32: float. bf16: weights, what
/// blocks read and gradients are rounded to bfloat16 for the products (relative error 2^-9 each),
/// whose sums are float; weights, statistics, batch norm, loss and optimizer stay float. For
/// networks of float on a processor that multiplies bfloat16 (AVX-512 BF16, AMX).
enum class Precision { f32, bf16 };

struct TrainingPassOptions {
  LossSpec loss{};
  std::int64_t max_examples = 128;  ///< All memory is allocated for this many, once.
  std::uint64_t seed = 0;           ///< Of the dropout masks.
  int threads = 0;
  Precision precision = Precision::f32;
};

template <class T>
struct MiniBatch {
  std::span<const T> x;                     ///< Row-major [examples, inputs].
  std::span<const std::int32_t> classes{};  ///< See LossTargets.
  std::span<const T> values{};
};

struct PassResult {
  double loss = 0;
  std::int64_t correct = 0;  ///< Examples whose largest output is their class (cross_entropy), or
                             ///< whose output has the right sign (binary_cross_entropy).
  double gradient_norm = 0;  ///< Euclidean norm over all parameters.
  bool finite = true;        ///< Loss and all gradients are finite.
};

/// What one dense block held in an observed pass: views into the pass, good until its next run.
/// Values are feature-major [units, examples].
template <class T>
struct BlockView {
  std::span<const T> activation_input;   ///< What enters the activation: after the linear part, and
                                         ///< after batch norm where that stands before it.
  std::span<const T> activation_output;  ///< What leaves it. Where there is none, or gelu: after
                                         ///< dropout and what a residual connection adds.
  std::span<const T> output;             ///< What later blocks read.
  std::span<const double> mean, biased_variance;  ///< Of the batch, one a channel of batch norm.
};

/// Forward and backward over one mini-batch, all memory allocated up front (with bf16 the library
/// of products takes some more in every product). Results depend on the arguments alone, never on
/// the number of threads. Not thread-safe itself. T: float, double.
template <class T>
class TrainingPass {
 public:
  /// Errors: see check(spec); max_examples below 1; a loss that does not fit the outputs;
  /// bf16 where T is double or the processor does not have it.
  TrainingPass(const NetworkSpec& spec, const TrainingPassOptions& options);
  TrainingPass(TrainingPass&&) noexcept;
  TrainingPass& operator=(TrainingPass&&) noexcept;
  ~TrainingPass();

  /// Computes loss and gradients; the network is not changed. `step` selects the dropout masks.
  /// Errors: another network, sizes that do not match, a class out of range, one example where
  /// batch norm needs two or more (names the block).
  PassResult run(const Network<T>& network, const MiniBatch<T>& batch, std::uint64_t step) {
    return run(network, batch, step, false);
  }

  /// The same, bit for bit, and block() shows what was inside. Costs a copy of what enters the
  /// activations; its memory is allocated at the first call.
  PassResult run_observed(const Network<T>& network, const MiniBatch<T>& batch,
                          std::uint64_t step) {
    return run(network, batch, step, true);
  }

  /// A block of the last run. Errors (usage): that was not an observed one; no such block.
  BlockView<T> block(std::size_t index) const;

  /// Gradients of the last run, in the layout of Network::parameters(). Writable, for clipping.
  std::span<T> gradients() noexcept;

  /// Outputs of the last run's forward pass, feature-major [outputs, examples].
  std::span<const T> outputs() const noexcept;

  /// Commits the batch statistics of the last run to the network's running statistics; once.
  void commit(Network<T>& network);
  /// Forgets them.
  void discard() noexcept;

 private:
  PassResult run(const Network<T>& network, const MiniBatch<T>& batch, std::uint64_t step,
                 bool observed);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenrow
