// What a run shows on a terminal: the bar.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <string>

#include "cli/program.hpp"
#include "report/text.hpp"

namespace evenrow::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

// Trains with standard error on a pseudo-terminal of 80 columns; what arrived there.
std::string train_on_terminal(const Workplace& place, bool no_colour) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  EXPECT_GE(master, 0);
  EXPECT_EQ(grantpt(master), 0);
  EXPECT_EQ(unlockpt(master), 0);
  const std::string name = ptsname(master);
  // Held open, so that reading does not fail before the program has opened it.
  const int slave = open(name.c_str(), O_RDWR | O_NOCTTY);
  EXPECT_GE(slave, 0);
  winsize size{};
  size.ws_row = 24;
  size.ws_col = 80;
  EXPECT_EQ(ioctl(slave, TIOCSWINSZ, &size), 0);
  setenv("TERM", "xterm", 1);
  no_colour ? setenv("NO_COLOR", "1", 1) : unsetenv("NO_COLOR");
  const pid_t child = place.start({"train", "flowers.csv", "--out", no_colour ? "plain" : "run",
                                   "--epochs", "3", "--batch-size", "2"},
                                  "", name);
  std::string shown;
  bool ended = false;
  while (true) {
    pollfd ready{.fd = master, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, 20) > 0) {
      std::array<char, 4096> buffer{};
      const ssize_t n = read(master, buffer.data(), buffer.size());
      if (n <= 0) break;
      shown.append(buffer.data(), static_cast<std::size_t>(n));
    } else if (ended) {
      break;
    } else {
      siginfo_t info{};
      ended = waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
              info.si_pid == child;
    }
  }
  EXPECT_EQ(place.wait(child).exit, 0) << shown;
  close(slave);
  close(master);
  return shown;
}

TEST(Progress, OnATerminalABarIsRewrittenInPlace) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const std::string shown = train_on_terminal(place, false);
  // The bar, then in its place the epoch's line.
  EXPECT_THAT(shown, ContainsRegex("\repoch 1/3 \\[=*>? *\\] +[0-9]+ %  loss [0-9.e-]+"));
  EXPECT_THAT(shown, ContainsRegex("\r\x1b\\[K    1  "));
  EXPECT_THAT(shown, HasSubstr("\x1b[1mepoch  training loss"));
  // Nothing reaches the last column, where a terminal may wrap.
  std::string line;
  for (std::size_t at = 0; at <= shown.size(); ++at) {
    if (at == shown.size() || shown[at] == '\r' || shown[at] == '\n') {
      EXPECT_LT(report::display_width(line), 80) << line;
      line.clear();
    } else if (shown[at] == '\x1b') {
      at = shown.find_first_of("mK", at);
      ASSERT_NE(at, std::string::npos);
    } else {
      line += shown[at];
    }
  }
}

TEST(Progress, NoColorIsRespected) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const std::string shown = train_on_terminal(place, true);
  EXPECT_THAT(shown, HasSubstr("\x1b[K"));
  EXPECT_THAT(shown, Not(ContainsRegex("\x1b\\[[0-9]*m")));
}

}  // namespace
}  // namespace evenrow::test
