#include "data/csv_layout.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/fail.hpp"
#include "core/nearest.hpp"
#include "data/columns.hpp"
#include "data/csv_fields.hpp"
#include "data/csv_records.hpp"
#include "data/text.hpp"

namespace evenrow::data {
namespace {

using Records = std::vector<std::vector<std::string>>;

/// Fields of the first records under one separator.
struct Cut {
  bool even = true;  // the same number in all of them, without an error
  std::size_t first = 0;
};

Cut cut(std::string_view sample, bool whole, char separator) {
  constexpr int kRecords = 100;
  Cut result;
  std::vector<FieldSpan> fields;
  for (int i = 0; i < kRecords && !sample.empty(); ++i) {
    const RecordSpan record = split_record(sample, whole, separator, fields);
    if (record.status == RecordStatus::incomplete) break;
    if (record.status == RecordStatus::complete) {
      if (result.first == 0) result.first = fields.size();
      result.even = result.even && fields.size() == result.first;
    } else if (record.status != RecordStatus::blank) {
      result.even = false;
      break;
    }
    sample.remove_prefix(record.length);
  }
  return result;
}

std::string did_you_mean(const std::string& name, const std::vector<std::string>& names) {
  const std::vector<std::string_view> known(names.begin(), names.end());
  return core::did_you_mean(name, known);
}

using FieldOfName = std::unordered_map<std::string_view, std::int64_t>;

/// Index of every name. Fails on a name that occurs twice.
FieldOfName index_names(const std::string& source, const std::vector<std::string>& names) {
  FieldOfName field_of;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto [at, is_new] = field_of.emplace(names[i], static_cast<std::int64_t>(i));
    if (!is_new) {
      core::fail(ErrorKind::data,
                 "{}: header: columns {} and {} are both named {}; give every column a name of its "
                 "own",
                 source, at->second + 1, i + 1, shown(names[i]));
    }
  }
  return field_of;
}

bool has_all_names(const std::vector<std::string>& record, const std::vector<Column>& columns) {
  const std::unordered_set<std::string_view> fields(record.begin(), record.end());
  return std::all_of(columns.begin(), columns.end(),
                     [&](const Column& column) { return fields.contains(column.name); });
}

CsvLayout empty_layout(std::int64_t width, const ReadOptions& options) {
  CsvLayout layout;
  layout.width = width;
  layout.kinds_are_fixed = options.expected.has_value();
  return layout;
}

/// The columns of a text whose every column is used.
void take_all(const std::string& source, const std::vector<std::string>& names,
              const FieldOfName& field_of, const ReadOptions& options, CsvLayout& layout) {
  layout.target = names.back();
  layout.target_field = layout.width - 1;
  if (!options.target.empty()) {
    const auto at = field_of.find(options.target);
    if (at == field_of.end()) {
      core::fail(ErrorKind::data, "{}: there is no target column {}{}; the columns are {}{}",
                 source, shown(options.target), did_you_mean(options.target, names),
                 name_list(names), layout.has_header ? "" : " (the file has no header)");
    }
    layout.target = options.target;
    layout.target_field = at->second;
  }
  if (layout.width == 1) {
    core::fail(ErrorKind::data,
               "{}: has one column only, {}; expected features and a target, separated by commas, "
               "semicolons or tabs",
               source, shown(names[0]));
  }
  for (std::int64_t field = 0; field < layout.width; ++field) {
    if (field == layout.target_field) continue;
    layout.columns.push_back({.name = names[static_cast<std::size_t>(field)]});
    layout.fields.push_back(field);
  }
}

/// The expected columns by name; another column that has the target's name, or that is the last one
/// when the target has none, is the target.
void take_by_name(const std::string& source, const std::vector<std::string>& names,
                  const FieldOfName& field_of, const ReadOptions& options, CsvLayout& layout) {
  for (const Column& column : *options.expected) {
    const auto at = field_of.find(column.name);
    if (at == field_of.end()) {
      core::fail(ErrorKind::data,
                 "{}: column {} is missing{}; expected the columns that the model was trained on, "
                 "found {}",
                 source, shown(column.name), did_you_mean(column.name, names), name_list(names));
    }
    layout.columns.push_back({.name = column.name, .kind = column.kind});
    layout.fields.push_back(at->second);
  }
  const std::string& target = options.target.empty() ? names.back() : options.target;
  const auto at = field_of.find(target);
  if (at == field_of.end()) return;
  if (std::find(layout.fields.begin(), layout.fields.end(), at->second) != layout.fields.end()) {
    return;
  }
  layout.target = target;
  layout.target_field = at->second;
}

/// The expected columns by position, in a text without names: all fields, or all but the target.
void take_by_position(const std::string& source, const ReadOptions& options, CsvLayout& layout) {
  const std::vector<Column>& expected = *options.expected;
  const auto count = static_cast<std::int64_t>(expected.size());
  if (layout.width != count && layout.width != count + 1) {
    core::fail(ErrorKind::data,
               "{}: expected {} columns, as the model was trained on, or {} with the target, found "
               "{} (and no header with their names)",
               source, count, count + 1, layout.width);
  }
  if (layout.width == count + 1) {
    const std::int64_t named = index_of_column_name(options.target);
    layout.target_field = named >= 0 && named < layout.width ? named : layout.width - 1;
    layout.target = options.target.empty() ? column_name(*layout.target_field) : options.target;
  }
  for (std::int64_t field = 0; field < layout.width; ++field) {
    if (field == layout.target_field) continue;
    const Column& column = expected[layout.columns.size()];
    layout.columns.push_back({.name = column.name, .kind = column.kind});
    layout.fields.push_back(field);
  }
}

}  // namespace

char detect_separator(std::string_view sample, bool whole) {
  constexpr std::array<char, 3> kSeparators = {'\t', ';', ','};
  char best = ',';
  std::size_t most = 1;
  for (const char separator : kSeparators) {
    const Cut result = cut(sample, whole, separator);
    if (result.even && result.first >= 2) return separator;
    if (result.first > most) {
      most = result.first;
      best = separator;
    }
  }
  return best;
}

bool first_is_header(const Records& records) {
  const std::vector<std::string>& first = records.front();
  bool has_number = false;
  bool recurs = false;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const FieldKind kind = parse_field(first[i]).kind;
    has_number = has_number || kind == FieldKind::number;
    if (kind != FieldKind::word) continue;
    bool numbers_below = false;
    bool words_below = false;
    for (std::size_t r = 1; r < records.size(); ++r) {
      if (i >= records[r].size()) continue;
      const FieldKind below = parse_field(records[r][i]).kind;
      numbers_below = numbers_below || below == FieldKind::number;
      words_below = words_below || below == FieldKind::word;
      recurs = recurs || records[r][i] == first[i];
    }
    if (numbers_below && !words_below) return true;
  }
  return !has_number && !recurs;
}

CsvLayout lay_out(const std::string& source, const Records& records, const ReadOptions& options) {
  const std::vector<std::string>& first = records.front();
  bool has_header = false;
  if (options.expected && has_all_names(first, *options.expected)) {
    has_header = true;
  } else if (!options.expected || !are_unnamed(*options.expected)) {
    has_header = first_is_header(records);
  }
  const auto width = static_cast<std::int64_t>(first.size());
  if (!has_header) return lay_out_unnamed(source, width, options);

  check_column_count(source, width);
  CsvLayout layout = empty_layout(width, options);
  layout.has_header = true;
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < width; ++i) {
    const std::string& field = first[static_cast<std::size_t>(i)];
    names.push_back(trim(field).empty() ? column_name(i) : field);
    if (!is_utf8(field)) {
      core::fail(ErrorKind::data,
                 "{}: header: the name of column {}, {}, is not UTF-8; convert the file, for "
                 "example with iconv -f latin1 -t utf-8",
                 source, i + 1, shown(field));
    }
  }
  const FieldOfName field_of = index_names(source, names);
  if (options.expected) {
    take_by_name(source, names, field_of, options, layout);
  } else {
    take_all(source, names, field_of, options, layout);
  }
  return layout;
}

CsvLayout lay_out_unnamed(const std::string& source, std::int64_t width,
                          const ReadOptions& options) {
  check_column_count(source, width);
  CsvLayout layout = empty_layout(width, options);
  if (options.expected) {
    take_by_position(source, options, layout);
    return layout;
  }
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < width; ++i) names.push_back(column_name(i));
  take_all(source, names, index_names(source, names), options, layout);
  return layout;
}

std::vector<Column> feature_columns(const std::string& source, std::int64_t width,
                                    const ReadOptions& options) {
  std::vector<Column> columns = unnamed_columns(source, width);
  if (!options.expected) return columns;
  if (options.expected->size() != columns.size()) {
    core::fail(ErrorKind::data, "{}: expected {} columns, as the model was trained on, found {}",
               source, options.expected->size(), width);
  }
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i].name = (*options.expected)[i].name;
  return columns;
}

}  // namespace evenrow::data
