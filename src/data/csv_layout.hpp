// What the first lines of a text tell about it, and which of its columns are wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evenrow/dataset.hpp"

namespace evenrow::data {

/// The separator, from the first records of `sample` (`whole`: there is no more text). Of those
/// that cut every record into the same number of fields, two or more: tab before semicolon before
/// comma, because commas are common inside the fields of the other two. If there is none, the one
/// that cuts the first record into most fields; comma when nothing does.
char detect_separator(std::string_view sample, bool whole);

/// Whether the first record is a header, from it and the records that follow.
/// A word above numbers is a column's name. Otherwise, a number in it makes it data, and so does a
/// word that occurs again further down in its column: names do not. A missing field says nothing.
bool first_is_header(const std::vector<std::vector<std::string>>& records);

/// Which fields of a record become what.
struct CsvLayout {
  bool has_header = false;
  std::int64_t width = 0;  ///< Fields of a record.
  /// Feature columns in the order of the data set, each with the index of its field.
  std::vector<Column> columns;
  std::vector<std::int64_t> fields;
  /// True when the kinds of the columns are fixed beforehand.
  bool kinds_are_fixed = false;
  std::string target;  ///< Name of the target column.
  std::optional<std::int64_t> target_field;
};

/// The layout of a text whose first records are given (one at least).
/// Errors (data): a name twice, an unknown target (with the nearest name), an expected column that
/// is missing, a number of columns that does not fit, one column only.
CsvLayout lay_out(const std::string& source, const std::vector<std::vector<std::string>>& records,
                  const ReadOptions& options);

/// The layout of rows of `width` numbers whose columns have no names, the target among them.
CsvLayout lay_out_unnamed(const std::string& source, std::int64_t width,
                          const ReadOptions& options);

/// The columns of rows of `width` numbers without names, the target elsewhere: named as expected,
/// if anything is. Errors (data): another number of columns than expected, or too many.
std::vector<Column> feature_columns(const std::string& source, std::int64_t width,
                                    const ReadOptions& options);

}  // namespace evenrow::data
