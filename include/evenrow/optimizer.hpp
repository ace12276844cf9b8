// Optimizers and learning-rate schedules.
#pragma once

#include <cstdint>
#include <span>

#include "evenrow/aligned.hpp"
#include "evenrow/network.hpp"

namespace evenrow {

enum class OptimizerKind { sgd, momentum, nesterov, rmsprop, adam, adamw };

/// g: gradient, w: parameter, lr: learning rate. The same formulas and defaults as PyTorch's.
///   sgd:       w -= lr g
///   momentum:  v = mu v + g;  w -= lr v                       (Polyak, 1964)
///   nesterov:  v = mu v + g;  w -= lr (g + mu v)              (Sutskever et al., 2013)
///   rmsprop:   s = rho s + (1 - rho) g^2;  w -= lr g / (sqrt(s) + eps)        (Hinton, 2012)
///   adam:      m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g^2;
///              w -= lr (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps)  (Kingma and Ba, 2015)
///   adamw:     w -= lr decay w, then as adam                  (Loshchilov and Hutter, 2019)
/// Weight decay of all but adamw: g += decay w.
struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::adam;
  double momentum = 0.9;      ///< mu; momentum and nesterov.
  double rho = 0.99;          ///< rmsprop.
  double beta1 = 0.9;         ///< adam, adamw.
  double beta2 = 0.999;       ///< adam, adamw.
  double eps = 1e-8;          ///< rmsprop, adam, adamw.
  double weight_decay = 0.0;  ///< Of weights.
  bool decay_all = false;     ///< Of gamma, beta and biases too.
  double clip_norm = 0.0;     ///< Largest Euclidean norm of all gradients together; 0: no limit.
  friend bool operator==(const OptimizerSpec&, const OptimizerSpec&) = default;
};

/// The learning rate that suits most problems with this optimizer: 0.1 for sgd, 0.02 for momentum
/// and nesterov, 1e-3 for the others.
double default_learning_rate(OptimizerKind kind);

/// Updates the parameters of one network. A value (state included). T: float, double.
template <class T>
class Optimizer {
 public:
  Optimizer() = default;
  /// Errors (usage): a setting out of its range.
  Optimizer(const Network<T>& network, const OptimizerSpec& spec);

  /// One step. `gradients` in the layout of Network::parameters(); `gradient_norm` their norm, as
  /// PassResult has it. Same bits for any number of threads.
  void step(Network<T>& network, std::span<const T> gradients, double gradient_norm,
            double learning_rate, int threads = 1);

  const OptimizerSpec& spec() const noexcept { return spec_; }
  /// Steps taken, and the moments (empty where the method has none): what a checkpoint stores.
  std::int64_t steps() const noexcept { return steps_; }
  std::span<const T> first_moment() const noexcept { return first_; }
  std::span<const T> second_moment() const noexcept { return second_; }
  /// Errors (data): sizes that are not this optimizer's.
  void restore(std::int64_t steps, std::span<const T> first, std::span<const T> second);

 private:
  OptimizerSpec spec_;
  std::int64_t steps_ = 0;
  AlignedVector<T> first_, second_;
};

enum class ScheduleKind { constant, step, cosine };

/// Learning rate over the training steps: a linear warmup from 0 over the first `warmup_epochs`,
/// then constant;  step: times `step_factor` after every `step_epochs`;  cosine: from the full rate
/// to 0 over the epochs that remain (Loshchilov and Hutter, 2017).
struct ScheduleSpec {
  ScheduleKind kind = ScheduleKind::constant;
  double warmup_epochs = 0.0;
  double step_epochs = 10.0;
  double step_factor = 0.1;
  friend bool operator==(const ScheduleSpec&, const ScheduleSpec&) = default;
};

/// Learning rate of step `step` (from 0) of `epochs * steps_per_epoch`.
double learning_rate_at(const ScheduleSpec& schedule, double base, std::int64_t step,
                        std::int64_t steps_per_epoch, std::int64_t epochs);

}  // namespace evenrow
