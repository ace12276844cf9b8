// Models for the tests of this room.
#pragma once

#include "evenrow/model.hpp"

namespace evenrow::io {

/// Columns "width" (numeric), "colour" (3 categories, awkward texts), "height" (numeric): 6 inputs.
/// Two hidden blocks, one with batch norm before the activation, one after it and with a bias;
/// three classes. Every parameter and statistic differs from every other.
Model classification_model();

/// The same columns, no batch norm, one output, target = 10 + 2 * output.
Model regression_model();

/// Rows for either model, missing values and a category that is not the model's among them.
Dataset some_rows();

/// Fails the test unless a and b agree in everything, numbers bit for bit.
void expect_same(const Model& a, const Model& b);

}  // namespace evenrow::io
