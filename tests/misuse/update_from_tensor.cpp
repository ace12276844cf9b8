// Running statistics are updated from a forward pass or from doubles, not from a float tensor.
// EXPECT: no matching function for call to 'evenrow::RunningStatistics::update
#include "evenrow/batch_norm.hpp"

void misuse(evenrow::RunningStatistics& running, std::span<const float> mean) {
  running.update(mean, mean);
}
