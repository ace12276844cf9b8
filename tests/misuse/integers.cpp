// The operator is for float and double.
// EXPECT: no matching function for call to 'batch_norm_train<int>
#include "evenrow/batch_norm.hpp"

void misuse(std::span<const int> x, std::span<int> y) {
  evenrow::batch_norm_train<int>({.x = x, .y = y, .shape = {1, 2, 3}});
}
