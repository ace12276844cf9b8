#include "data/prepared_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "data/columns.hpp"
#include "kernels/inputs.hpp"
#include "kernels/targets.hpp"

namespace evenrow::data {
namespace {

constexpr std::int64_t kBlockRows = 256;  // rows that one task normalizes

}  // namespace

void check_rows(const Dataset& data, std::span<const std::uint32_t> rows) {
  const auto size = std::visit(
      [](const auto& values) { return static_cast<std::int64_t>(values.size()); }, data.values);
  if (core::checked_product(data.rows, std::ssize(data.columns)) != size) {
    core::fail(ErrorKind::usage, "{}: expected {} rows of {} values, found {} values in all",
               data.source, data.rows, std::ssize(data.columns), size);
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
            values[static_cast<std::size_t>(row * std::ssize(data.columns) + column)]);
      },
      data.values);
}

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

// For each wanted column the index of the one in the data: by name, or by position when neither
// side has names.
void PreparedInputs::match(const std::vector<Column>& wanted, std::span<const std::uint32_t> rows) {
  const Dataset& data = *data_;
  std::unordered_map<std::string_view, std::int64_t> index_of;
  for (std::int64_t i = 0; i < std::ssize(data.columns); ++i) {
    index_of.emplace(data.columns[static_cast<std::size_t>(i)].name, i);
  }
  const bool by_position = are_unnamed(wanted) && are_unnamed(data.columns);
  if (by_position && data.columns.size() != wanted.size()) {
    core::fail(ErrorKind::data,
               "{}: expected the {} columns that the inputs were normalized with, found {}",
               data.source, wanted.size(), data.columns.size());
  }
  columns_.reserve(wanted.size());
  for (const Column& column : wanted) {
    const auto found = index_of.find(column.name);
    if (by_position) {
      columns_.push_back(static_cast<std::int64_t>(columns_.size()));
    } else if (found != index_of.end()) {
      columns_.push_back(found->second);
    } else {
      core::fail(ErrorKind::data,
                 "{}: column '{}' is missing: expected the {} columns that the inputs were "
                 "normalized with, found {} columns",
                 data.source, column.name, wanted.size(), data.columns.size());
    }
    const Column& have = data.columns[static_cast<std::size_t>(columns_.back())];
    if (have.kind != column.kind) {
      const bool numeric = column.kind == ColumnKind::numeric;
      core::fail(ErrorKind::data, "{}: column '{}': expected {}, found {}", data.source, have.name,
                 numeric ? "numbers" : "categories", numeric ? "categories" : "numbers");
    }
    if (have.kind == ColumnKind::categorical) check_codes(data, rows, columns_.back());
  }
}

void PreparedInputs::plan(const std::vector<Column>& columns) {
  std::int64_t input = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::int64_t from = columns_[i];
    if (columns[i].kind == ColumnKind::numeric) {
      if (!runs_.empty() && runs_.back().from + runs_.back().count == from &&
          runs_.back().to + runs_.back().count == input) {
        ++runs_.back().count;
      } else {
        runs_.push_back({.from = from, .to = input, .count = 1});
      }
      ++input;
      continue;
    }
    std::unordered_map<std::string_view, std::int64_t> input_of;
    for (const std::string& category : columns[i].categories) input_of.emplace(category, input++);
    OneHot one_hot{.from = from, .unknown = input++, .inputs = {}};
    for (const std::string& category : data_->columns[static_cast<std::size_t>(from)].categories) {
      const auto found = input_of.find(category);
      one_hot.inputs.push_back(found == input_of.end() ? one_hot.unknown : found->second);
    }
    one_hots_.push_back(std::move(one_hot));
  }
}

PreparedInputs::PreparedInputs(const InputNormalization& with, const Dataset& data,
                               std::span<const std::uint32_t> rows)
    : data_(&data), mean_(with.mean().begin(), with.mean().end()) {
  kernels::apply_target_environment();
  check_rows(data, rows);
  match(with.columns(), rows);
  plan(with.columns());
  for (std::size_t i = 0; i < mean_.size(); ++i) {
    const double variance = with.variance()[i];
    const double scale = variance > 0 ? 1.0 / std::sqrt(variance) : 0.0;
    scale_.push_back(scale);
    off_.push_back(static_cast<float>((0.0 - mean_[i]) * scale));
    on_.push_back(static_cast<float>((1.0 - mean_[i]) * scale));
  }
}

bool PreparedInputs::normalize(std::uint32_t row, float* out) const noexcept {
  bool finite = true;
  std::visit(
      [&](const auto& values) {
        const auto* const x = values.data() + row * std::ssize(data_->columns);
        if (!one_hots_.empty()) std::copy(off_.begin(), off_.end(), out);
        for (const Run& run : runs_) {
          finite &= kernels::normalize_inputs(x + run.from, run.count, mean_.data() + run.to,
                                              scale_.data() + run.to, out + run.to);
        }
        for (const OneHot& one_hot : one_hots_) {
          const auto code = static_cast<double>(x[one_hot.from]);
          const std::int64_t input =
              std::isnan(code) ? one_hot.unknown : one_hot.inputs[static_cast<std::size_t>(code)];
          out[input] = on_[static_cast<std::size_t>(input)];
        }
      },
      data_->values);
  return finite;
}

bool PreparedInputs::of_bytes() const noexcept {
  if (!std::holds_alternative<std::vector<std::uint8_t>>(data_->values)) return false;
  constexpr double kLargest = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < mean_.size(); ++i) {
    const double furthest = std::max(std::abs(mean_[i]), std::abs(255.0 - mean_[i]));
    if (!(furthest * scale_[i] <= kLargest)) return false;
  }
  return true;
}

std::vector<float> PreparedInputs::normalize(std::span<const std::uint32_t> rows,
                                             int threads) const {
  const auto row_count = static_cast<std::int64_t>(rows.size());
  const std::optional<std::int64_t> size = core::checked_product(row_count, inputs());
  if (!size || *size > std::numeric_limits<std::int64_t>::max() / 4) {
    core::fail(ErrorKind::usage, "{}: {} rows of {} inputs are more than memory can hold",
               data_->source, row_count, inputs());
  }
  std::vector<float> out(static_cast<std::size_t>(*size));
  const std::int64_t blocks = core::block_count(row_count, kBlockRows);
  std::vector<std::uint8_t> wrong(static_cast<std::size_t>(blocks), 0);
  core::parallel_for(core::resolve_threads(threads), blocks, [&](std::int64_t block) {
    const std::int64_t end = std::min(row_count, (block + 1) * kBlockRows);
    for (std::int64_t r = block * kBlockRows; r < end; ++r) {
      if (!normalize(rows[static_cast<std::size_t>(r)], out.data() + r * inputs())) {
        wrong[static_cast<std::size_t>(block)] = 1;
      }
    }
  });
  if (std::find(wrong.begin(), wrong.end(), 1) != wrong.end()) {
    for (const std::int64_t column : columns_) check_finite(*data_, rows, column);
    core::fail(ErrorKind::data,
               "{}: a value lies so far from the training data that its normalized value exceeds "
               "the range of a float; look for values in another unit",
               data_->source);
  }
  return out;
}

}  // namespace evenrow::data
