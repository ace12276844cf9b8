// What decides the trials of a search, as text: a journal keeps it, and going on with another one
// is refused.
#pragma once

#include <string>
#include <string_view>

#include "evenrow/tune.hpp"

namespace evenrow::tuning {

/// A "key = value" a line.
std::string search_text(const Space& space, const TuneOptions& options);

/// The first line of `a` that is not the same in `b`, as "it has ..., and now it is ...".
std::string first_difference(std::string_view a, std::string_view b);

}  // namespace evenrow::tuning
