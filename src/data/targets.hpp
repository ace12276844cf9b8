// Targets: what a model is to predict.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/elements.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow::data {

/// More distinct spellings than this make a numeric target one for regression only.
inline constexpr std::int64_t kMostNumericClasses = 10'000;

/// The target that an array of numbers is: spellings ascending, shortest decimal form, NaN missing.
/// Fails (data) on infinite numbers; `source` is for that message.
Target target_of_numbers(const std::string& source, std::string name, std::vector<double> numbers);

/// Any values as doubles.
std::vector<double> as_doubles(const Values& values);

}  // namespace evenrow::data
