// The last observation of a run, as evenrow inspect shows it.
#include <fmt/format.h>

#include <limits>
#include <string>

#include "core/fail.hpp"
#include "inspect.hpp"
#include "io/read_file.hpp"
#include "io/strict_json.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"

namespace evenrow::cli {
namespace {

using Json = nlohmann::json;

double number(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

// From the 1 % to the 99 % quantile.
std::string spread(const Json& quantiles) {
  return report::range(number(quantiles.at(0)), number(quantiles.at(6)));
}

std::string text_of(const Json& observation) {
  report::Table table({{.header = "block"},
                       {.header = "units"},
                       {.header = "dead"},
                       {.header = "mean shift"},
                       {.header = "variance ratio"},
                       {.header = "gamma"},
                       {.header = "beta"}});
  for (const Json& block : observation.at("blocks")) {
    const Json& dead = block.at("dead_units");
    std::vector<std::string> cells{report::count(block.at("block").get<std::int64_t>()),
                                   report::count(block.at("units").get<std::int64_t>()),
                                   dead.is_null() ? "-" : report::count(dead.get<std::int64_t>())};
    if (block.contains("norm")) {
      const Json& norm = block.at("norm");
      for (const char* key : {"mean_shift", "variance_ratio"}) {
        cells.push_back(report::number(number(norm.at(key)), 3));
      }
      for (const char* key : {"gamma", "beta"}) cells.push_back(spread(norm.at(key)));
    }
    table.add_row(std::move(cells));
  }
  return fmt::format("last observation: step {} of epoch {}\n{}",
                     observation.at("step").get<std::int64_t>() + 1,
                     observation.at("epoch").get<std::int64_t>() + 1, table.text());
}

}  // namespace

std::string last_observation_text(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "observations.jsonl";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  const auto bytes = io::read_file(path);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  // Whole lines only: a killed run may have left the beginning of one.
  text = text.substr(0, text.rfind('\n') + 1);
  if (text.empty()) return {};
  text.remove_suffix(1);
  const std::string where = fmt::format("{}, last line", path.string());
  const Json line = io::parse_strict_json(text.substr(text.rfind('\n') + 1), where);
  try {
    return text_of(line);
  } catch (const Json::exception& error) {
    core::fail(ErrorKind::data, "{}: not an observation as training writes them: {}", where,
               error.what());
  }
}

}  // namespace evenrow::cli
