#include "nn/loss.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "nn/names.hpp"

namespace evenrow::nn {
namespace {

// One example of softmax cross-entropy. With q the smoothed target, sum(q) = 1:
// loss = logsumexp(z) - sum_k q_k z_k; everything relative to the maximum.
template <class T>
double cross_entropy(const T* z, std::int64_t outputs, std::int64_t stride, std::int64_t label,
                     double smoothing, T gradient_scale, T* dz, std::int64_t& best) {
  best = 0;
  for (std::int64_t k = 1; k < outputs; ++k) {
    if (z[k * stride] > z[best * stride]) best = k;
  }
  const T top = z[best * stride];
  double sum = 0, mean_shifted = 0;
  for (std::int64_t k = 0; k < outputs; ++k) {
    const T shifted = z[k * stride] - top;
    const T power = std::exp(shifted);
    if (dz != nullptr) dz[k * stride] = power;
    sum += static_cast<double>(power);
    mean_shifted += static_cast<double>(shifted);
  }
  mean_shifted /= static_cast<double>(outputs);
  if (dz != nullptr) {
    const T inverse = static_cast<T>(1.0 / sum);
    const T off = static_cast<T>(smoothing / static_cast<double>(outputs));
    const T on = static_cast<T>(1.0 - smoothing) + off;
    for (std::int64_t k = 0; k < outputs; ++k) {
      const T probability = dz[k * stride] * inverse;
      dz[k * stride] = (probability - (k == label ? on : off)) * gradient_scale;
    }
  }
  const double label_shifted = static_cast<double>(z[label * stride] - top);
  return std::log(sum) - (1.0 - smoothing) * label_shifted - smoothing * mean_shifted;
}

// The losses of the examples [first, last), their sum not yet divided; gradients divided by
// `count`.
template <class T>
LossValue sum_of_losses(const LossSpec& spec, const T* z, const OutputLayout& layout,
                        std::int64_t first, std::int64_t last, double count,
                        const LossTargets<T>& targets, T* dz) noexcept {
  LossValue result;
  const T scale = static_cast<T>(1.0 / count);
  if (spec.kind == LossKind::cross_entropy) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t at = i * layout.example_stride;
      const std::int64_t label = targets.classes[static_cast<std::size_t>(i)];
      std::int64_t best = 0;
      result.loss +=
          cross_entropy(z + at, layout.outputs, layout.output_stride, label, spec.label_smoothing,
                        scale, dz == nullptr ? nullptr : dz + at, best);
      result.correct += best == label ? 1 : 0;
    }
    return result;
  }

  const T delta = static_cast<T>(spec.huber_delta);
  for (std::int64_t i = first; i < last; ++i) {
    bool all_right = true;
    for (std::int64_t k = 0; k < layout.outputs; ++k) {
      const std::int64_t at = i * layout.example_stride + k * layout.output_stride;
      const T target = targets.values[static_cast<std::size_t>(i * layout.outputs + k)];
      const T output = z[at];
      const T error = output - target;
      T value = 0, slope = 0;
      switch (spec.kind) {
        case LossKind::binary_cross_entropy: {
          // With e = exp(-|z|): sigmoid(z) is 1 / (1 + e) for z >= 0 and e / (1 + e) below.
          const T e = std::exp(-std::abs(output));
          value = std::max(output, T{0}) - output * target + std::log1p(e);
          slope = (output >= 0 ? T{1} : e) / (T{1} + e) - target;
          if (std::isnan(output)) value = slope = output;
          all_right = all_right && (output > 0) == (target > T{0.5});
          break;
        }
        case LossKind::huber:
          value =
              std::abs(error) <= delta ? error * error / 2 : delta * (std::abs(error) - delta / 2);
          slope = std::abs(error) <= delta ? error : std::copysign(delta, error);
          break;
        default:
          value = error * error;
          slope = 2 * error;
      }
      result.loss += static_cast<double>(value);
      if (dz != nullptr) dz[at] = slope * scale;
    }
    if (spec.kind == LossKind::binary_cross_entropy && all_right) ++result.correct;
  }
  return result;
}

}  // namespace

template <class T>
LossValue loss_and_gradient(const LossSpec& spec, const T* z, const OutputLayout& layout,
                            const LossTargets<T>& targets, T* dz, int threads) noexcept {
  if (layout.examples == 0) return {};
  const std::int64_t losses =
      layout.examples * (spec.kind == LossKind::cross_entropy ? 1 : layout.outputs);
  const auto count = static_cast<double>(losses);
  // Tasks from the number of examples alone: the sum has the same bits for any threads.
  constexpr std::int64_t kTasks = 64, kLeast = 32;
  const std::int64_t each = std::max(kLeast, core::block_count(layout.examples, kTasks));
  std::array<LossValue, kTasks> parts;
  core::parallel_for(threads, core::block_count(layout.examples, each), [&](std::int64_t task) {
    const std::int64_t first = task * each, last = std::min(first + each, layout.examples);
    parts[static_cast<std::size_t>(task)] =
        sum_of_losses(spec, z, layout, first, last, count, targets, dz);
  });
  LossValue result;
  for (const LossValue& part : parts) {
    result.loss += part.loss;
    result.correct += part.correct;
  }
  result.loss /= count;
  return result;
}

void check_loss(const LossSpec& spec, std::int64_t outputs) {
  if (!(spec.label_smoothing >= 0.0 && spec.label_smoothing < 1.0)) {
    core::fail(ErrorKind::usage, "loss: label smoothing {}, expected in [0, 1)",
               spec.label_smoothing);
  }
  if (spec.label_smoothing > 0.0 && spec.kind != LossKind::cross_entropy) {
    core::fail(ErrorKind::usage, "loss: label smoothing goes with cross_entropy, not with {}",
               core::name_of(spec.kind));
  }
  if (!(spec.huber_delta > 0.0 && std::isfinite(spec.huber_delta))) {
    core::fail(ErrorKind::usage, "loss: huber delta {}, expected finite and > 0", spec.huber_delta);
  }
  if (spec.kind == LossKind::cross_entropy && outputs < 2) {
    core::fail(ErrorKind::usage,
               "loss: cross_entropy over {} output is always 0; use one output a class, or "
               "binary_cross_entropy",
               outputs);
  }
}

template <class T>
void check_targets(const LossSpec& spec, std::int64_t examples, std::int64_t outputs,
                   const LossTargets<T>& targets) {
  if (spec.kind != LossKind::cross_entropy) {
    if (static_cast<std::int64_t>(targets.values.size()) != examples * outputs) {
      core::fail(ErrorKind::usage, "loss: {} target values, expected {} examples x {} outputs",
                 targets.values.size(), examples, outputs);
    }
    return;
  }
  if (static_cast<std::int64_t>(targets.classes.size()) != examples) {
    core::fail(ErrorKind::usage, "loss: {} target classes, expected one for each of {} examples",
               targets.classes.size(), examples);
  }
  for (std::int64_t i = 0; i < examples; ++i) {
    const std::int32_t label = targets.classes[static_cast<std::size_t>(i)];
    if (label < 0 || label >= outputs) {
      core::fail(ErrorKind::usage, "loss: class {} of example {}, expected in [0, {})", label, i,
                 outputs);
    }
  }
}

template LossValue loss_and_gradient<float>(const LossSpec&, const float*, const OutputLayout&,
                                            const LossTargets<float>&, float*, int) noexcept;
template LossValue loss_and_gradient<double>(const LossSpec&, const double*, const OutputLayout&,
                                             const LossTargets<double>&, double*, int) noexcept;
template void check_targets<float>(const LossSpec&, std::int64_t, std::int64_t,
                                   const LossTargets<float>&);
template void check_targets<double>(const LossSpec&, std::int64_t, std::int64_t,
                                    const LossTargets<double>&);

}  // namespace evenrow::nn

namespace evenrow {

template <class T>
double loss(const LossSpec& spec, std::span<const T> outputs, std::int64_t examples,
            const LossTargets<T>& targets) {
  const std::int64_t width =
      examples > 0 ? static_cast<std::int64_t>(outputs.size()) / examples : 0;
  if (examples < 1 || width * examples != static_cast<std::int64_t>(outputs.size())) {
    core::fail(ErrorKind::usage, "loss: {} outputs cannot be those of {} examples", outputs.size(),
               examples);
  }
  nn::check_loss(spec, width);
  nn::check_targets(spec, examples, width, targets);
  return nn::loss_and_gradient<T>(spec, outputs.data(), {examples, width, width, 1}, targets,
                                  nullptr, 1)
      .loss;
}

template double loss<float>(const LossSpec&, std::span<const float>, std::int64_t,
                            const LossTargets<float>&);
template double loss<double>(const LossSpec&, std::span<const double>, std::int64_t,
                             const LossTargets<double>&);

}  // namespace evenrow
