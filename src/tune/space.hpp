// The scales of parameters: between values and positions in [0, 1].
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evenrow/study.hpp"

namespace evenrow::tuning {

/// Errors (usage): names the parameter and what is wrong with it.
void check(const Space& space);

/// The value at position `unit` in [0, 1] of the parameter's scale; choices and integers have equal
/// parts of it (integers in log: by their logarithm).
double from_unit(const Parameter& parameter, double unit);
/// The position of a value; of an integer or a choice, the middle of its part.
double to_unit(const Parameter& parameter, double value);

/// Whether parameter `index` counts, given the values of those before it (empty: does not count).
bool is_active(const Space& space, std::size_t index,
               const std::vector<std::optional<double>>& values);

/// The values at these positions, without those that do not count.
std::vector<std::optional<double>> values_at(const Space& space, const std::vector<double>& units);

/// One line that tells spaces apart: "lr = real log 0.001 1".
std::string description(const Parameter& parameter);

}  // namespace evenrow::tuning
