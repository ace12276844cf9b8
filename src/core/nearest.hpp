// The known name that a misspelled one most probably meant, for error messages.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace evenrow::core {

/// The entry of `known` with the smallest edit distance to `name` (insertions, deletions and
/// substitutions of bytes, swaps of neighbours; letter case ignored), the first of equals. Empty
/// when every entry is further away than a third of the longer name, at least 2: then a guess would
/// mislead.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known);

/// " (did you mean 'NEAREST'?)", or nothing.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> known);

}  // namespace evenrow::core
