// Tensors are named: a positional call, where dx and x are easily swapped, does not exist.
// EXPECT: no matching function for call to 'batch_norm_backward
#include "evenrow/batch_norm.hpp"

void misuse(std::span<const float> x, std::span<const float> dy, std::span<float> dx,
            const evenrow::BatchNormSaved& saved) {
  evenrow::batch_norm_backward<float>(x, dy, dx, saved);
}
