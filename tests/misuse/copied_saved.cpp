// A copy would let the same batch statistics be committed twice unnoticed.
// EXPECT: use of deleted function 'evenrow::BatchNormSaved::BatchNormSaved
#include "evenrow/batch_norm.hpp"

void misuse(const evenrow::BatchNormSaved& saved) {
  const evenrow::BatchNormSaved copy = saved;
}
