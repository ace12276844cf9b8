// Event files, read back by TensorBoard itself.
#include "report/event_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "support/python.hpp"
#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"

namespace evenrow::report {
namespace {

// RFC 3720, appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32c, OfKnownBytes) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(EventFile, IsReadByTensorBoardAndASecondOneGoesOn) {
  const TemporaryFolder folder;
  const std::filesystem::path logs = folder / "logs/run";
  EXPECT_FALSE(has_event_files(logs));
  {
    EventFile first(logs, 0);
    for (std::int64_t step = 0; step < 10; ++step) {
      first.add_scalar("loss/step", step, 0.5 * static_cast<double>(step));
      if (step == 4) first.flush();
    }
  }  // what was not flushed is written at the end
  EXPECT_TRUE(has_event_files(logs));
  EventFile second(logs, 6);
  for (std::int64_t step = 6; step < 13; ++step) {
    second.add_scalar("loss/step", step, -static_cast<double>(step));
  }
  second.add_histogram("block0/gamma", std::int64_t{1} << 40,
                       {.smallest = -1.5,
                        .largest = 3.25,
                        .count = 300,
                        .sum = 100,
                        .sum_of_squares = 1e300,
                        .limits = {-1.0, 0.0, 3.25},
                        .counts = {3, 97, 200}});
  second.flush();
  const auto files = std::filesystem::directory_iterator(logs);
  EXPECT_EQ(std::distance(begin(files), end(files)), 2);
  run_python("tensorboard_peer.py", {"made", logs.string()});
}

TEST(EventFile, SaysWhatTheSystemRefuses) {
  const TemporaryFolder folder;
  folder.write("file", "");
  EXPECT_THAT([&] { EventFile(folder / "file/logs", 0); },
              ThrowsError(ErrorKind::io, "cannot make the folder"));
  EXPECT_FALSE(has_event_files(folder / "file"));
}

}  // namespace
}  // namespace evenrow::report
