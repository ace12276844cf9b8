// Names of columns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "evenrow/dataset.hpp"

namespace evenrow::data {

/// A row has at most this many columns: a limit to what a damaged file can make a reader allocate.
inline constexpr std::int64_t kMostColumns = std::int64_t{1} << 20;

/// Fails (data) beyond kMostColumns.
void check_column_count(const std::string& source, std::int64_t count);

/// The names of columns that have none: "c1", "c2", ... for index 0, 1, ...
std::string column_name(std::int64_t index);
/// The index in "cN", -1 for any other name.
std::int64_t index_of_column_name(std::string_view name) noexcept;
/// True when every name is of that form: the columns have no names of their own.
bool are_unnamed(const std::vector<Column>& columns) noexcept;

/// `count` numeric columns without names. Fails (data) beyond kMostColumns.
std::vector<Column> unnamed_columns(const std::string& source, std::int64_t count);

/// "a, b, c", at most ten of them and then how many more, for messages.
std::string name_list(const std::vector<std::string>& names);

}  // namespace evenrow::data
