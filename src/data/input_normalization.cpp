#include "evenrow/input_normalization.hpp"

#include <cmath>
#include <utility>

#include "core/fail.hpp"
#include "core/threads.hpp"
#include "data/column_moments.hpp"
#include "data/prepared_inputs.hpp"

namespace evenrow {
namespace {

std::int64_t input_count(const std::vector<Column>& columns) {
  std::int64_t inputs = 0;
  for (const Column& column : columns) {
    inputs += column.kind == ColumnKind::numeric
                  ? 1
                  : static_cast<std::int64_t>(column.categories.size()) + 1;
  }
  return inputs;
}

}  // namespace

InputNormalization InputNormalization::fit(const Dataset& data, std::span<const std::uint32_t> rows,
                                           int threads) {
  if (rows.empty()) {
    core::fail(ErrorKind::usage, "{}: no rows to fit the input normalization on; give one at least",
               data.source);
  }
  data::check_rows(data, rows);
  const std::vector<data::ColumnMoments> moments =
      data::column_moments(data, rows, core::resolve_threads(threads));

  InputNormalization fitted;
  for (std::int64_t c = 0; c < std::ssize(data.columns); ++c) {
    const Column& column = data.columns[static_cast<std::size_t>(c)];
    if (column.kind == ColumnKind::numeric) {
      const data::ColumnMoments& m = moments[static_cast<std::size_t>(c)];
      const double variance = m.count > 0 ? m.m2 / static_cast<double>(m.count) : 0.0;
      if (!std::isfinite(m.mean) || !std::isfinite(variance)) {
        data::check_finite(data, rows, c);
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
    data::check_codes(data, rows, c);
    std::vector<std::int64_t> counts(column.categories.size() + 1, 0);
    for (const std::uint32_t row : rows) {
      const double code = data::value_at(data, row, c);
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
  return data::PreparedInputs(*this, data, rows).normalize(rows, threads);
}

}  // namespace evenrow
