#include "evenrow/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/updates.hpp"

namespace evenrow {
namespace {

constexpr std::int64_t kWorthAThread = 4096;  // parameters
constexpr std::int64_t kLine = 16;            // of them that no two threads share

bool has_first_moment(OptimizerKind kind) {
  return kind != OptimizerKind::sgd && kind != OptimizerKind::rmsprop;
}
bool has_second_moment(OptimizerKind kind) {
  return kind == OptimizerKind::rmsprop || kind == OptimizerKind::adam ||
         kind == OptimizerKind::adamw;
}

void check(const OptimizerSpec& spec) {
  const auto in_unit_interval = [](double value, const char* name) {
    if (!(value >= 0.0 && value < 1.0)) {
      core::fail(ErrorKind::usage, "optimizer: {} {}, expected in [0, 1)", name, value);
    }
  };
  in_unit_interval(spec.momentum, "momentum");
  in_unit_interval(spec.rho, "rho");
  in_unit_interval(spec.beta1, "beta1");
  in_unit_interval(spec.beta2, "beta2");
  const auto not_negative = [](double value, const char* name) {
    if (!(value >= 0.0 && std::isfinite(value))) {
      core::fail(ErrorKind::usage, "optimizer: {} {}, expected finite and >= 0", name, value);
    }
  };
  not_negative(spec.eps, "eps");
  not_negative(spec.weight_decay, "weight decay");
  not_negative(spec.clip_norm, "clip norm");
}

}  // namespace

double default_learning_rate(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::sgd:
      return 0.1;
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov:
      return 0.02;
    default:
      return 1e-3;
  }
}

template <class T>
Optimizer<T>::Optimizer(const Network<T>& network, const OptimizerSpec& spec) : spec_(spec) {
  check(spec);
  const std::size_t size = network.parameters().size();
  if (has_first_moment(spec.kind)) first_.assign(size, T{0});
  if (has_second_moment(spec.kind)) second_.assign(size, T{0});
}

template <class T>
void Optimizer<T>::step(Network<T>& network, std::span<const T> gradients, double gradient_norm,
                        double learning_rate, int threads) {
  const std::span<T> parameters = network.parameters();
  const std::size_t size = parameters.size();
  if (gradients.size() != size || (has_first_moment(spec_.kind) && first_.size() != size) ||
      (has_second_moment(spec_.kind) && second_.size() != size)) {
    core::fail(ErrorKind::usage,
               "optimizer: {} gradients for {} parameters; make one Optimizer from each network",
               gradients.size(), size);
  }
  ++steps_;
  const double clip = spec_.clip_norm > 0.0 && gradient_norm > spec_.clip_norm
                          ? spec_.clip_norm / gradient_norm
                          : 1.0;
  const bool decoupled = spec_.kind == OptimizerKind::adamw;
  const T rate = static_cast<T>(learning_rate);
  const double correction1 = 1.0 - std::pow(spec_.beta1, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(spec_.beta2, static_cast<double>(steps_));

  const auto update = [&](ParameterKind kind, std::int64_t at, std::int64_t n) {
    const bool decayed = kind == ParameterKind::weight || spec_.decay_all;
    const double decay = decayed ? spec_.weight_decay : 0.0;
    const kernels::UpdateGradient<T> gradient{static_cast<T>(clip),
                                              static_cast<T>(decoupled ? 0.0 : decay)};
    T* w = parameters.data() + at;
    const T* g = gradients.data() + at;
    T* m = first_.empty() ? nullptr : first_.data() + at;
    T* s = second_.empty() ? nullptr : second_.data() + at;
    switch (spec_.kind) {
      case OptimizerKind::sgd:
        return kernels::sgd_update(w, g, n, gradient, rate);
      case OptimizerKind::momentum:
      case OptimizerKind::nesterov:
        return kernels::momentum_update(w, g, m, n, gradient, rate, static_cast<T>(spec_.momentum),
                                        spec_.kind == OptimizerKind::nesterov);
      case OptimizerKind::rmsprop:
        return kernels::rmsprop_update(w, g, s, n, gradient, rate, static_cast<T>(spec_.rho),
                                       static_cast<T>(spec_.eps));
      case OptimizerKind::adam:
      case OptimizerKind::adamw:
        return kernels::adam_update(
            w, g, m, s, n, gradient,
            {.beta1 = static_cast<T>(spec_.beta1),
             .one_minus_beta1 = static_cast<T>(1.0 - spec_.beta1),
             .beta2 = static_cast<T>(spec_.beta2),
             .one_minus_beta2 = static_cast<T>(1.0 - spec_.beta2),
             .step = static_cast<T>(learning_rate / correction1),
             .inverse_c2 = static_cast<T>(1.0 / std::sqrt(correction2)),
             .eps = static_cast<T>(spec_.eps),
             .keep = static_cast<T>(decoupled ? 1.0 - learning_rate * decay : 1.0)});
    }
  };
  // One loop, however many layers there are: each thread has its share of every parameter, the rows
  // of a weight whose gradient it has just made, and whose products it will make.
  const std::int64_t shares = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(size) / kWorthAThread, 1, std::max(1, threads));
  core::parallel_for(threads, shares, [&](std::int64_t share) {
    for (const ParameterSlot& slot : network.slots()) {
      const auto until = [&](std::int64_t of_shares) {
        return of_shares == shares ? slot.size() : slot.size() * of_shares / shares / kLine * kLine;
      };
      const std::int64_t first = until(share), last = until(share + 1);
      if (first < last) update(slot.kind, slot.offset + first, last - first);
    }
  });
}

template <class T>
void Optimizer<T>::restore(std::int64_t steps, std::span<const T> first,
                           std::span<const T> second) {
  if (first.size() != first_.size() || second.size() != second_.size() || steps < 0) {
    core::fail(ErrorKind::data,
               "optimizer state: {} first and {} second moments after {} steps, expected {} and {}",
               first.size(), second.size(), steps, first_.size(), second_.size());
  }
  steps_ = steps;
  std::ranges::copy(first, first_.begin());
  std::ranges::copy(second, second_.begin());
}

template class Optimizer<float>;
template class Optimizer<double>;

double learning_rate_at(const ScheduleSpec& schedule, double base, std::int64_t step,
                        std::int64_t steps_per_epoch, std::int64_t epochs) {
  const double now = static_cast<double>(step) / static_cast<double>(steps_per_epoch);  // epochs
  if (now < schedule.warmup_epochs) {
    // The first step has a rate already: (step + 1) of the warmup's steps.
    const double warmup_steps = schedule.warmup_epochs * static_cast<double>(steps_per_epoch);
    return base * std::min(1.0, static_cast<double>(step + 1) / warmup_steps);
  }
  switch (schedule.kind) {
    case ScheduleKind::step: {
      // In the middle of the step: at a boundary such as 0.6 / 0.2 the quotient may round below 3.
      const double middle =
          (static_cast<double>(step) + 0.5) / static_cast<double>(steps_per_epoch);
      return base * std::pow(schedule.step_factor, std::floor(middle / schedule.step_epochs));
    }
    case ScheduleKind::cosine: {
      const double rest = static_cast<double>(epochs) - schedule.warmup_epochs;
      const double part = rest > 0.0 ? (now - schedule.warmup_epochs) / rest : 1.0;
      return base * 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(part, 1.0)));
    }
    case ScheduleKind::constant:
      break;
  }
  return base;
}

}  // namespace evenrow
