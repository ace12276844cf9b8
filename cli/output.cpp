#include "output.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/fail.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"

namespace evenrow::cli {
namespace {

void write_message(std::string_view kind, report::Style style, std::string_view message) {
  const report::Terminal terminal = report::terminal(STDERR_FILENO);
  std::string text = report::styled(kind, style, terminal.colour) + " ";
  // A message may quote a file: its line breaks stay, other control characters do not.
  for (std::size_t at = 0; at <= message.size();) {
    const std::size_t end = std::min(message.find('\n', at), message.size());
    text += report::printable(message.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  report::write_text(STDERR_FILENO, text);
}

}  // namespace

void write_result(std::string_view text) {
  errno = 0;
  if (report::write_text(STDOUT_FILENO, text)) return;
  if (errno == EPIPE) throw ReaderGone{};
  core::fail(ErrorKind::io, "standard output cannot be written: {}", std::strerror(errno));
}

void write_note(std::string_view message) {
  write_message("evenrow:", report::Style::bold, message);
}

void write_error(std::string_view message) {
  write_message("evenrow: error:", report::Style::red, message);
}

void write_warning(std::string_view message) {
  write_message("evenrow: warning:", report::Style::yellow, message);
}

}  // namespace evenrow::cli
