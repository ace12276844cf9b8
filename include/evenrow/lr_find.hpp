// The learning-rate range test: one short run whose learning rate grows with every step.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "evenrow/train.hpp"

namespace evenrow {

/// The learning rate of step i of n is from * (to / from)^(i / (n - 1)).
struct LearningRateSweep {
  double from = 1e-6;
  double to = 10.0;
  std::int64_t steps = 200;
};

struct LearningRatePoint {
  std::int64_t step = 0;
  double learning_rate = 0;
  double loss = 0;  ///< Of the step's mini-batch, before its update.
  /// Mean over this step and up to steps / 40 on either side of it, as many before as after.
  double smoothed_loss = 0;
  double gradient_norm = 0;
};

struct LearningRateCurve {
  std::vector<LearningRatePoint> points;
  bool diverged = false;  ///< It ended before `to`; see find_learning_rate.
  bool stopped = false;   ///< The observer said so.
  /// Empty when the smoothed loss never fell by a twentieth of where it began:
  std::optional<double> lowest;  ///< Where the smoothed loss is lowest.
  /// Where it falls fastest against the logarithm of the learning rate, up to `lowest`.
  std::optional<double> steepest;
  /// Half way between the two, in the logarithm: sqrt(steepest * lowest).
  std::optional<double> suggestion;
};

/// The range test of Smith ("Cyclical learning rates for training neural networks", WACV 2017,
/// section 3.3), with an exponential instead of a linear growth. Like Smith's two bounds, where the
/// result begins to improve and where it no longer does, `steepest` and `lowest` enclose the rates
/// that train well; docs/compare.md has how their middle does beside other rules. It ends
/// early when a loss or gradient is not finite, or when the mean loss of the last steps / 40 steps
/// is above four times the lowest such mean and above the first. What `training` says about
/// learning rate, schedule and epochs does not count. The same curve for the same seed, bit for
/// bit, on any number of threads. Errors: those of train(); usage: a sweep that is none.
LearningRateCurve find_learning_rate(const Dataset& data, const TrainOptions& training,
                                     const LearningRateSweep& sweep = {},
                                     TrainObserver* observer = nullptr);

}  // namespace evenrow
