// The last observation of a run, as evenrow inspect shows it.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

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
  const Json& blocks = observation.at("blocks");
  const bool normalizes = std::ranges::any_of(
      blocks, [](const Json& block) { return block.is_object() && block.contains("norm"); });
  std::vector<report::TableColumn> columns{
      {.header = "block"}, {.header = "units"}, {.header = "dead"}, {.header = "activation input"}};
  if (normalizes) {
    for (const char* name : {"mean shift", "var ratio", "gamma"}) {
      columns.push_back({.header = name});
    }
  }
  report::Table table(std::move(columns));
  for (const Json& block : blocks) {
    const Json& dead = block.at("dead_units");
    std::vector<std::string> cells{report::count(block.at("block").get<std::int64_t>()),
                                   report::count(block.at("units").get<std::int64_t>()),
                                   dead.is_null() ? "-" : report::count(dead.get<std::int64_t>()),
                                   spread(block.at("activation_input").at("quantiles"))};
    if (block.contains("norm")) {
      const Json& norm = block.at("norm");
      cells.push_back(report::number(number(norm.at("mean_shift")), 3));
      cells.push_back(report::number(number(norm.at("variance_ratio")), 3));
      cells.push_back(spread(norm.at("gamma")));
    }
    table.add_row(std::move(cells));
  }
  return fmt::format("last observation: after {} steps, in epoch {}\n{}",
                     report::count(observation.at("step").get<std::int64_t>()),
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
