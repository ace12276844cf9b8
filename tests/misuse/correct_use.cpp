// What the misuses here get wrong, done right: it must compile, or the others prove nothing.
#include <utility>

#include "evenrow/batch_norm.hpp"

void correct_use(std::span<const float> x, std::span<float> y, std::span<float> dx) {
  using namespace evenrow;
  const NormShape shape = NormShape::feature_major(2, 3);
  BatchNormSaved saved = batch_norm_train<float>({.x = x, .y = y, .shape = shape});
  const BatchNormSaved kept = std::move(saved);
  RunningStatistics running(2);
  running.update(kept);
  const RunningStatistics copy = running;
  batch_norm_backward<float>({.x = x, .dy = y, .dx = dx}, kept);
  batch_norm_infer<float>(
      {.x = x, .mean = copy.mean, .variance = copy.variance, .y = y, .shape = shape});
}
