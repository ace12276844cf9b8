// What a training run has left in its folder, read back.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "evenrow/train.hpp"

namespace evenrow::cli {

struct Run {
  std::string name;  ///< The folder, as it was given.
  TrainOptions options;
  std::vector<EpochMetrics> epochs;
  std::optional<nlohmann::json> result;  ///< Empty: not finished.

  bool regression() const { return result && result->value("task", "") == "regression"; }
};

/// Errors: io for a folder that is no run, data for files that training did not write.
Run read_run(const std::filesystem::path& folder);

/// A whole file as text. Errors: io.
std::string read_text(const std::filesystem::path& path);

/// Calls take(json, where) for every whole line of a file of JSON lines: a killed run may have left
/// the beginning of one. `where`: file and line, for messages. Errors: io; data, for what is not
/// JSON or what take() finds missing or of another type (nlohmann's exceptions). `what`: what a
/// line holds.
void read_json_lines(const std::filesystem::path& path, const char* what,
                     const std::function<void(const nlohmann::json&, const std::string&)>& take);

}  // namespace evenrow::cli
