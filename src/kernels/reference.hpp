// Batch normalization as its formulas say it, in long double, value by value: the oracle of the
// tests (which follow a gradient through relu's kink themselves, in norm_cases.hpp). Nothing here
// is fast, and it allocates what it returns.
#pragma once

#include <cstdint>
#include <vector>

#include "evenrow/batch_norm.hpp"

namespace evenrow::kernels::reference {

using Values = std::vector<long double>;

/// A tensor `[outer, channels, inner]` and how much each of its columns counts: 1, a weight, or 0
/// where it is not valid.
struct Tensor {
  NormShape shape;
  Values values;
  Values weights;
};

/// Weighted mean and biased variance of every channel; 0 where there are no valid columns.
struct Statistics {
  Values mean;
  Values variance;
};
Statistics statistics(const Tensor& x);

/// gamma, beta: one a channel. residual: one a value, or empty.
struct Parameters {
  Values gamma;
  Values beta;
  Values residual;
  long double eps = 0;
  bool relu = false;
};

/// y = act(gamma * (x - mean) / sqrt(variance + eps) + beta + residual); 0 in columns that are not
/// valid.
Values normalize(const Tensor& x, const Statistics& with, const Parameters& parameters);

}  // namespace evenrow::kernels::reference
