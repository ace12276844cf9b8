// Metrics as JSON: field names are those of the structs in train.hpp and evaluate.hpp.
#pragma once

#include <nlohmann/json.hpp>

#include "evenrow/train.hpp"

namespace evenrow::training {

/// Numbers that JSON has no word for (NaN, infinity) are null, and read back as NaN.
nlohmann::ordered_json to_json(const Evaluation& evaluation, Task task);
nlohmann::ordered_json to_json(const EpochMetrics& metrics, Task task);
nlohmann::ordered_json to_json(const StepMetrics& metrics);
nlohmann::ordered_json to_json(const TrainResult& result);

/// A line of observations.jsonl; docs/observe.md says what it holds.
nlohmann::ordered_json to_json(const Observation& observation);

/// Errors: nlohmann::json::exception for what to_json would not have written.
EpochMetrics epoch_from_json(const nlohmann::ordered_json& json);

}  // namespace evenrow::training
