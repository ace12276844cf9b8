// Between a space and the part of it that the second round of a search looks at; see
// refined_space() in evenrow/tune.hpp.
#pragma once

#include <optional>

#include "evenrow/study.hpp"

namespace evenrow::tuning {

/// A value of parameter `from` as one of `to`, which has another range or other choices; empty: it
/// is none of `to`.
std::optional<double> carried_over(const Parameter& from, const Parameter& to, double value);

}  // namespace evenrow::tuning
