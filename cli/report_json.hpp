// The JSON that a report reads, as what a page is made from.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "report/sources.hpp"

namespace evenrow::cli {

/// A line of observations.jsonl. `where`: for messages. Errors: data, or nlohmann's exceptions for
/// fields that are missing or of another type.
report::RunObservation observation_from_json(const nlohmann::json& line, const std::string& where);

/// compare.json, without the runs that are shown. Errors (data): anything that `evenrow compare`
/// does not write.
report::ComparisonData comparison_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace evenrow::cli
