#include <algorithm>

#include "core/fail.hpp"
#include "evenrow/batch_norm.hpp"

namespace evenrow {

RunningStatistics::RunningStatistics(std::int64_t channels, double new_weight_)
    : mean(static_cast<std::size_t>(std::max<std::int64_t>(channels, 0)), 0.0),
      variance(mean.size(), 1.0),
      new_weight(new_weight_) {}

void RunningStatistics::update(const BatchNormSaved& saved) {
  if (saved.count() == 0) return;
  update(saved.mean(), saved.biased_variance());
}

void RunningStatistics::update(std::span<const double> batch_mean,
                               std::span<const double> batch_biased_variance) {
  if (batch_mean.size() != mean.size() || batch_biased_variance.size() != variance.size()) {
    core::fail(ErrorKind::usage,
               "running statistics of {} channels cannot take batch statistics of {} means and {} "
               "variances; use one RunningStatistics object a layer",
               mean.size(), batch_mean.size(), batch_biased_variance.size());
  }
  if (!(new_weight > 0.0 && new_weight <= 1.0)) {
    core::fail(ErrorKind::usage, "new_weight of running statistics is {}, expected in (0, 1]",
               new_weight);
  }
  for (std::size_t c = 0; c < mean.size(); ++c) {
    mean[c] = (1.0 - new_weight) * mean[c] + new_weight * batch_mean[c];
    variance[c] = (1.0 - new_weight) * variance[c] + new_weight * batch_biased_variance[c];
  }
  ++updates;
}

}  // namespace evenrow
