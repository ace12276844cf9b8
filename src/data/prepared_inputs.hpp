// Rows of a data set as the inputs of a network, some at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evenrow/input_normalization.hpp"

namespace evenrow::data {

/// What InputNormalization::apply() makes of rows of one data set, to which this refers. Threads
/// may share one.
class PreparedInputs {
 public:
  /// For these rows. Errors: a column is missing or has another kind; a row or a category that
  /// `data` does not have.
  PreparedInputs(const InputNormalization& with, const Dataset& data,
                 std::span<const std::uint32_t> rows);

  std::int64_t inputs() const noexcept { return static_cast<std::int64_t>(mean_.size()); }

  /// The inputs of one of the rows; false when one of them is not finite. Same bits everywhere.
  bool normalize(std::uint32_t row, float* out) const noexcept;

  /// Row-major inputs of some of the rows. Errors: infinite values, or one that the normalization
  /// makes infinite.
  std::vector<float> normalize(std::span<const std::uint32_t> rows, int threads) const;

  /// Whether rows are best normalized each time that they are wanted: as bytes they take a quarter
  /// of the memory, and no time more than to read their inputs; none can give one that is not
  /// finite.
  bool of_bytes() const noexcept;

 private:
  // Numeric columns that lie side by side in the data and in the inputs.
  struct Run {
    std::int64_t from, to, count;
  };
  // A categorical column: `inputs[code]` is the input that is on, `unknown` the one for the rest.
  struct OneHot {
    std::int64_t from, unknown;
    std::vector<std::int64_t> inputs;
  };

  void match(const std::vector<Column>& wanted, std::span<const std::uint32_t> rows);
  void plan(const std::vector<Column>& columns);

  const Dataset* data_;
  std::vector<std::int64_t> columns_;  // of the data set, for each column of the inputs
  std::vector<Run> runs_;
  std::vector<OneHot> one_hots_;
  std::vector<double> mean_, scale_;  // one an input
  std::vector<float> off_, on_;       // what a category that is not there gives, and one that is
};

/// Checks of rows of a data set that fitting needs too. Errors: sizes or rows that do not fit; an
/// infinite value; what is neither the index of a category nor missing.
void check_rows(const Dataset& data, std::span<const std::uint32_t> rows);
void check_finite(const Dataset& data, std::span<const std::uint32_t> rows, std::int64_t column);
void check_codes(const Dataset& data, std::span<const std::uint32_t> rows, std::int64_t column);

/// One value of a data set.
double value_at(const Dataset& data, std::int64_t row, std::int64_t column);

}  // namespace evenrow::data
