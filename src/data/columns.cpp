#include "data/columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/fail.hpp"
#include "data/text.hpp"

namespace evenrow::data {

void check_column_count(const std::string& source, std::int64_t count) {
  if (count > kMostColumns) {
    core::fail(ErrorKind::data,
               "{}: expected at most {} columns, found {}; are rows and columns exchanged?", source,
               kMostColumns, count);
  }
}

std::string column_name(std::int64_t index) {
  return fmt::format("c{}", index + 1);
}

std::int64_t index_of_column_name(std::string_view name) noexcept {
  if (name.size() < 2 || name[0] != 'c' || name[1] < '1' || name[1] > '9') return -1;
  std::int64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + 1, end, number);
  return error == std::errc() && stop == end ? number - 1 : -1;
}

bool are_unnamed(const std::vector<Column>& columns) noexcept {
  return std::all_of(columns.begin(), columns.end(),
                     [](const Column& column) { return index_of_column_name(column.name) >= 0; });
}

std::vector<Column> unnamed_columns(const std::string& source, std::int64_t count) {
  check_column_count(source, count);
  std::vector<Column> columns;
  columns.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) columns.push_back({.name = column_name(i)});
  return columns;
}

std::string name_list(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 10;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    list += (i == 0 ? "" : ", ") + shown(names[i]);
  }
  if (names.size() > kShown) list += fmt::format(" and {} more", names.size() - kShown);
  return list;
}

}  // namespace evenrow::data
