// Whether the parts of a model fit together.
#pragma once

#include "evenrow/model.hpp"

namespace evenrow::io {

/// Errors (usage): task, loss, number of outputs and classes do not fit together.
void check_outputs(const Model& model);

/// Everything that a model file promises: check_outputs(); a network that can be built; as many
/// inputs as the input normalization makes; distinct classes and categories; a finite target scale
/// above 0; finite parameters; running statistics of the right size, finite, variances not below
/// 0. Errors (usage): says which part and why.
void check_model(const Model& model);

}  // namespace evenrow::io
