// Input normalization: every input feature gets mean 0 and variance 1, the same way as every other
// layer of the network; fitted once on the training part, stored in the model.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evenrow/dataset.hpp"

namespace evenrow {

/// Turns the raw columns of a data set into the inputs of a network. A value.
/// A numeric column gives one input, (x - mean) / sqrt(variance), 0 where the value is missing
/// (that is its mean) or the column was constant in training. A categorical column with k
/// categories gives k + 1 inputs, one-hot, the last for categories not seen in training and for
/// missing values; each of them is then normalized in the same way.
class InputNormalization {
 public:
  InputNormalization() = default;

  /// A categorical column may have this many categories; one with more is an identifier or text.
  static constexpr std::int64_t kMostCategories = 10'000;

  /// Population mean and biased variance of every input over the given rows (indices from 0), in
  /// double, centred, missing values left out; same bits for any number of threads. Categories that
  /// none of the rows has are not kept: they are unknown. Errors: no rows, a row or a category
  /// that `data` does not have, infinite values (row and column named), values whose variance
  /// exceeds a double, too many categories.
  static InputNormalization fit(const Dataset& data, std::span<const std::uint32_t> rows,
                                int threads = 0);

  /// Rebuilds one from stored parts (a model file). Errors: sizes that do not match, variance
  /// negative or not finite.
  static InputNormalization from_parts(std::vector<Column> columns, std::vector<double> mean,
                                       std::vector<double> variance);

  /// Row-major [rows.size(), inputs()] network inputs of the given rows of `data`, whose columns
  /// are matched by name (by position when neither has a header, names c1, c2, ..., and their
  /// numbers are equal); other columns are ignored. Same bits for any number of threads. Errors: a
  /// column is missing or has another kind; infinite values, or one that the normalization makes
  /// infinite.
  std::vector<float> apply(const Dataset& data, std::span<const std::uint32_t> rows,
                           int threads = 0) const;

  std::int64_t inputs() const noexcept { return static_cast<std::int64_t>(mean_.size()); }
  const std::vector<Column>& columns() const noexcept { return columns_; }
  std::span<const double> mean() const noexcept { return mean_; }          ///< One an input.
  std::span<const double> variance() const noexcept { return variance_; }  ///< One an input.

 private:
  std::vector<Column> columns_;
  std::vector<double> mean_, variance_;
};

}  // namespace evenrow
