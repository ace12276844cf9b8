#include "evenrow/lr_find.hpp"

#include <algorithm>
#include <cmath>

#include "core/fail.hpp"
#include "train/session.hpp"

namespace evenrow {
namespace {

constexpr double kDivergence = 4.0;  // times the lowest mean loss; as fastai has it
constexpr std::int64_t kWindows = 40;
constexpr double kFall = 0.95;  // a lowest loss above this part of the first one is chance

// Keeps what the session tells and passes it on.
class Recorder : public TrainObserver {
 public:
  explicit Recorder(TrainObserver* next) : next_(next != nullptr ? next : &silent_) {}

  void on_plan(const TrainPlan& plan) override { next_->on_plan(plan); }
  void on_step(const StepMetrics& metrics) override {
    last = metrics;
    next_->on_step(metrics);
  }
  bool stop_requested() override { return next_->stop_requested(); }

  StepMetrics last;

 private:
  TrainObserver silent_;
  TrainObserver* next_;
};

void check(const LearningRateSweep& sweep) {
  if (!(sweep.from > 0 && sweep.from < sweep.to && std::isfinite(sweep.to))) {
    core::fail(ErrorKind::usage, "learning rates from {:g} to {:g}: expected 0 < from < to",
               sweep.from, sweep.to);
  }
  if (sweep.steps < 10 || sweep.steps > 1'000'000) {
    core::fail(ErrorKind::usage, "steps is {}, expected 10 to 1000000", sweep.steps);
  }
}

double mean_loss(std::span<const LearningRatePoint> points) {
  double sum = 0;
  for (const LearningRatePoint& point : points) sum += point.loss;
  return sum / static_cast<double>(points.size());
}

// Fills in everything that is known only when the whole curve is.
void judge(LearningRateCurve& curve, std::int64_t window) {
  auto& points = curve.points;
  const std::int64_t count = std::ssize(points);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t half = std::min({window, i, count - 1 - i});
    points[static_cast<std::size_t>(i)].smoothed_loss = mean_loss(std::span(points).subspan(
        static_cast<std::size_t>(i - half), static_cast<std::size_t>(2 * half + 1)));
  }
  const auto loss = [&](std::int64_t i) {
    return points[static_cast<std::size_t>(i)].smoothed_loss;
  };
  std::int64_t lowest = 0;
  for (std::int64_t i = 1; i < count; ++i) lowest = loss(i) < loss(lowest) ? i : lowest;
  const double start =
      mean_loss(std::span(points).first(static_cast<std::size_t>(std::min(window, count))));
  if (!(loss(lowest) < kFall * start)) return;
  // Rates are evenly spaced in their logarithm, so that differences are slopes: over a whole window
  // on either side, from where the smoothed loss is the mean of one.
  std::int64_t steepest = lowest;
  double steepest_fall = 0;
  for (std::int64_t i = 2 * window; i + window <= lowest; ++i) {
    const double fall = loss(i - window) - loss(i + window);
    if (fall > steepest_fall) {
      steepest_fall = fall;
      steepest = i;
    }
  }
  curve.lowest = points[static_cast<std::size_t>(lowest)].learning_rate;
  curve.steepest = points[static_cast<std::size_t>(steepest)].learning_rate;
  curve.suggestion = std::sqrt(*curve.steepest * *curve.lowest);
}

}  // namespace

LearningRateCurve find_learning_rate(const Dataset& data, const TrainOptions& training,
                                     const LearningRateSweep& sweep, TrainObserver* observer) {
  check(training);
  check(sweep);
  training::Session session(data, training, nullptr);
  Recorder recorder(observer);
  recorder.on_plan(session.plan());
  const std::int64_t window = std::max<std::int64_t>(1, sweep.steps / kWindows);
  LearningRateCurve curve;
  auto& points = curve.points;
  double first_mean = 0, lowest_mean = 0;
  while (std::ssize(points) < sweep.steps && !curve.diverged && !curve.stopped) {
    const double part = static_cast<double>(points.size()) / static_cast<double>(sweep.steps - 1);
    session.one_step(sweep.from * std::pow(sweep.to / sweep.from, part), recorder);
    const StepMetrics& step = recorder.last;
    if (step.skipped) {
      curve.diverged = true;
      break;
    }
    points.push_back({step.step, step.learning_rate, step.loss, 0.0, step.gradient_norm});
    if (const std::int64_t before = std::ssize(points) - window; before >= 0) {
      const double mean = mean_loss(std::span(points).subspan(static_cast<std::size_t>(before)));
      if (before == 0) first_mean = lowest_mean = mean;
      lowest_mean = std::min(lowest_mean, mean);
      curve.diverged = mean > kDivergence * lowest_mean && mean > first_mean;
    }
    curve.stopped = recorder.stop_requested();
  }
  judge(curve, window);
  return curve;
}

}  // namespace evenrow
