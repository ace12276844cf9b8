// Losses on feature-major outputs, as training has them (formulas:
// include/evenrow/training_pass.hpp).
#pragma once

#include <cstdint>

#include "evenrow/training_pass.hpp"

namespace evenrow::nn {

/// Where output k of example i lies: z[k * output_stride + i * example_stride].
struct OutputLayout {
  std::int64_t examples = 0, outputs = 0;
  std::int64_t example_stride = 0, output_stride = 0;
};

struct LossValue {
  double loss = 0;
  std::int64_t correct = 0;  ///< See PassResult.
};

/// Loss, and its gradient in dz (same layout, not z; may be null), on so many threads. Targets are
/// already checked.
template <class T>
LossValue loss_and_gradient(const LossSpec& spec, const T* z, const OutputLayout& layout,
                            const LossTargets<T>& targets, T* dz, int threads) noexcept;

/// Throws (usage) when the spec or the sizes do not fit, or a class is out of range.
void check_loss(const LossSpec& spec, std::int64_t outputs);
template <class T>
void check_targets(const LossSpec& spec, std::int64_t examples, std::int64_t outputs,
                   const LossTargets<T>& targets);

}  // namespace evenrow::nn
