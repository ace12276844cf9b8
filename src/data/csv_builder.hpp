// Collects the fields of a text file into a data set.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/csv_fields.hpp"
#include "data/csv_layout.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow::data {

/// Where a field stands, for messages.
struct Place {
  const std::string& source;
  std::int64_t line;
  const std::string& column;
};

/// Numbers the distinct texts of a column in the order of their first appearance.
class Spellings {
 public:
  /// The index of `text`. Fails (data) when it is not UTF-8.
  std::int32_t code(std::string_view text, const Place& place);
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(texts_.size()); }
  std::vector<std::string> take();
  void clear();

 private:
  std::deque<std::string> texts_;  // whose elements never move: the map refers to them
  std::unordered_map<std::string_view, std::int32_t> codes_;
};

/// First pass: add() every record. Then, while needs_second_pass(), begin_second_pass() and add()
/// every record again. Then take().
class CsvBuilder {
 public:
  /// `sample`: the first records, whose words tell the kinds of columns early.
  CsvBuilder(const std::string& source, CsvLayout layout,
             const std::vector<std::vector<std::string>>& sample);

  /// Errors (data): a word in a column whose kind is fixed as numeric, text that is not UTF-8.
  void add(const std::vector<std::string_view>& fields, std::int64_t line);
  /// Room for that many records.
  void reserve(std::int64_t records);

  bool needs_second_pass() const noexcept;
  void begin_second_pass();

  /// Errors (data): an infinite number in a numeric column, a second pass of another length.
  Dataset take();

 private:
  struct Feature {
    std::int64_t field = 0;
    ColumnKind kind = ColumnKind::numeric;
    bool late = false;               // a word came after numbers: codes need a second pass
    std::int64_t infinite_line = 0;  // first line with an infinite number
    Spellings spellings{};
  };

  Place place(std::int64_t line, const std::string& column) const;
  double feature_value(Feature& feature, const std::string& name, std::string_view text,
                       std::int64_t line);
  void add_target(std::string_view text, std::int64_t line);
  void check_infinite(std::int64_t line, const std::string& column) const;

  std::string source_;
  CsvLayout layout_;
  std::vector<Feature> features_;
  std::vector<double> values_;
  std::int64_t rows_ = 0;
  std::int64_t row_ = 0;  // of the second pass
  bool second_pass_ = false;

  Target target_;
  Spellings target_spellings_;
  bool target_late_ = false;      // as Feature::late
  bool target_recording_ = true;  // codes are still recorded: not too many distinct numbers
  std::int64_t target_infinite_line_ = 0;
};

}  // namespace evenrow::data
