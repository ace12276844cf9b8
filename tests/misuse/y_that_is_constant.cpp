// An output must be writable.
// EXPECT: could not convert 'y' from 'const std::vector<float>' to 'evenrow::NormTensor<float>'
#include <vector>

#include "evenrow/batch_norm.hpp"

void misuse(const std::vector<float>& x, const std::vector<float>& y) {
  const evenrow::BatchNormTrain<float> tensors{.x = x, .y = y, .shape = {1, 2, 3}};
  evenrow::batch_norm_train(tensors);
}
