#include "report_json.hpp"

#include "core/fail.hpp"

namespace evenrow::cli {
namespace {

using Json = nlohmann::json;

// A number; NaN where there is none or it is null.
double number_or_none(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return report::kNone;
  return found->get<double>();
}

report::Quantiles quantiles(const Json& values, const std::string& where) {
  report::Quantiles result{};
  if (!values.is_array() || values.size() != result.size()) {
    core::fail(ErrorKind::data, "{}: expected {} quantiles, found {}", where, result.size(),
               values.size());
  }
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = values[i].is_null() ? report::kNone : values[i].get<double>();
  }
  return result;
}

report::ComparisonData checked_comparison(const Json& json, const std::string& where) {
  report::ComparisonData comparison;
  json.at("vary").get_to(comparison.vary);
  json.at("metric").get_to(comparison.metric);
  if (json.at("direction") != "maximize") {
    core::fail(ErrorKind::data, "{}: direction is {}, expected \"maximize\"", where,
               json.at("direction").dump());
  }
  json.at("best_of_all").get_to(comparison.best);
  json.at("margin").get_to(comparison.margin);
  json.at("values").get_to(comparison.values);
  json.at("norms").get_to(comparison.norms);
  for (const Json& entry : json.at("runs")) {
    report::ComparedRun run;
    entry.at("norm").get_to(run.norm);
    entry.at("value").get_to(run.value);
    entry.at("seed").get_to(run.seed);
    entry.at("folder").get_to(run.folder);
    if (!entry.at("diverged").get<bool>()) {
      run.score = number_or_none(entry, "score");
      run.training_score = number_or_none(entry, "training_score");
    }
    run.seconds = number_or_none(entry, "seconds");
    comparison.runs.push_back(std::move(run));
  }
  for (const Json& entry : json.at("usable_range")) {
    report::UsableRange range;
    entry.at("norm").get_to(range.norm);
    range.best = number_or_none(entry, "best");
    range.low = number_or_none(entry, "low");
    range.high = number_or_none(entry, "high");
    range.size = number_or_none(entry, "size");
    entry.at("unit").get_to(range.unit);
    if (const Json& interval = entry.at("interval"); interval.is_array() && interval.size() == 2) {
      range.interval_low = interval[0].is_null() ? report::kNone : interval[0].get<double>();
      range.interval_high = interval[1].is_null() ? report::kNone : interval[1].get<double>();
    }
    entry.at("open_low").get_to(range.open_low);
    entry.at("open_high").get_to(range.open_high);
    comparison.ranges.push_back(std::move(range));
  }
  if (comparison.values.empty() || comparison.norms.empty() || comparison.runs.empty()) {
    core::fail(ErrorKind::data, "{}: a comparison without values, norms or runs", where);
  }
  return comparison;
}

}  // namespace

report::RunObservation observation_from_json(const Json& line, const std::string& where) {
  report::RunObservation observation;
  line.at("step").get_to(observation.step);
  for (const Json& entry : line.at("blocks")) {
    report::BlockState block;
    const Json& input = entry.at("activation_input");
    block.activation_input = quantiles(input.at("quantiles"), where);
    block.variance = number_or_none(input, "variance");
    block.units = number_or_none(entry, "units");
    block.dead_units = number_or_none(entry, "dead_units");
    if (const auto gradients = entry.find("gradient_norm"); gradients != entry.end()) {
      block.weight_gradient = number_or_none(*gradients, "weight");
    }
    observation.blocks.push_back(block);
  }
  return observation;
}

report::ComparisonData comparison_from_json(const Json& json, const std::string& where) {
  try {
    if (json.at("format") != "evenrow comparison" || json.at("version") != 1) {
      core::fail(
          ErrorKind::data,
          "{}: expected format \"evenrow comparison\", version 1, found format {}, version {}",
          where, json.at("format").dump(), json.at("version").dump());
    }
    return checked_comparison(json, where);
  } catch (const Json::exception& error) {
    core::fail(ErrorKind::data, "{}: not a comparison as evenrow compare writes it: {}", where,
               error.what());
  }
}

}  // namespace evenrow::cli
