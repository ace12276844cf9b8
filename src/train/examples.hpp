// From a data set to what a network is trained and judged on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "data/prepared_inputs.hpp"
#include "evenrow/train.hpp"

namespace evenrow::training {

/// Encoded rows. Rows of bytes (images) stay bytes, of which inputs are made each time that they
/// are wanted; the data set outlives them.
struct Examples {
  std::int64_t count = 0;
  std::vector<float> x;  ///< Row-major [count, inputs]; empty for rows of bytes.
  std::optional<data::PreparedInputs> of_bytes;
  std::vector<std::uint32_t> rows;    ///< Of the data set, one an example.
  std::vector<std::int32_t> classes;  ///< classification
  std::vector<float> values;          ///< What losses other than cross_entropy compare with.
  std::vector<double> numbers;        ///< regression: targets in their own units.

  /// The inputs of one example.
  void inputs_of(std::size_t example, std::int64_t inputs, float* to) const noexcept;
};

/// Classification or regression, by the rule of TrainOptions::task. Errors (data): no target;
/// regression of words; classification with a single class or without a list of classes.
Task resolve_task(const Dataset& data, Task requested);

/// The rows of training and validation: a random split by the seed.
struct Split {
  std::vector<std::uint32_t> training, validation;
};
/// Errors (data): too few rows for both parts; too many rows.
Split split_rows(const Dataset& data, double validation, std::uint64_t seed);
/// Cross-validation: `folds` splits, drawn in the same way. Every row is a validation row of one of
/// them, and their validation parts differ by a row at most. Errors (data): fewer rows than folds.
std::vector<Split> fold_rows(const Dataset& data, std::int64_t folds, std::uint64_t seed);

/// A model without a network: task, loss, classes or target scale, input normalization, all fitted
/// on the given rows of `data` (class names on all its rows). Errors: (usage) a loss that does not
/// fit the task; (data) rows without a target.
Model fit_model(const Dataset& data, const TrainOptions& options,
                std::span<const std::uint32_t> rows);

/// Inputs and targets of rows of `data` for `model`. Errors (data): see evaluate().
Examples encode(const Model& model, const Dataset& data, std::span<const std::uint32_t> rows,
                int threads);

/// 0 .. data.rows-1. Errors (data): more rows than 2^32 - 1.
std::vector<std::uint32_t> all_rows(const Dataset& data);

/// Evaluates on encoded rows.
Evaluation evaluate_examples(const Model& model, const Examples& examples, int threads);

}  // namespace evenrow::training
