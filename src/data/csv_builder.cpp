#include "data/csv_builder.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "core/fail.hpp"
#include "data/targets.hpp"
#include "data/text.hpp"

namespace evenrow::data {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

bool has_word(const std::vector<std::vector<std::string>>& sample, bool has_header,
              std::int64_t field) {
  for (std::size_t r = has_header ? 1 : 0; r < sample.size(); ++r) {
    if (field < static_cast<std::int64_t>(sample[r].size()) &&
        parse_field(sample[r][static_cast<std::size_t>(field)]).kind == FieldKind::word) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::int32_t Spellings::code(std::string_view text, const Place& place) {
  if (const auto at = codes_.find(text); at != codes_.end()) return at->second;
  if (!is_utf8(text)) {
    core::fail(
        ErrorKind::data,
        "{}: line {}: column '{}': {} is not UTF-8; convert the file, for example with iconv "
        "-f latin1 -t utf-8",
        place.source, place.line, place.column, shown(text));
  }
  if (size() == std::numeric_limits<std::int32_t>::max()) {
    core::fail(ErrorKind::data, "{}: line {}: column '{}' has more than 2^31 distinct texts",
               place.source, place.line, place.column);
  }
  const auto code = static_cast<std::int32_t>(texts_.size());
  codes_.emplace(texts_.emplace_back(text), code);
  return code;
}

std::vector<std::string> Spellings::take() {
  codes_.clear();
  return {std::make_move_iterator(texts_.begin()), std::make_move_iterator(texts_.end())};
}

void Spellings::clear() {
  codes_.clear();
  texts_.clear();
}

CsvBuilder::CsvBuilder(const std::string& source, CsvLayout layout,
                       const std::vector<std::vector<std::string>>& sample)
    : source_(source), layout_(std::move(layout)) {
  for (std::size_t i = 0; i < layout_.columns.size(); ++i) {
    Feature feature{.field = layout_.fields[i], .kind = layout_.columns[i].kind};
    if (!layout_.kinds_are_fixed && has_word(sample, layout_.has_header, feature.field)) {
      feature.kind = ColumnKind::categorical;
    }
    features_.push_back(std::move(feature));
  }
  target_.name = layout_.target;
  target_.numeric =
      layout_.target_field && !has_word(sample, layout_.has_header, *layout_.target_field);
}

void CsvBuilder::reserve(std::int64_t records) {
  values_.reserve(static_cast<std::size_t>(records) * features_.size());
}

Place CsvBuilder::place(std::int64_t line, const std::string& column) const {
  return {.source = source_, .line = line, .column = column};
}

void CsvBuilder::add(const std::vector<std::string_view>& fields, std::int64_t line) {
  if (!second_pass_) {
    for (std::size_t i = 0; i < features_.size(); ++i) {
      values_.push_back(feature_value(features_[i], layout_.columns[i].name,
                                      fields[static_cast<std::size_t>(features_[i].field)], line));
    }
    ++rows_;
  } else {
    if (row_++ >= rows_) return;  // take() reports it
    double* const row = values_.data() + static_cast<std::size_t>(row_ - 1) * features_.size();
    for (std::size_t i = 0; i < features_.size(); ++i) {
      if (!features_[i].late) continue;
      row[i] = feature_value(features_[i], layout_.columns[i].name,
                             fields[static_cast<std::size_t>(features_[i].field)], line);
    }
  }
  if (layout_.target_field && (!second_pass_ || target_late_)) {
    add_target(fields[static_cast<std::size_t>(*layout_.target_field)], line);
  }
}

double CsvBuilder::feature_value(Feature& feature, const std::string& name, std::string_view text,
                                 std::int64_t line) {
  if (feature.late && !second_pass_) return kMissing;
  const Field field = parse_record_field(text);
  if (field.kind == FieldKind::missing) return kMissing;
  if (feature.kind == ColumnKind::categorical) {
    return feature.spellings.code(text, place(line, name));
  }
  if (field.kind == FieldKind::word) {
    if (layout_.kinds_are_fixed) {
      core::fail(ErrorKind::data,
                 "{}: line {}: column '{}': expected a number, as in the data that the model was "
                 "trained on, found {}",
                 source_, line, name, shown(text));
    }
    feature.kind = ColumnKind::categorical;
    feature.late = true;
    return kMissing;
  }
  if (std::isinf(field.value) && feature.infinite_line == 0) feature.infinite_line = line;
  return field.value;
}

void CsvBuilder::add_target(std::string_view text, std::int64_t line) {
  if (target_late_ && !second_pass_) return;
  const Field field = parse_record_field(text);
  if (target_.numeric) {
    if (field.kind == FieldKind::word) {
      target_.numeric = false;
      target_.numbers = {};
      if (!target_recording_) {
        target_late_ = true;
        return;
      }
    } else {
      target_.numbers.push_back(field.value);
      if (std::isinf(field.value) && target_infinite_line_ == 0) target_infinite_line_ = line;
      if (!target_recording_) return;
    }
  }
  target_.codes.push_back(field.kind == FieldKind::missing
                              ? -1
                              : target_spellings_.code(text, place(line, target_.name)));
  if (target_.numeric && target_spellings_.size() > kMostNumericClasses) {
    target_recording_ = false;
    target_spellings_.clear();
    target_.codes = {};
  }
}

bool CsvBuilder::needs_second_pass() const noexcept {
  return target_late_ || std::any_of(features_.begin(), features_.end(),
                                     [](const Feature& feature) { return feature.late; });
}

void CsvBuilder::begin_second_pass() {
  second_pass_ = true;
}

void CsvBuilder::check_infinite(std::int64_t line, const std::string& column) const {
  if (line == 0) return;
  core::fail(ErrorKind::data,
             "{}: line {}: column '{}': the number is infinite or exceeds the range of a double "
             "(1.8e308); correct it, or leave the field empty to mark it as missing",
             source_, line, column);
}

Dataset CsvBuilder::take() {
  if (second_pass_ && row_ != rows_) {
    core::fail(ErrorKind::data, "{}: the file changed while it was read; read it again", source_);
  }
  Dataset data{.source = source_, .rows = rows_};
  for (std::size_t i = 0; i < features_.size(); ++i) {
    Column& column = layout_.columns[i];
    column.kind = features_[i].kind;
    if (column.kind == ColumnKind::numeric) {
      check_infinite(features_[i].infinite_line, column.name);
    } else {
      column.categories = features_[i].spellings.take();
    }
  }
  data.columns = std::move(layout_.columns);
  data.values = std::move(values_);
  if (layout_.target_field) {
    if (target_.numeric) check_infinite(target_infinite_line_, target_.name);
    target_.spellings = target_spellings_.take();
    data.target = std::move(target_);
  }
  return data;
}

}  // namespace evenrow::data
