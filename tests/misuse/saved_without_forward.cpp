// Only a forward pass makes one.
// EXPECT: no matching function for call to 'evenrow::BatchNormSaved::BatchNormSaved\(\)'
#include "evenrow/batch_norm.hpp"

void misuse() {
  evenrow::BatchNormSaved saved;
}
