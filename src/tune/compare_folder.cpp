#include "tune/compare_folder.hpp"

#include <nlohmann/json.hpp>
#include <string_view>

#include "core/fail.hpp"
#include "io/atomic_file.hpp"
#include "io/read_file.hpp"
#include "nn/names.hpp"
#include "train/run_folder.hpp"
#include "tune/names.hpp"

namespace evenrow::tuning {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string read_text(const fs::path& path) {
  const auto bytes = io::read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
Json optional(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// What all runs share, in words that do not depend on how much is compared.
std::string shared_options(const CompareOptions& options, const std::string& data_fingerprint) {
  const TrainOptions defaults;
  TrainOptions shared = options.training;
  shared.data = training::absolute_if_file(shared.data);
  shared.test = training::absolute_if_file(shared.test);
  shared.norm = defaults.norm;
  shared.seed = defaults.seed;
  shared.threads = defaults.threads;
  switch (options.vary) {
    case Vary::learning_rate:
      shared.learning_rate = defaults.learning_rate;
      break;
    case Vary::depth:
      shared.hidden.resize(1);
      break;
    case Vary::batch_size:
      shared.batch_size = defaults.batch_size;
      break;
    case Vary::init_scale:
      shared.init_scale = defaults.init_scale;
      break;
    case Vary::input_scale:
      shared.input_scale = defaults.input_scale;
      break;
    case Vary::seed:
      break;
  }
  return fmt::format("# evenrow compare --vary {}, data {}\n{}", core::name_of(options.vary),
                     data_fingerprint, to_toml(shared));
}

// The first line that differs from `other`'s; both are to_toml's, so they have the same lines.
std::string_view first_difference(std::string_view text, std::string_view other) {
  std::size_t line = 0, at = 0;
  while (at < text.size() && at < other.size() && text[at] == other[at]) {
    if (text[at++] == '\n') line = at;
  }
  return text.substr(line, text.find('\n', line) - line);
}

}  // namespace

fs::path divergence_file(const fs::path& run_folder) {
  return run_folder / "diverged.txt";
}

bool has_ended(const fs::path& run_folder) {
  std::error_code ignored;
  return fs::exists(run_folder / "result.json", ignored) ||
         fs::exists(divergence_file(run_folder), ignored);
}

void read_outcome(const fs::path& run_folder, Task task, ComparedRun& run) {
  const fs::path path = run_folder / "result.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;  // it diverged
  try {
    const Json result = Json::parse(read_text(path));
    const auto score = [&](const char* part) {
      const Json& value = result.at(part).at(task == Task::classification ? "accuracy" : "r2");
      return value.is_null() ? 0.0 : value.get<double>();  // R2 of targets that are all equal
    };
    run.score = score("validation");
    run.training_score = score("training");
    run.seconds = result.at("seconds").get<double>();
  } catch (const Json::exception& error) {
    core::fail(ErrorKind::data, "{}: not the result of a run: {}; remove its folder to train again",
               path.string(), error.what());
  }
}

std::string to_json(const Comparison& comparison) {
  Json norms = Json::array(), runs = Json::array(), usable = Json::array();
  for (const Norm norm : comparison.norms) norms.push_back(core::name_of(norm));
  for (const ComparedRun& run : comparison.runs) {
    runs.push_back({{"norm", core::name_of(run.norm)},
                    {"value", run.value},
                    {"seed", run.seed},
                    {"score", optional(run.score)},
                    {"training_score", optional(run.training_score)},
                    {"diverged", run.diverged()},
                    {"seconds", run.seconds},
                    {"folder", run.folder}});
  }
  for (const UsableRange& range : comparison.usable) {
    usable.push_back({{"norm", core::name_of(range.norm)},
                      {"best", range.best},
                      {"low", optional(range.low)},
                      {"high", optional(range.high)},
                      {"size", range.size},
                      {"unit", unit_of(comparison.vary)},
                      {"interval", {range.interval_low, range.interval_high}},
                      {"open_low", range.open_low},
                      {"open_high", range.open_high}});
  }
  const Json json = {
      {"format", "evenrow comparison"},
      {"version", 1},
      {"vary", core::name_of(comparison.vary)},
      {"metric", comparison.task == Task::classification ? "accuracy" : "r2"},
      {"direction", "maximize"},
      {"values", comparison.values},
      {"norms", std::move(norms)},
      {"seeds", comparison.seeds},
      {"best_of_all", comparison.best_of_all},
      {"margin", kUsableMargin},
      {"runs", std::move(runs)},
      {"usable_range", std::move(usable)},
  };
  return json.dump(2) + "\n";
}

void open_folder(const CompareOptions& options, const std::string& data_fingerprint,
                 const fs::path& folder) {
  const fs::path path = folder / "comparison.toml";
  const std::string wanted = shared_options(options, data_fingerprint);
  std::error_code error;
  if (!fs::exists(path, error)) {
    // What a process that was killed while it wrote the file left there is no harm.
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (!entry.path().filename().string().starts_with('.')) {
        core::fail(ErrorKind::usage,
                   "{}: not empty, and not the folder of a comparison (comparison.toml is "
                   "missing); choose another",
                   folder.string());
      }
    }
    io::write_file_atomically(path, wanted);
    return;
  }
  // Read and written again: an older version may not have known every option.
  const std::string text = read_text(path);
  const std::string found =
      text.substr(0, text.find('\n') + 1) + to_toml(options_from_toml(text, path.string()));
  if (found != wanted) {
    core::fail(ErrorKind::usage,
               "{}: the comparison there is another one; there: {}; now: {}; choose another folder",
               folder.string(), first_difference(found, wanted), first_difference(wanted, found));
  }
}

}  // namespace evenrow::tuning
