#include "report_sources.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/fail.hpp"
#include "io/strict_json.hpp"
#include "report_json.hpp"

namespace evenrow::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// `value` in the lines "key = value" of a configuration, without quotes and brackets.
std::string plain(std::string value) {
  if (value.size() > 1 && value.front() == '"') return value.substr(1, value.size() - 2);
  if (value.front() != '[') return value;
  std::string list;
  for (const char c : value) {
    if (c == ',') list += '-';
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) list += c;
  }
  return list;
}

std::vector<std::pair<std::string, std::string>> configuration(const TrainOptions& options) {
  std::vector<std::pair<std::string, std::string>> config;
  const std::string text = to_toml(options);
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = text.substr(at, end - at);
    const std::size_t equals = line.find(" = ");
    if (equals == std::string::npos) continue;
    config.emplace_back(line.substr(0, equals), plain(line.substr(equals + 3)));
  }
  return config;
}

double result_number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : report::kNone;
}

std::vector<report::RunScore> scores(const Json& result) {
  std::vector<report::RunScore> all;
  for (const char* part : {"training", "validation", "test"}) {
    const auto found = result.find(part);
    if (found == result.end() || !found->is_object()) continue;
    all.push_back({.part = part,
                   .rows = result_number(*found, "rows"),
                   .loss = result_number(*found, "loss"),
                   .accuracy = result_number(*found, "accuracy"),
                   .rmse = result_number(*found, "rmse"),
                   .mae = result_number(*found, "mae"),
                   .r2 = result_number(*found, "r2")});
  }
  return all;
}

// The run of this norm whose model is the best.
const report::ComparedRun* best_run(const report::ComparisonData& comparison,
                                    const std::string& norm) {
  const report::ComparedRun* best = nullptr;
  for (const report::ComparedRun& run : comparison.runs) {
    if (run.norm != norm || std::isnan(run.score)) continue;
    if (best == nullptr || run.score > best->score) best = &run;
  }
  return best;
}

}  // namespace

report::RunData ReportReader::run_without_errors(const Run& run) {
  report::RunData data;
  data.folder = run.name;
  data.config = configuration(run.options);
  data.batch_norm = run.options.norm == Norm::batch;
  data.regression = run.regression();
  data.finished = run.result.has_value();
  data.hidden_blocks = std::ssize(run.options.hidden);
  data.planned_epochs = run.options.epochs;
  const bool accuracy = run.options.task != Task::regression && !data.regression;
  for (const EpochMetrics& metrics : run.epochs) {
    report::RunEpoch epoch{.epoch = metrics.epoch + 1,
                           .training_loss = metrics.training_loss,
                           .seconds = metrics.seconds};
    if (accuracy) epoch.training_accuracy = metrics.training_accuracy;
    if (metrics.validation) {
      epoch.validation_loss = metrics.validation->loss;
      if (accuracy) epoch.validation_accuracy = metrics.validation->accuracy;
    }
    data.epochs.push_back(epoch);
  }
  const fs::path observations = fs::path(run.name) / "observations.jsonl";
  std::error_code ignored;
  if (fs::exists(observations, ignored)) {
    read_json_lines(observations, "an observation",
                    [&](const Json& line, const std::string& where) {
                      data.observations.push_back(observation_from_json(line, where));
                    });
  }
  if (run.result) {
    data.scores = scores(*run.result);
    data.seconds = result_number(*run.result, "seconds");
    data.observe_seconds = result_number(*run.result, "observe_seconds");
    data.observe_fraction = result_number(*run.result, "observe_fraction");
    const auto version = run.result->find("version");
    if (version != run.result->end() && version->is_string()) data.version = *version;
  }
  return data;
}

report::RunData ReportReader::run(const fs::path& folder) {
  const Run files = read_run(folder);
  report::RunData data = run_without_errors(files);
  data.errors = errors_of(files);
  return data;
}

report::ComparisonData ReportReader::comparison(const fs::path& folder) {
  const fs::path path = folder / "compare.json";
  report::ComparisonData comparison =
      comparison_from_json(io::parse_strict_json(read_text(path), path.string()), path.string());
  comparison.folder = folder.string();
  // The others are seen where the first norm, none by default, does best.
  const report::ComparedRun* best = best_run(comparison, comparison.norms.front());
  if (best == nullptr) return comparison;
  comparison.shown_value = best->value;
  for (const report::ComparedRun& run : comparison.runs) {
    std::error_code ignored;
    const fs::path place = folder / run.folder;
    if (run.value == best->value && run.seed == best->seed && !std::isnan(run.score) &&
        fs::exists(place / "config.toml", ignored)) {
      comparison.shown.push_back(run_without_errors(read_run(place)));
    }
  }
  return comparison;
}

}  // namespace evenrow::cli
