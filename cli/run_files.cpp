#include "run_files.hpp"

#include <fmt/format.h>

#include "core/fail.hpp"
#include "io/read_file.hpp"
#include "io/strict_json.hpp"
#include "train/metrics_json.hpp"

namespace evenrow::cli {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string read_text(const fs::path& path) {
  const auto bytes = io::read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void read_json_lines(const fs::path& path, const char* what,
                     const std::function<void(const Json&, const std::string&)>& take) {
  const std::string text = read_text(path);
  std::int64_t number = 0;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string where = fmt::format("{}, line {}", path.string(), ++number);
    const Json line = io::parse_strict_json(std::string_view(text).substr(at, end - at), where);
    try {
      take(line, where);
    } catch (const Json::exception& error) {
      core::fail(ErrorKind::data, "{}: not {} as training writes them: {}", where, what,
                 error.what());
    }
  }
}

Run read_run(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder / "config.toml", ignored)) {
    core::fail(ErrorKind::io,
               "{}: not a run folder: it has no config.toml; expected the --out folder of evenrow "
               "train",
               folder.string());
  }
  Run run;
  run.name = folder.string();
  while (run.name.size() > 1 && run.name.ends_with('/')) run.name.pop_back();
  const fs::path config = folder / "config.toml";
  run.options = options_from_toml(read_text(config), config.string());
  if (fs::exists(folder / "epochs.jsonl", ignored)) {
    read_json_lines(folder / "epochs.jsonl", "the metrics of an epoch",
                    [&](const Json& line, const std::string&) {
                      run.epochs.push_back(training::epoch_from_json(line));
                    });
  }
  const fs::path result = folder / "result.json";
  if (fs::exists(result, ignored)) {
    run.result = io::parse_strict_json(read_text(result), result.string());
  }
  return run;
}

}  // namespace evenrow::cli
