#include "evenrow/input_normalization.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "data/column_moments.hpp"
#include "data/columns.hpp"

namespace evenrow {
namespace {

/// Rows that one task normalizes.
constexpr std::int64_t kBlockRows = 256;

std::int64_t column_count(const Dataset& data) {
  return static_cast<std::int64_t>(data.columns.size());
}

std::int64_t input_count(const std::vector<Column>& columns) {
  std::int64_t inputs = 0;
  for (const Column& column : columns) {
    inputs += column.kind == ColumnKind::numeric
                  ? 1
                  : static_cast<std::int64_t>(column.categories.size()) + 1;
  }
  return inputs;
}

void check_rows(const Dataset& data, std::span<const std::uint32_t> rows) {
  const auto size = std::visit(
      [](const auto& values) { return static_cast<std::int64_t>(values.size()); }, data.values);
  if (core::checked_product(data.rows, column_count(data)) != size) {
    core::fail(ErrorKind::usage, "{}: expected {} rows of {} values, found {} values in all",
               data.source, data.rows, column_count(data), size);
  }
  for (const std::uint32_t row : rows) {
    if (row >= data.rows) {
      core::fail(ErrorKind::usage,
                 "{}: row {} is asked for, but there are only {} (counted from 0)", data.source,
                 row, data.rows);
    }
  }
}

double value_at(const Dataset& data, std::int64_t row, std::int64_t column) {
  return std::visit(
      [&](const auto& values) {
        return static_cast<double>(
            values[static_cast<std::size_t>(row * column_count(data) + column)]);
      },
      data.values);
}

/// Fails on the first infinite value of a column, if there is one.
void check_finite(const Dataset& data, std::span<const std::uint32_t> rows, std::int64_t column) {
  for (const std::uint32_t row : rows) {
    if (std::isinf(value_at(data, row, column))) {
      core::fail(ErrorKind::data,
                 "{}: column '{}', row {} (counting from 1): the value is infinite; expected "
                 "finite numbers; correct it or mark it as missing",
                 data.source, data.columns[static_cast<std::size_t>(column)].name, row + 1);
    }
  }
}

/// Fails unless the values of a categorical column are indices of its categories, or missing.
void check_codes(const Dataset& data, std::span<const std::uint32_t> rows, std::int64_t column) {
  const Column& described = data.columns[static_cast<std::size_t>(column)];
  const auto categories = static_cast<double>(described.categories.size());
  for (const std::uint32_t row : rows) {
    const double code = value_at(data, row, column);
    if (std::isnan(code) || (code >= 0 && code < categories && code == std::floor(code))) continue;
    core::fail(ErrorKind::usage,
               "{}: column '{}', row {} (counting from 1): expected the index of one of its {} "
               "categories or NaN, found {}",
               data.source, described.name, row + 1, described.categories.size(), code);
  }
}

/// For each wanted column the index of the one in `data`: by name, or by position when neither side
/// has names.
std::vector<std::int64_t> match_columns(const std::vector<Column>& wanted, const Dataset& data,
                                        std::span<const std::uint32_t> rows) {
  std::unordered_map<std::string_view, std::int64_t> index_of;
  for (std::int64_t i = 0; i < column_count(data); ++i) {
    index_of.emplace(data.columns[static_cast<std::size_t>(i)].name, i);
  }
  const bool by_position = data::are_unnamed(wanted) && data::are_unnamed(data.columns);
  if (by_position && data.columns.size() != wanted.size()) {
    core::fail(ErrorKind::data,
               "{}: expected the {} columns that the inputs were normalized with, found {}",
               data.source, wanted.size(), data.columns.size());
  }
  std::vector<std::int64_t> matches;
  matches.reserve(wanted.size());
  for (const Column& column : wanted) {
    const auto found = index_of.find(column.name);
    if (by_position) {
      matches.push_back(static_cast<std::int64_t>(matches.size()));
    } else if (found != index_of.end()) {
      matches.push_back(found->second);
    } else {
      core::fail(ErrorKind::data,
                 "{}: column '{}' is missing: expected the {} columns that the inputs were "
                 "normalized with, found {} columns",
                 data.source, column.name, wanted.size(), data.columns.size());
    }
    const Column& have = data.columns[static_cast<std::size_t>(matches.back())];
    if (have.kind != column.kind) {
      const bool numeric = column.kind == ColumnKind::numeric;
      core::fail(ErrorKind::data, "{}: column '{}': expected {}, found {}", data.source, have.name,
                 numeric ? "numbers" : "categories", numeric ? "categories" : "numbers");
    }
    if (have.kind == ColumnKind::categorical) check_codes(data, rows, matches.back());
  }
  return matches;
}

/// What apply() does with the columns of one data set.
struct Plan {
  /// Numeric columns that lie side by side in the data and in the inputs.
  struct Run {
    std::int64_t from, to, count;
  };
  /// A categorical column: `inputs[code]` is the input that is on, `unknown` the one for the rest.
  struct OneHot {
    std::int64_t from;
    std::int64_t unknown;
    std::vector<std::int64_t> inputs;
  };
  std::vector<Run> runs;
  std::vector<OneHot> one_hots;
};

Plan make_plan(const std::vector<Column>& columns, const Dataset& data,
               const std::vector<std::int64_t>& matches) {
  Plan plan;
  std::int64_t input = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].kind == ColumnKind::numeric) {
      if (!plan.runs.empty() && plan.runs.back().from + plan.runs.back().count == matches[i] &&
          plan.runs.back().to + plan.runs.back().count == input) {
        ++plan.runs.back().count;
      } else {
        plan.runs.push_back({.from = matches[i], .to = input, .count = 1});
      }
      ++input;
      continue;
    }
    std::unordered_map<std::string_view, std::int64_t> input_of;
    for (const std::string& category : columns[i].categories) input_of.emplace(category, input++);
    Plan::OneHot one_hot{.from = matches[i], .unknown = input++, .inputs = {}};
    for (const std::string& category :
         data.columns[static_cast<std::size_t>(matches[i])].categories) {
      const auto found = input_of.find(category);
      one_hot.inputs.push_back(found == input_of.end() ? one_hot.unknown : found->second);
    }
    plan.one_hots.push_back(std::move(one_hot));
  }
  return plan;
}

/// out = (x - mean) * scale in double, 0 where x is missing; false when an output is not finite.
template <class T>
bool normalize(const T* x, std::int64_t count, const double* mean, const double* scale,
               float* out) noexcept {
  int wrong = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(x[i]);
    const auto even = static_cast<float>((value - mean[i]) * scale[i]);
    out[i] = value == value ? even : 0.0f;
    wrong |= static_cast<int>(!(std::abs(out[i]) <= std::numeric_limits<float>::max()));
  }
  return wrong == 0;
}

}  // namespace

InputNormalization InputNormalization::fit(const Dataset& data, std::span<const std::uint32_t> rows,
                                           int threads) {
  if (rows.empty()) {
    core::fail(ErrorKind::usage, "{}: no rows to fit the input normalization on; give one at least",
               data.source);
  }
  check_rows(data, rows);
  const std::vector<data::ColumnMoments> moments =
      data::column_moments(data, rows, core::resolve_threads(threads));

  InputNormalization fitted;
  for (std::int64_t c = 0; c < column_count(data); ++c) {
    const Column& column = data.columns[static_cast<std::size_t>(c)];
    if (column.kind == ColumnKind::numeric) {
      const data::ColumnMoments& m = moments[static_cast<std::size_t>(c)];
      const double variance = m.count > 0 ? m.m2 / static_cast<double>(m.count) : 0.0;
      if (!std::isfinite(m.mean) || !std::isfinite(variance)) {
        check_finite(data, rows, c);
        core::fail(ErrorKind::data,
                   "{}: column '{}': its values are too large: their variance exceeds the range "
                   "of a double; divide the column by a constant",
                   data.source, column.name);
      }
      fitted.mean_.push_back(m.mean);
      fitted.variance_.push_back(variance);
      fitted.columns_.push_back({.name = column.name});
      continue;
    }
    check_codes(data, rows, c);
    std::vector<std::int64_t> counts(column.categories.size() + 1, 0);
    for (const std::uint32_t row : rows) {
      const double code = value_at(data, row, c);
      ++counts[std::isnan(code) ? column.categories.size() : static_cast<std::size_t>(code)];
    }
    // A category that these rows do not have is not known: only the training part is looked at.
    Column known{.name = column.name, .kind = ColumnKind::categorical};
    for (std::size_t k = 0; k < counts.size(); ++k) {
      const bool missing = k == column.categories.size();
      if (counts[k] == 0 && !missing) continue;
      if (!missing) known.categories.push_back(column.categories[k]);
      const double share = static_cast<double>(counts[k]) / static_cast<double>(rows.size());
      const double rest = static_cast<double>(static_cast<std::int64_t>(rows.size()) - counts[k]) /
                          static_cast<double>(rows.size());
      fitted.mean_.push_back(share);
      fitted.variance_.push_back(share * rest);
    }
    if (static_cast<std::int64_t>(known.categories.size()) > kMostCategories) {
      core::fail(ErrorKind::data,
                 "{}: column '{}' has {} categories in {} rows, more than {}; an identifier or "
                 "free text cannot be learnt from: leave the column out",
                 data.source, column.name, known.categories.size(), rows.size(), kMostCategories);
    }
    fitted.columns_.push_back(std::move(known));
  }
  return fitted;
}

InputNormalization InputNormalization::from_parts(std::vector<Column> columns,
                                                  std::vector<double> mean,
                                                  std::vector<double> variance) {
  const std::int64_t inputs = input_count(columns);
  if (static_cast<std::int64_t>(mean.size()) != inputs ||
      static_cast<std::int64_t>(variance.size()) != inputs) {
    core::fail(
        ErrorKind::data,
        "input normalization: its {} columns make {} inputs, found {} means and {} variances",
        columns.size(), inputs, mean.size(), variance.size());
  }
  for (std::size_t i = 0; i < mean.size(); ++i) {
    if (!std::isfinite(mean[i]) || !std::isfinite(variance[i]) || variance[i] < 0) {
      core::fail(ErrorKind::data,
                 "input normalization: input {}: expected a finite mean and a finite variance not "
                 "below 0, found {} and {}",
                 i, mean[i], variance[i]);
    }
  }
  InputNormalization made;
  made.columns_ = std::move(columns);
  made.mean_ = std::move(mean);
  made.variance_ = std::move(variance);
  return made;
}

std::vector<float> InputNormalization::apply(const Dataset& data,
                                             std::span<const std::uint32_t> rows,
                                             int threads) const {
  check_rows(data, rows);
  const std::vector<std::int64_t> matches = match_columns(columns_, data, rows);
  const Plan plan = make_plan(columns_, data, matches);
  const auto row_count = static_cast<std::int64_t>(rows.size());
  const std::optional<std::int64_t> size = core::checked_product(row_count, inputs());
  if (!size || *size > std::numeric_limits<std::int64_t>::max() / 4) {
    core::fail(ErrorKind::usage, "{}: {} rows of {} inputs are more than memory can hold",
               data.source, row_count, inputs());
  }

  std::vector<double> scale(variance_.size());
  std::vector<float> off(variance_.size());  // what a category that is not there gives
  std::vector<float> on(variance_.size());
  for (std::size_t i = 0; i < scale.size(); ++i) {
    scale[i] = variance_[i] > 0 ? 1.0 / std::sqrt(variance_[i]) : 0.0;
    off[i] = static_cast<float>((0.0 - mean_[i]) * scale[i]);
    on[i] = static_cast<float>((1.0 - mean_[i]) * scale[i]);
  }

  std::vector<float> out(static_cast<std::size_t>(*size));
  const std::int64_t blocks = core::block_count(row_count, kBlockRows);
  std::vector<std::uint8_t> wrong(static_cast<std::size_t>(blocks), 0);
  std::visit(
      [&](const auto& values) {
        core::parallel_for(core::resolve_threads(threads), blocks, [&](std::int64_t block) {
          const std::int64_t end = std::min(row_count, (block + 1) * kBlockRows);
          for (std::int64_t r = block * kBlockRows; r < end; ++r) {
            const auto* x = values.data() + rows[static_cast<std::size_t>(r)] * column_count(data);
            float* y = out.data() + r * inputs();
            if (!plan.one_hots.empty()) std::copy(off.begin(), off.end(), y);
            for (const Plan::Run& run : plan.runs) {
              if (!normalize(x + run.from, run.count, mean_.data() + run.to, scale.data() + run.to,
                             y + run.to)) {
                wrong[static_cast<std::size_t>(block)] = 1;
              }
            }
            for (const Plan::OneHot& one_hot : plan.one_hots) {
              const auto code = static_cast<double>(x[one_hot.from]);
              const std::int64_t input = std::isnan(code)
                                             ? one_hot.unknown
                                             : one_hot.inputs[static_cast<std::size_t>(code)];
              y[input] = on[static_cast<std::size_t>(input)];
            }
          }
        });
      },
      data.values);

  if (std::find(wrong.begin(), wrong.end(), 1) != wrong.end()) {
    for (const std::int64_t column : matches) check_finite(data, rows, column);
    core::fail(ErrorKind::data,
               "{}: a value lies so far from the training data that its normalized value exceeds "
               "the range of a float; look for values in another unit",
               data.source);
  }
  return out;
}

}  // namespace evenrow
