// The batch normalization operator (Ioffe and Szegedy, 2015): train forward, backward, inference.
//
//   auto saved = batch_norm_train<float>({.x = x, .gamma = g, .beta = b, .y = y, .shape = shape});
//   running.update(saved);   // a separate, explicit step: call it, or drop `saved`
//   batch_norm_backward<float>({.x = x, .dy = dy, .gamma = g, .dx = dx, .dgamma = dg, .dbeta = db},
//                              saved);
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "evenrow/activation.hpp"
#include "evenrow/half.hpp"

namespace evenrow {

/// The sizes of a tensor: every layout is `[outer, channels, inner]`, last axis contiguous.
/// A *column* is one instance of all channels; there are outer * inner of them, and column
/// (o, i) has the index o * inner + i.
struct NormShape {
  std::int64_t outer = 0;
  std::int64_t channels = 0;
  std::int64_t inner = 0;

  /// Feature-major dense `[channels, columns]`, as Evenrow's own networks keep their activations.
  static constexpr NormShape feature_major(std::int64_t channels, std::int64_t columns) {
    return {1, channels, columns};
  }
  /// Row-major dense `[rows, channels]`, one example per row (NumPy, PyTorch).
  static constexpr NormShape row_major(std::int64_t rows, std::int64_t channels) {
    return {rows, channels, 1};
  }
  /// NCHW, NCL, NCDHW: `[batch, channels, positions]`.
  static constexpr NormShape channels_first(std::int64_t batch, std::int64_t channels,
                                            std::int64_t positions) {
    return {batch, channels, positions};
  }
  /// NHWC, NLC: `[batch, positions, channels]`.
  static constexpr NormShape channels_last(std::int64_t batch, std::int64_t positions,
                                           std::int64_t channels) {
    std::int64_t columns = 0;
    if (__builtin_mul_overflow(batch, positions, &columns)) columns = -1;  // refused when used
    return {columns, channels, 1};
  }

  constexpr std::int64_t columns() const { return outer * inner; }
  constexpr std::int64_t size() const { return outer * channels * inner; }
  friend bool operator==(const NormShape&, const NormShape&) = default;
};

/// Where a tensor that is part of a larger one has its values: (o, c, i) is at o * outer +
/// c * channel + i, in values. All 0: dense, that is {channels * inner, inner}. A view has either
/// contiguous segments of `inner` values, or contiguous columns of channels: inner 1, channel 1.
/// These cost nothing; any other view is refused.
struct NormStrides {
  std::int64_t outer = 0;
  std::int64_t channel = 0;
  friend bool operator==(const NormStrides&, const NormStrides&) = default;
};

/// A tensor of the caller: a span (or what becomes one, such as a vector) of exactly size() values,
/// or of at least as many as the strides reach.
template <class T>
struct NormTensor {
  std::span<T> values{};
  NormStrides strides{};

  NormTensor() = default;
  template <class Values>
  requires std::convertible_to<Values, std::span<T>> NormTensor(Values&& span,
                                                                NormStrides steps = {})
      : values(std::forward<Values>(span)), strides(steps) {}
  bool empty() const noexcept { return values.empty(); }
};

/// Which columns count. Everything computed is exactly what it would be with the other columns
/// removed from the tensor: they change no statistic, their y and dx are 0, and what they hold
/// (NaN included) does not matter. At most one of the fields is set; none set: all columns.
struct Validity {
  /// One byte a column, 0: not valid. Size: columns().
  std::span<const std::uint8_t> mask{};
  /// Valid time steps of each sequence; step t of sequence s is valid when t < lengths[s]. The
  /// columns are `lengths.size()` sequences of equal padded length, one after the other: NCL with
  /// outer = sequences, NLC with outer = sequences * time, or feature-major with inner = both.
  std::span<const std::int64_t> lengths{};
  /// One weight a column, finite and >= 0; 0: not valid. Weighted statistics, with n the sum of the
  /// weights: mean = sum(w x) / n, var = sum(w (x - mean)^2) / n. Size: columns().
  std::span<const float> weights{};
};

struct NormOptions {
  double eps = 1e-5;                         ///< Added to the variance; finite, >= 0.
  Activation activation = Activation::none;  ///< Fused after the normalization: none or relu.
  int threads = 0;  ///< 0: all that the process may use. Never changes a bit.
};

/// What a training forward pass leaves for the backward pass and for the running statistics.
/// Made only by batch_norm_train; move-only: a moved-from one may be destroyed, assigned to, or
/// given to batch_norm_train again. Threads may read one together.
class BatchNormSaved {
 public:
  BatchNormSaved(BatchNormSaved&&) noexcept;
  BatchNormSaved& operator=(BatchNormSaved&&) noexcept;
  ~BatchNormSaved();

  const NormShape& shape() const noexcept;
  std::int64_t count() const noexcept;                       ///< Valid columns.
  double weight() const noexcept;                            ///< n: count(), or sum of the weights.
  std::span<const double> mean() const noexcept;             ///< One a channel.
  std::span<const double> biased_variance() const noexcept;  ///< M2 / n, one a channel.

  struct State;  // private to src/norm

 private:
  explicit BatchNormSaved(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

/// Running statistics: what inference uses. A value; copy it freely.
/// `running = (1 - new_weight) * running + new_weight * batch`, biased variance (as the design's
/// vocabulary says; frameworks differ, and conversions live where their files are read).
struct RunningStatistics {
  std::vector<double> mean;      ///< Starts at 0.
  std::vector<double> variance;  ///< Starts at 1.
  double new_weight = 0.1;       ///< In (0, 1].
  std::int64_t updates = 0;      ///< Committed updates seen.

  RunningStatistics() = default;
  explicit RunningStatistics(std::int64_t channels, double new_weight = 0.1);

  /// Commits the batch statistics of one training forward pass. Errors (usage): another number of
  /// channels; new_weight outside (0, 1]. A batch without columns (count() == 0) changes nothing.
  void update(const BatchNormSaved& saved);
  /// The same from plain numbers, one of each a channel.
  void update(std::span<const double> batch_mean, std::span<const double> batch_biased_variance);
};

/// What tensors are made of. Elements are never converted silently. bfloat16 and float16 are
/// storage: a value is read as a float, everything is computed as for float, and y or dx is rounded
/// once, when it is stored.
template <class T>
concept NormElement = std::same_as<T, float> || std::same_as<T, double> ||
    std::same_as<T, bfloat16> || std::same_as<T, float16>;

/// Gamma, beta and their gradients: never below float.
template <NormElement T>
using NormParameter = std::conditional_t<std::same_as<T, double>, double, float>;

template <NormElement T>
struct BatchNormTrain {
  NormTensor<const T> x;
  std::span<const NormParameter<T>> gamma{};  ///< One a channel, or empty for all 1.
  std::span<const NormParameter<T>> beta{};   ///< One a channel, or empty for all 0.
  NormTensor<const T> residual{};             ///< Added before the activation; or empty for none.
  NormTensor<T> y;  ///< May be x or residual itself; must not overlap otherwise.
  NormShape shape;
  Validity valid{};
};

/// Training forward. For each channel, over its n valid columns:
///   mean = sum(x) / n,  var = sum((x - mean)^2) / n,
///   y = act(gamma * (x - mean) / sqrt(var + eps) + beta + residual)
/// Statistics by leaves of a fixed length, merged in double over a fixed binary tree (Chan, Golub,
/// LeVeque, 1979): the same bits for any number of threads, in place or not.
/// An empty tensor, or one without a valid column, has no statistics: count() is 0, y is 0 (all of
/// it is padding). One valid column is an error, because its variance is 0 by construction and y
/// would not depend on x. A row without any variance gives beta, exactly, with eps = 0 too.
/// With y == x the backward pass needs a copy of the original x from the caller.
/// Errors (evenrow::Error, usage): sizes that do not match the shape, negative sizes or a product
/// that overflows, eps negative or not finite, an activation other than none or relu, buffers that
/// overlap without being equal, lengths negative or longer than the sequences, one valid column.
/// Accuracy: docs/numerics.md. For float, every value of x up to the largest; the spread of a row
/// (max - min) and gamma / sqrt(var + eps) must be representable in T. Values of 16 bits are summed
/// in float inside a leaf, and in double where float is too narrow.
/// Thread safety: callable from several threads on different outputs. A calling thread keeps the
/// scratch memory of its largest call (16 bytes per channel and 64 to 512 columns with channels
/// last, 24 bytes per 1024 columns of the channels it takes together otherwise; with a mask 20
/// bytes a column more); apart from that, allocates only what the returned object holds.
template <NormElement T>
BatchNormSaved batch_norm_train(const BatchNormTrain<T>& tensors, const NormOptions& options = {});

/// The same, into an existing `saved` whose storage is used again: no allocation when this thread
/// has normalized a tensor of this size before. After an evenrow::Error `saved` is as it was.
template <NormElement T>
void batch_norm_train(const BatchNormTrain<T>& tensors, const NormOptions& options,
                      BatchNormSaved& saved);

template <NormElement T>
struct BatchNormBackward {
  NormTensor<const T> x;                      ///< The forward pass's input.
  NormTensor<const T> dy;                     ///< Gradient of the loss with respect to y.
  std::span<const NormParameter<T>> gamma{};  ///< As in the forward pass.
  std::span<const NormParameter<T>> beta{};   ///< As there; used only to undo a fused relu.
  NormTensor<T> dx;                           ///< May be dy itself, or x; no other overlap.
  NormTensor<T>
      dresidual{};  ///< dy after undoing the activation; or empty. May be dy, if dx is not.
  std::span<NormParameter<T>> dgamma{};  ///< One a channel, overwritten; or empty.
  std::span<NormParameter<T>> dbeta{};   ///< One a channel, overwritten; or empty.
  Validity valid{};                      ///< As in the forward pass.
};

/// Backward. With dy after undoing the activation, sums over the n valid columns, rstd =
/// 1 / sqrt(var + eps), xhat = (x - mean) * rstd:
///   dbeta = sum(dy),  dgamma = sum(dy * xhat),
///   dx = gamma * rstd * (dy - dbeta / n - xhat * dgamma / n);   dx = 0 in columns not valid.
/// With weights, the two terms with n count w times: dx = gamma * rstd * (dy - w * (...) / n).
/// Shape, eps and activation are those of `saved`. Without a valid column all gradients are 0.
/// Errors (usage): as above, or a `saved` that does not match these tensors: moved from, of another
/// element type, size, or set of valid columns. Same bits for any number of threads. No allocation
/// when this thread has seen a tensor of this size before.
template <NormElement T>
void batch_norm_backward(const BatchNormBackward<T>& tensors, const BatchNormSaved& saved,
                         int threads = 0);

template <NormElement T>
struct BatchNormInfer {
  NormTensor<const T> x;
  std::span<const NormParameter<T>> gamma{};
  std::span<const NormParameter<T>> beta{};
  NormTensor<const T> residual{};    ///< Added before the activation; or empty for none.
  std::span<const double> mean;      ///< Running mean, one a channel.
  std::span<const double> variance;  ///< Running (biased) variance, one a channel, >= 0.
  NormTensor<T> y;                   ///< May be x or residual itself; no other overlap.
  NormShape shape;
  Validity valid{};
};

/// Inference: y = act(gamma * (x - mean) / sqrt(variance + eps) + beta + residual), as given
/// statistics say;
/// one multiply-add a value: a * x + b folded where that is exact enough, and (x - mean) * a + beta
/// where |mean| is so large beside sqrt(variance + eps) that the folded b would cancel.
/// y = 0 in columns that are not valid. Errors (usage): as above; a negative or non-finite variance
/// or mean. Same bits for any number of threads; no allocation as above.
template <NormElement T>
void batch_norm_infer(const BatchNormInfer<T>& tensors, const NormOptions& options = {});

}  // namespace evenrow
