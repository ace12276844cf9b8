// Text on a terminal: how wide it is, and names from files made safe to show.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evenrow::report {

/// Terminal columns that UTF-8 text takes: two for East Asian wide characters and emoji, none for
/// combining marks, one for anything else.
std::int64_t display_width(std::string_view text);

/// `text` with control characters and bytes that are not UTF-8 replaced by '?': a name from a file
/// can neither break a table's line nor speak to the terminal.
std::string printable(std::string_view text);

/// printable(text), cut to at most `width` columns; what was cut is marked with a final "~".
std::string shortened(std::string_view text, std::int64_t width);

/// `text` in lines of at most `width` columns, broken at blanks; its own line breaks are kept. A
/// word longer than a line stays whole. Every line but the first begins with `indent` blanks.
std::string wrapped(std::string_view text, std::int64_t width, std::int64_t indent = 0);

}  // namespace evenrow::report
