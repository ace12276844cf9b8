// Backward needs what its forward pass saved, not some statistics.
// EXPECT: invalid initialization of reference .*BatchNormSaved.* from .*RunningStatistics
#include "evenrow/batch_norm.hpp"

void misuse(const evenrow::BatchNormBackward<float>& tensors,
            const evenrow::RunningStatistics& running) {
  evenrow::batch_norm_backward<float>(tensors, running);
}
