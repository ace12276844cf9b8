#include "report/terminal.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <string>

#include "report/text.hpp"

namespace evenrow::report {
namespace {

// A pipe or the two ends of a pseudo-terminal; closed at the end.
struct Ends {
  int read_end = -1, write_end = -1;
  Ends() = default;
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  ~Ends() {
    close(read_end);
    close(write_end);
  }
  std::string read_available() const {
    std::array<char, 4096> buffer{};
    const ssize_t n = ::read(read_end, buffer.data(), buffer.size());
    return {buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
  }
};

void open_pipe(Ends& ends) {
  std::array<int, 2> fds{};
  ASSERT_EQ(pipe(fds.data()), 0);
  ends.read_end = fds[0];
  ends.write_end = fds[1];
}

void open_terminal(Ends& ends, unsigned short columns) {
  ends.read_end = posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(ends.read_end, 0);
  ASSERT_EQ(grantpt(ends.read_end), 0);
  ASSERT_EQ(unlockpt(ends.read_end), 0);
  ends.write_end = open(ptsname(ends.read_end), O_RDWR | O_NOCTTY);
  ASSERT_GE(ends.write_end, 0);
  winsize size{};
  size.ws_row = 24;
  size.ws_col = columns;
  ASSERT_EQ(ioctl(ends.write_end, TIOCSWINSZ, &size), 0);
}

TEST(Terminal, APipeIsNone) {
  Ends ends;
  open_pipe(ends);
  const Terminal found = terminal(ends.write_end);
  EXPECT_FALSE(found.interactive);
  EXPECT_FALSE(found.colour);
  EXPECT_EQ(found.width, 80);
}

TEST(Terminal, RespectsNoColorAndDumbTerminals) {
  Ends ends;
  open_terminal(ends, 100);
  setenv("TERM", "xterm", 1);
  unsetenv("NO_COLOR");
  EXPECT_TRUE(terminal(ends.write_end).interactive);
  EXPECT_TRUE(terminal(ends.write_end).colour);
  EXPECT_EQ(terminal(ends.write_end).width, 100);
  setenv("NO_COLOR", "1", 1);
  EXPECT_TRUE(terminal(ends.write_end).interactive);
  EXPECT_FALSE(terminal(ends.write_end).colour);
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(terminal(ends.write_end).interactive);
}

TEST(Styled, IsPlainWithoutColour) {
  EXPECT_EQ(styled("error:", Style::red, false), "error:");
  EXPECT_EQ(styled("error:", Style::red, true), "\x1b[31merror:\x1b[0m");
}

TEST(WriteText, SurvivesAClosedPipe) {
  std::signal(SIGPIPE, SIG_IGN);
  Ends ends;
  open_pipe(ends);
  close(ends.read_end);
  ends.read_end = -1;
  EXPECT_FALSE(write_text(ends.write_end, "gone"));
}

TEST(ProgressLine, ShowsTheFraction) {
  EXPECT_EQ(progress_line("epoch 1/2", 0.5, "3 s left", 80),
            "epoch 1/2 [===============>              ]  50 %  3 s left");
  EXPECT_EQ(progress_line("epoch 1/2", 1, "", 80),
            "epoch 1/2 [==============================] 100 %");
  EXPECT_EQ(progress_line("epoch 1/2", 0.9999, "", 40), "epoch 1/2 [====================>]  99 %");
  EXPECT_EQ(progress_line("epoch 1/2", 0.5, "3 s left", 20), "epoch 1/2  50 %");
}

RC_GTEST_PROP(ProgressLine, FitsAnyWidth, ()) {
  const auto width = *rc::gen::inRange<std::int64_t>(1, 200);
  const double fraction = *rc::gen::arbitrary<double>();
  const std::string line =
      progress_line("epoch 12/100", fraction, "loss 0.1234  1 min 10 s left", width);
  RC_ASSERT(display_width(line) < width);
}

TEST(StatusLine, RewritesInPlaceOnATerminalOnly) {
  Ends ends;
  open_pipe(ends);
  StatusLine line(ends.write_end, {.interactive = true, .colour = false, .width = 80});
  line.show("10 %");
  line.show("20 %");
  line.print("epoch 1\n");
  line.print("epoch 2\n");
  line.clear();
  EXPECT_EQ(ends.read_available(),
            "\r10 %\x1b[K"
            "\r20 %\x1b[K"
            "\r\x1b[Kepoch 1\nepoch 2\n");

  StatusLine plain(ends.write_end, {});
  plain.show("10 %");
  plain.print("epoch 1\n");
  plain.clear();
  EXPECT_EQ(ends.read_available(), "epoch 1\n");
}

}  // namespace
}  // namespace evenrow::report
