// What evenrow tune says at its end.
#pragma once

#include <string>

#include "tune/train_search.hpp"

namespace evenrow::cli {

/// The value of a trial: "95.83 %".
std::string tuned_value(const StudyTrial& trial, tuning::Metric metric);

/// The ten best trials, what counted most, what a second round searched, and where things are.
std::string tuned_text(const tuning::SearchResult& result, const std::string& folder);

}  // namespace evenrow::cli
