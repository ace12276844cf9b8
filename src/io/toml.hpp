// TOML documents, as option and space files are.
#pragma once

#include <toml++/toml.h>

#include <string>
#include <string_view>

namespace evenrow::io {

/// Errors (usage): text that is not TOML, with `source`, which names it, and the line.
toml::table parse_toml(std::string_view text, const std::string& source);

}  // namespace evenrow::io
