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

/// A row has at most this many columns: a limit to what a damaged file can make a reader allocate.
inline constexpr std::int64_t kMostColumns = std::int64_t{1} << 20;

/// The names of columns that have none: "c1", "c2", ... for index 0, 1, ...
std::string column_name(std::int64_t index);
/// `count` numeric columns without names. Fails (data) beyond kMostColumns.
std::vector<Column> unnamed_columns(const std::string& source, std::int64_t count);

}  // namespace evenrow::data
