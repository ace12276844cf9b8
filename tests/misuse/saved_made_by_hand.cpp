// Backward with a `saved` that no forward pass made.
// EXPECT: BatchNormSaved\(std::unique_ptr<.*' is private within this context
#include "evenrow/batch_norm.hpp"

void misuse(const evenrow::BatchNormBackward<float>& tensors) {
  evenrow::batch_norm_backward(tensors, evenrow::BatchNormSaved(nullptr));
}
