// The terminal that a stream goes to, if any, and a line on it that is written again and again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evenrow::report {

struct Terminal {
  bool interactive = false;  ///< Lines can be rewritten: a terminal, and not a dumb one.
  bool colour = false;       ///< interactive, and NO_COLOR is not set (no-color.org).
  std::int64_t width = 80;   ///< Columns; 80 where unknown.
};

/// What file descriptor `fd` is connected to.
Terminal terminal(int fd);

enum class Style { bold, dim, red, yellow };

/// `text` in a style when `colour`, else as it is.
std::string styled(std::string_view text, Style style, bool colour);

/// Writes all of `text` to `fd` in one call where the system takes it, so that lines of several
/// writers do not mix. False when the system refuses (a closed pipe, a full disk): progress is
/// lost, the work goes on.
bool write_text(int fd, std::string_view text) noexcept;

/// One line of progress: `label [=====>     ] NN %  note`, at most `width` columns: the bar shrinks
/// first, then the note and the bar go.
std::string progress_line(std::string_view label, double fraction, std::string_view note,
                          std::int64_t width);

/// A line at the bottom of a terminal that is rewritten in place, and permanent lines above it.
/// On anything that is not interactive only the permanent lines are written.
class StatusLine {
 public:
  StatusLine(int fd, const Terminal& target) : fd_(fd), interactive_(target.interactive) {}

  /// Shows `text`, which must fit the width, in place of what was shown.
  void show(std::string_view text);
  /// Writes `text` (whole lines, each with its line break) in place of the line.
  void print(std::string_view text);
  /// Removes the line.
  void clear();

 private:
  int fd_;
  bool interactive_;
  bool shown_ = false;
};

}  // namespace evenrow::report
