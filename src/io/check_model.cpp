#include "io/check_model.hpp"

#include <cmath>
#include <unordered_set>

#include "core/fail.hpp"
#include "io/names.hpp"
#include "nn/loss.hpp"
#include "nn/names.hpp"

namespace evenrow::io {
namespace {

void check_distinct(const std::vector<std::string>& names, std::string_view what) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      core::fail(ErrorKind::usage, "{}: {:?} is listed twice", what, name);
    }
  }
}

template <class T>
void check_finite(std::span<const T> values, std::string_view tensor) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      core::fail(ErrorKind::usage, "{}: value {} is {}, expected finite numbers", tensor, i,
                 values[i]);
    }
  }
}

void check_running(const RunningStatistics& running, std::size_t block, std::int64_t channels) {
  const auto size = static_cast<std::size_t>(channels);
  if (running.mean.size() != size || running.variance.size() != size) {
    core::fail(ErrorKind::usage,
               "network block {}: running statistics of {} means and {} variances, expected {}",
               block, running.mean.size(), running.variance.size(), channels);
  }
  check_finite<double>(running.mean, fmt::format("blocks.{}.running_mean", block));
  const std::string variances = fmt::format("blocks.{}.running_variance", block);
  check_finite<double>(running.variance, variances);
  for (std::size_t c = 0; c < size; ++c) {
    if (running.variance[c] < 0) {
      core::fail(ErrorKind::usage, "{}: value {} is {}, expected none below 0", variances, c,
                 running.variance[c]);
    }
  }
  if (!(running.new_weight > 0 && running.new_weight <= 1) || running.updates < 0) {
    core::fail(ErrorKind::usage,
               "network block {}: running statistics with new_weight {} after {} updates, expected "
               "new_weight in (0, 1] and no negative number of updates",
               block, running.new_weight, running.updates);
  }
}

void check_network(const Network<float>& network) {
  check(network.spec());
  for (const DenseSpec& block : network.spec().blocks) {
    // check() passes over them where no batch norm uses them; a file could not hold them.
    if (!std::isfinite(block.eps) || !std::isfinite(block.new_weight)) {
      core::fail(ErrorKind::usage, "network: eps {} and new_weight {}, expected finite numbers",
                 block.eps, block.new_weight);
    }
  }
  for (const ParameterSlot& slot : network.slots()) {
    check_finite<float>(network.parameters().subspan(static_cast<std::size_t>(slot.offset),
                                                     static_cast<std::size_t>(slot.size())),
                        slot.name);
  }
  for (std::size_t b = 0; b < network.spec().blocks.size(); ++b) {
    check_running(network.running(b), b, network.spec().norm_channels(b));
  }
}

}  // namespace

void check_outputs(const Model& model) {
  const std::int64_t outputs = model.network.outputs();
  const auto classes = static_cast<std::int64_t>(model.classes.size());
  const bool cross_entropy = model.loss.kind == LossKind::cross_entropy;
  const bool binary = model.loss.kind == LossKind::binary_cross_entropy;
  switch (model.task) {
    case Task::automatic:
      core::fail(ErrorKind::usage, "model: task auto, expected classification or regression");
    case Task::classification:
      if (!cross_entropy && !binary) {
        core::fail(ErrorKind::usage,
                   "model: loss {} with a classification, expected cross_entropy or "
                   "binary_cross_entropy",
                   core::name_of(model.loss.kind));
      }
      if (cross_entropy && (classes < 2 || outputs != classes)) {
        core::fail(ErrorKind::usage,
                   "model: {} classes and {} network outputs with cross_entropy, expected 2 or "
                   "more classes and one output each",
                   classes, outputs);
      }
      if (binary && (classes != 2 || outputs != 1)) {
        core::fail(ErrorKind::usage,
                   "model: {} classes and {} network outputs with binary_cross_entropy, expected 2 "
                   "classes and 1 output",
                   classes, outputs);
      }
      return;
    case Task::regression:
      if (cross_entropy || binary) {
        core::fail(ErrorKind::usage,
                   "model: loss {} with a regression, expected squared_error or huber",
                   core::name_of(model.loss.kind));
      }
      if (classes != 0 || outputs != 1) {
        core::fail(ErrorKind::usage,
                   "model: {} classes and {} network outputs with a regression, expected no class "
                   "and 1 output",
                   classes, outputs);
      }
      return;
  }
  core::fail(ErrorKind::usage, "model: unknown task {}", static_cast<int>(model.task));
}

void check_model(const Model& model) {
  check_network(model.network);
  check_outputs(model);
  nn::check_loss(model.loss, model.network.outputs());
  if (model.inputs.inputs() != model.network.inputs()) {
    core::fail(ErrorKind::usage,
               "model: its {} columns make {} inputs, but the network has {} inputs",
               model.inputs.columns().size(), model.inputs.inputs(), model.network.inputs());
  }
  check_distinct(model.classes, "model: classes");
  for (const Column& column : model.inputs.columns()) {
    check_distinct(column.categories, fmt::format("model: categories of column {:?}", column.name));
  }
  if (!std::isfinite(model.target_mean) || !std::isfinite(model.target_scale) ||
      model.target_scale <= 0) {
    core::fail(ErrorKind::usage,
               "model: target mean {} and scale {}, expected finite numbers and a scale above 0",
               model.target_mean, model.target_scale);
  }
}

}  // namespace evenrow::io
