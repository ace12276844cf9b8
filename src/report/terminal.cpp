#include "report/terminal.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "report/text.hpp"

namespace evenrow::report {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";

}  // namespace

Terminal terminal(int fd) {
  Terminal result;
  // The environment is read before any thread is started; nothing here writes it.
  const char* type = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe)
  result.interactive = isatty(fd) == 1 && type != nullptr && std::string_view(type) != "dumb";
  const char* no_colour = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  result.colour = result.interactive && (no_colour == nullptr || *no_colour == '\0');
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) result.width = size.ws_col;
  return result;
}

std::string styled(std::string_view text, Style style, bool colour) {
  if (!colour) return std::string(text);
  const int code = style == Style::bold  ? 1
                   : style == Style::dim ? 2
                   : style == Style::red ? 31
                                         : 33;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

bool write_text(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::string progress_line(std::string_view label, double fraction, std::string_view note,
                          std::int64_t width) {
  constexpr std::int64_t longest_bar = 30, shortest_bar = 8;
  const double part = std::isnan(fraction) ? 0.0 : std::clamp(fraction, 0.0, 1.0);
  // Rounded down: 100 % means done.
  const std::string done = fmt::format("{:3.0f} %", std::floor(100.0 * part));
  const std::string tail = note.empty() ? done : fmt::format("{}  {}", done, note);
  // Label, blank, "[", bar, "]", blank, tail; the last column stays free, since writing into it
  // makes some terminals wrap.
  const std::int64_t room = width - 1 - display_width(label) - 4 - display_width(tail);
  const std::int64_t bar = std::min(longest_bar, room);
  if (bar < shortest_bar) return shortened(fmt::format("{} {}", label, done), width - 1);
  const auto filled = static_cast<std::int64_t>(std::floor(part * static_cast<double>(bar)));
  std::string cells(static_cast<std::size_t>(filled), '=');
  if (filled < bar) cells += '>';
  cells.resize(static_cast<std::size_t>(bar), ' ');
  return fmt::format("{} [{}] {}", label, cells, tail);
}

void StatusLine::show(std::string_view text) {
  if (!interactive_) return;
  // New text first, then the rest of the old line: no moment at which the line is empty.
  write_text(fd_, fmt::format("\r{}\x1b[K", text));
  shown_ = true;
}

void StatusLine::print(std::string_view text) {
  write_text(fd_, shown_ ? fmt::format("{}{}", kEraseLine, text) : std::string(text));
  shown_ = false;
}

void StatusLine::clear() {
  if (shown_) write_text(fd_, kEraseLine);
  shown_ = false;
}

}  // namespace evenrow::report
