// As copied_saved.cpp.
// EXPECT: use of deleted function '.*evenrow::BatchNormSaved::operator=
#include "evenrow/batch_norm.hpp"

void misuse(const evenrow::BatchNormSaved& from, evenrow::BatchNormSaved& to) {
  to = from;
}
