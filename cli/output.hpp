// Where the program writes: results to standard output, everything else to standard error.
#pragma once

#include <string_view>

namespace evenrow::cli {

/// Thrown when the reader of standard output has gone away: not an error, there is nobody to tell.
struct ReaderGone {};

/// Writes results to standard output. Errors (io): anything but a reader that has gone away.
void write_result(std::string_view text);

/// "evenrow: MESSAGE", "evenrow: error: MESSAGE" and "evenrow: warning: MESSAGE" on standard error.
void write_note(std::string_view message);
void write_error(std::string_view message);
void write_warning(std::string_view message);

}  // namespace evenrow::cli
