#include "io/toml.hpp"

#include "core/fail.hpp"

namespace evenrow::io {

toml::table parse_toml(std::string_view text, const std::string& source) {
  try {
    return toml::parse(text, std::string_view(source));
  } catch (const toml::parse_error& error) {
    core::fail(ErrorKind::usage, "{}, line {}: not TOML: {}", source, error.source().begin.line,
               error.description());
  }
}

}  // namespace evenrow::io
