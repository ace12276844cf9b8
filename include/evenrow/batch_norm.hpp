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
#include <string>
#include <vector>

#include "evenrow/activation.hpp"

namespace evenrow {

/// How a tensor is stored: every layout is `[outer, channels, inner]`, dense, last axis contiguous.
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

/// Which columns count. Everything computed is exactly what it would be with the other columns
/// removed from the tensor: they change no statistic, their y and dx are 0, and what they hold
/// (NaN included) does not matter. At most one of the two fields is set; none set: all columns.
struct Validity {
  /// One byte a column, 0: not valid. Size: columns().
  std::span<const std::uint8_t> mask{};
  /// Valid time steps of each sequence; step t of sequence s is valid when t < lengths[s]. The
  /// columns are `lengths.size()` sequences of equal padded length, one after the other: NCL with
  /// outer = sequences, NLC with outer = sequences * time, or feature-major with inner = both.
  std::span<const std::int64_t> lengths{};
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
  std::int64_t count() const noexcept;                       ///< Valid columns, n.
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

/// What tensors are made of. Elements are never converted silently.
template <class T>
concept NormElement = std::same_as<T, float> || std::same_as<T, double>;

template <NormElement T>
struct BatchNormTrain {
  std::span<const T> x;        ///< size() values.
  std::span<const T> gamma{};  ///< One a channel, or empty for all 1.
  std::span<const T> beta{};   ///< One a channel, or empty for all 0.
  std::span<T> y;              ///< size() values; may be x itself, must not overlap it otherwise.
  NormShape shape;
  Validity valid{};
};

/// Training forward. For each channel, over its n valid columns:
///   mean = sum(x) / n,  var = sum((x - mean)^2) / n,
///   y = act(gamma * (x - mean) / sqrt(var + eps) + beta)
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
/// (max - min) and gamma / sqrt(var + eps) must be representable in T.
/// Thread safety: callable from several threads on different outputs. A calling thread keeps the
/// scratch memory of its largest call (about 24 bytes per channel and 512 columns, and with a mask
/// 12 bytes a column); apart from that, allocates only what the returned object holds.
template <NormElement T>
BatchNormSaved batch_norm_train(const BatchNormTrain<T>& tensors, const NormOptions& options = {});

/// The same, into an existing `saved` whose storage is used again: no allocation when this thread
/// has normalized a tensor of this size before. After an error `saved` is as it was.
template <NormElement T>
void batch_norm_train(const BatchNormTrain<T>& tensors, const NormOptions& options,
                      BatchNormSaved& saved);

template <NormElement T>
struct BatchNormBackward {
  std::span<const T> x;        ///< The forward pass's input.
  std::span<const T> dy;       ///< Gradient of the loss with respect to y.
  std::span<const T> gamma{};  ///< As in the forward pass.
  std::span<const T> beta{};   ///< As in the forward pass; used only to undo a fused relu.
  std::span<T> dx;             ///< May be dy itself, or x; no other overlap.
  std::span<T> dgamma{};       ///< One a channel, overwritten; or empty.
  std::span<T> dbeta{};        ///< One a channel, overwritten; or empty.
  Validity valid{};            ///< As in the forward pass.
};

/// Backward. With dy after undoing the activation, sums over the n valid columns, rstd =
/// 1 / sqrt(var + eps), xhat = (x - mean) * rstd:
///   dbeta = sum(dy),  dgamma = sum(dy * xhat),
///   dx = gamma * rstd * (dy - dbeta / n - xhat * dgamma / n);   dx = 0 in columns not valid.
/// Shape, eps and activation are those of `saved`. Without a valid column all gradients are 0.
/// Errors (usage): as above, or a `saved` that does not match these tensors: moved from, of another
/// element type, size, or set of valid columns. Same bits for any number of threads. No allocation
/// when this thread has seen a tensor of this size before.
template <NormElement T>
void batch_norm_backward(const BatchNormBackward<T>& tensors, const BatchNormSaved& saved,
                         int threads = 0);

template <NormElement T>
struct BatchNormInfer {
  std::span<const T> x;
  std::span<const T> gamma{};
  std::span<const T> beta{};
  std::span<const double> mean;      ///< Running mean, one a channel.
  std::span<const double> variance;  ///< Running (biased) variance, one a channel, >= 0.
  std::span<T> y;                    ///< May be x itself; no other overlap.
  NormShape shape;
  Validity valid{};
};

/// Inference: y = act(gamma * (x - mean) / sqrt(variance + eps) + beta) with the given statistics,
/// one multiply-add a value: a * x + b folded where that is exact enough, and (x - mean) * a + beta
/// where |mean| is so large beside sqrt(variance + eps) that the folded b would cancel.
/// y = 0 in columns that are not valid. Errors (usage): as above; a negative or non-finite variance
/// or mean. Same bits for any number of threads; no allocation as above.
template <NormElement T>
void batch_norm_infer(const BatchNormInfer<T>& tensors, const NormOptions& options = {});

}  // namespace evenrow
