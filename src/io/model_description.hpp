// What a model file says in words: the JSON text under its metadata key "evenrow"
// (docs/model-file.md).
#pragma once

#include <string>
#include <vector>

#include "evenrow/model.hpp"

namespace evenrow::io {

/// The metadata key of the description.
inline constexpr std::string_view kDescriptionKey = "evenrow";

/// The version of the format that is written, and the only one that is read.
inline constexpr std::int64_t kModelVersion = 1;

/// All of a model but its tensors.
struct ModelDescription {
  NetworkSpec network;
  /// Of every block: `new_weight` and `updates` alone.
  std::vector<RunningStatistics> running;
  std::vector<Column> columns;
  Task task = Task::classification;
  std::string target;
  std::vector<std::string> classes;
  LossSpec loss{};
  double target_mean = 0.0;
  double target_scale = 1.0;
};

/// The JSON text of a model that passes check_model(). Texts that are not UTF-8 (a class name in
/// another encoding, say) are written as {"hex": "..."}.
std::string description_text(const Model& model);

/// The description that `text` holds. Errors (data), beginning with `source` and the place within
/// the description: another version, a key that is missing or unknown, a value of a wrong type, an
/// unknown name. Whether the values fit together is left to check_model().
ModelDescription parse_description(const std::string& text, const std::string& source);

}  // namespace evenrow::io
