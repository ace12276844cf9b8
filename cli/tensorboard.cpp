#include "tensorboard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/fail.hpp"

namespace evenrow::cli {
namespace {

constexpr std::int64_t kPoints = 1000;

// The quantiles as a histogram: 1 % of the values below the first, 4 % up to the second, and so on.
// Equal quantiles are one limit. Empty where something is not finite.
std::optional<report::Histogram> histogram_of(const Distribution& seen) {
  const auto count = static_cast<double>(seen.count);
  report::Histogram histogram{.smallest = seen.smallest,
                              .largest = seen.largest,
                              .count = count,
                              .sum = seen.mean * count,
                              .sum_of_squares = (seen.variance + seen.mean * seen.mean) * count,
                              .limits = {},
                              .counts = {}};
  if (!std::isfinite(histogram.sum_of_squares) || !std::isfinite(seen.largest - seen.smallest)) {
    return std::nullopt;
  }
  double below = 0;
  const auto add = [&](double limit, double part) {
    if (histogram.limits.empty() || limit > histogram.limits.back()) {
      histogram.limits.push_back(limit);
      histogram.counts.push_back(0);
    }
    histogram.counts.back() += (part - below) * count;
    below = part;
  };
  for (std::size_t i = 0; i < kObservedQuantiles.size(); ++i) {
    add(seen.quantiles[i], kObservedQuantiles[i]);
  }
  add(seen.largest, 1.0);
  return histogram;
}

}  // namespace

TensorBoardLog::TensorBoardLog(std::filesystem::path folder, bool resumed,
                               const TrainOptions& options, TrainObserver& next)
    : folder_(std::move(folder)), epochs_(options.epochs), next_(next) {
  if (!resumed && report::has_event_files(folder_)) {
    core::fail(ErrorKind::usage,
               "--tensorboard {}: event files of another run are there, and TensorBoard would show "
               "the two as one; choose another folder, or remove them",
               folder_.string());
  }
}

report::EventFile& TensorBoardLog::file(std::int64_t step) {
  if (!file_) file_.emplace(folder_, step);
  return *file_;
}

void TensorBoardLog::on_plan(const TrainPlan& plan) {
  plan_ = plan;
  stride_ = std::max<std::int64_t>(epochs_ * plan.steps_per_epoch / kPoints, 1);
  next_.on_plan(plan);
}

void TensorBoardLog::on_observation(const Observation& observation) {
  report::EventFile& log = file(observation.step);
  for (const BlockObservation& seen : observation.blocks) {
    const auto scalar = [&](const char* name, double value) {
      log.add_scalar(fmt::format("block{}/{}", seen.block, name), observation.step, value);
    };
    const auto histogram = [&](const char* name, const Distribution& values) {
      if (const auto counts = histogram_of(values)) {
        log.add_histogram(fmt::format("block{}/{}", seen.block, name), observation.step, *counts);
      }
    };
    histogram("activation_input", seen.activation_input);
    if (seen.dead_units) scalar("dead_units", static_cast<double>(*seen.dead_units));
    if (!seen.norm) continue;
    scalar("mean_shift", seen.norm->mean_shift);
    scalar("variance_ratio", seen.norm->variance_ratio);
    histogram("gamma", seen.norm->gamma);
    histogram("beta", seen.norm->beta);
  }
  next_.on_observation(observation);
}

void TensorBoardLog::on_step(const StepMetrics& metrics) {
  report::EventFile& log = file(metrics.step);
  if (metrics.step % stride_ == 0) {
    log.add_scalar("loss/step", metrics.step, metrics.loss);
    log.add_scalar("learning_rate", metrics.step, metrics.learning_rate);
    log.add_scalar("gradient_norm", metrics.step, metrics.gradient_norm);
    log.flush();
  }
  next_.on_step(metrics);
}

void TensorBoardLog::on_epoch(const EpochMetrics& metrics) {
  const std::int64_t step = (metrics.epoch + 1) * plan_.steps_per_epoch - 1;
  report::EventFile& log = file(step);
  const bool classification = plan_.task == Task::classification;
  log.add_scalar("loss/training", step, metrics.training_loss);
  if (classification) log.add_scalar("accuracy/training", step, metrics.training_accuracy);
  if (metrics.validation) {
    log.add_scalar("loss/validation", step, metrics.validation->loss);
    if (classification) {
      log.add_scalar("accuracy/validation", step, metrics.validation->accuracy);
    } else {
      log.add_scalar("rmse/validation", step, metrics.validation->rmse);
    }
  }
  log.flush();
  next_.on_epoch(metrics);
}

}  // namespace evenrow::cli
