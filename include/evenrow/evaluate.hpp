// How good a model is on a data set.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evenrow/model.hpp"

namespace evenrow {

struct Evaluation {
  std::int64_t rows = 0;
  double loss = 0;  ///< The model's loss, without label smoothing; regression: of scaled targets.
  // classification
  double accuracy = 0;
  /// Row-major [classes, classes]: rows are true classes, columns predicted ones.
  std::vector<std::int64_t> confusion;
  // regression, in the target's own units
  double rmse = 0, mae = 0;
  double r2 =
      0;  ///< 1 - sum of squared errors / sum of squares about the mean; NaN for constant targets.
};

/// Evaluates with running statistics. Rows whose target is missing are an error.
/// Errors (data): other inputs than the model's; no target; a class the model was not trained on
/// (named, with the row).
Evaluation evaluate(const Model& model, const Dataset& data, int threads = 0);

}  // namespace evenrow
