// Text from files: encoding, and how it is shown in messages.
#pragma once

#include <string>
#include <string_view>

namespace evenrow::data {

/// Well-formed UTF-8 (RFC 3629)?
bool is_utf8(std::string_view text) noexcept;

/// Without the blanks (spaces, tabs) at both ends.
std::string_view trim(std::string_view text) noexcept;

/// In quotes for a message: control characters and broken UTF-8 escaped, the end of a long text
/// left out.
std::string shown(std::string_view text);

}  // namespace evenrow::data
