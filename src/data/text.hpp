// Text from files: encoding, and how it is shown in messages.
#pragma once

#include <string>
#include <string_view>

namespace evenrow::data {

/// Well-formed UTF-8 (RFC 3629)?
bool is_utf8(std::string_view text) noexcept;

/// Without the blanks (spaces, tabs) at both ends.
inline std::string_view trim(std::string_view text) noexcept {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// In quotes for a message: control characters and broken UTF-8 escaped, the end of a long text
/// left out.
std::string shown(std::string_view text);

}  // namespace evenrow::data
