// What decides the trials of a search, as text: a journal keeps it, and going on with another one
// is refused.
#pragma once

#include <string>
#include <string_view>

#include "evenrow/tune.hpp"

namespace evenrow::tuning {

/// User attribute of a study that has it.
inline constexpr const char* kSearchKey = "evenrow:search";

/// Whether a search text says that the parameter is searched in one_minus_log.
bool is_one_minus_log(std::string_view text, const std::string& parameter);

/// A "key = value" a line.
std::string search_text(const Space& space, const TuneOptions& options);

/// The first line of `a` that is not the same in `b`, as "it has ..., and now it is ...".
std::string first_difference(std::string_view a, std::string_view b);

}  // namespace evenrow::tuning
