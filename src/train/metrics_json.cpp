#include "train/metrics_json.hpp"

#include <cmath>
#include <limits>

#include "evenrow/evenrow.h"
#include "io/names.hpp"
#include "nn/names.hpp"

namespace evenrow::training {
namespace {

using Json = nlohmann::ordered_json;

double number(const Json& json, const char* key) {
  const Json& value = json.at(key);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

Evaluation evaluation_from_json(const Json& json) {
  Evaluation evaluation;
  evaluation.rows = json.at("rows").get<std::int64_t>();
  evaluation.loss = number(json, "loss");
  if (json.contains("accuracy")) {
    evaluation.accuracy = number(json, "accuracy");
    evaluation.confusion = json.at("confusion").get<std::vector<std::int64_t>>();
  } else {
    evaluation.rmse = number(json, "rmse");
    evaluation.mae = number(json, "mae");
    evaluation.r2 = number(json, "r2");
  }
  return evaluation;
}

Json distribution_json(const Distribution& values) {
  return {{"quantiles", values.quantiles}, {"mean", values.mean}, {"variance", values.variance}};
}

Json optional(const std::optional<Evaluation>& evaluation, Task task) {
  return evaluation ? to_json(*evaluation, task) : Json();
}

}  // namespace

Json to_json(const Evaluation& evaluation, Task task) {
  if (task == Task::classification) {
    return {{"rows", evaluation.rows},
            {"loss", evaluation.loss},
            {"accuracy", evaluation.accuracy},
            {"confusion", evaluation.confusion}};
  }
  return {{"rows", evaluation.rows},
          {"loss", evaluation.loss},
          {"rmse", evaluation.rmse},
          {"mae", evaluation.mae},
          {"r2", evaluation.r2}};
}

Json to_json(const EpochMetrics& metrics, Task task) {
  Json json = {{"epoch", metrics.epoch}, {"training_loss", metrics.training_loss}};
  if (task == Task::classification) json["training_accuracy"] = metrics.training_accuracy;
  json["validation"] = optional(metrics.validation, task);
  json["skipped_steps"] = metrics.skipped_steps;
  json["seconds"] = metrics.seconds;
  return json;
}

Json to_json(const StepMetrics& metrics) {
  return {{"step", metrics.step},
          {"epoch", metrics.epoch},
          {"loss", metrics.loss},
          {"learning_rate", metrics.learning_rate},
          {"gradient_norm", metrics.gradient_norm},
          {"skipped", metrics.skipped}};
}

Json to_json(const Observation& observation) {
  Json blocks = Json::array();
  for (const BlockObservation& seen : observation.blocks) {
    Json block = {{"block", seen.block},
                  {"units", seen.units},
                  {"input", distribution_json(seen.input)},
                  {"activation_input", distribution_json(seen.activation_input)}};
    if (seen.norm) {
      block["norm"] = {{"mean_shift", seen.norm->mean_shift},
                       {"variance_ratio", seen.norm->variance_ratio},
                       {"gamma", seen.norm->gamma.quantiles},
                       {"beta", seen.norm->beta.quantiles}};
    }
    for (const auto& [kind, norm] : seen.gradient_norms) {
      block["gradient_norm"][std::string(core::name_of(kind))] = norm;
    }
    block["dead_units"] = seen.dead_units ? Json(*seen.dead_units) : Json();
    blocks.push_back(std::move(block));
  }
  return {{"step", observation.step},
          {"epoch", observation.epoch},
          {"seconds", observation.seconds},
          {"blocks", std::move(blocks)}};
}

Json to_json(const TrainResult& result) {
  const Task task = result.model.task;
  Json json = {{"version", evenrow_version()},
               {"task", core::name_of(task)},
               {"epochs", result.epochs.size()},
               {"seconds", result.seconds},
               {"skipped_steps", result.skipped_steps},
               {"training", optional(result.training, task)},
               {"validation", optional(result.validation, task)},
               {"test", optional(result.test, task)}};
  if (result.observe_seconds > 0) {
    json["observe_seconds"] = result.observe_seconds;
    json["observe_fraction"] = result.observe_seconds / result.step_seconds;
  }
  return json;
}

EpochMetrics epoch_from_json(const Json& json) {
  EpochMetrics metrics;
  metrics.epoch = json.at("epoch").get<std::int64_t>();
  metrics.training_loss = number(json, "training_loss");
  if (json.contains("training_accuracy")) {
    metrics.training_accuracy = number(json, "training_accuracy");
  }
  if (!json.at("validation").is_null()) {
    metrics.validation = evaluation_from_json(json.at("validation"));
  }
  metrics.skipped_steps = json.at("skipped_steps").get<std::int64_t>();
  metrics.seconds = number(json, "seconds");
  return metrics;
}

}  // namespace evenrow::training
