// JSON from files: parsed more strictly than nlohmann's defaults.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace evenrow::io {

/// The value that `text` holds. Errors (data), each beginning with `where`: anything that is not
/// exactly one JSON value in UTF-8 (RFC 8259), and an object that has a key twice, of which
/// nlohmann would silently keep the last.
nlohmann::json parse_strict_json(std::string_view text, std::string_view where);

}  // namespace evenrow::io
