// Elements are never converted silently.
// EXPECT: could not convert 'x' from .*std::vector<double>.* to 'evenrow::NormTensor<const float>'
#include <vector>

#include "evenrow/batch_norm.hpp"

void misuse(const std::vector<double>& x, std::vector<float>& y) {
  const evenrow::BatchNormTrain<float> tensors{.x = x, .y = y, .shape = {1, 2, 3}};
  evenrow::batch_norm_train(tensors);
}
