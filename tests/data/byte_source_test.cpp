#include "data/byte_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <sys/stat.h>

#include <array>
#include <string>
#include <vector>

#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::HasSubstr;

std::string read_all(ByteSource& source, std::size_t chunk) {
  std::string all;
  std::vector<std::uint8_t> bytes(chunk);
  while (true) {
    const auto count = static_cast<std::size_t>(source.read(bytes));
    all.append(reinterpret_cast<const char*>(bytes.data()), count);
    if (count < chunk) return all;
  }
}

std::string long_text() {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += std::to_string(i % 977 * i % 1009) + ",";
  return text;
}

TEST(ByteSource, InflatesFromFileAndMemory) {
  const TemporaryFolder folder;
  const std::string text = long_text();
  const std::string packed = gzip(text);
  EXPECT_EQ(read_all(*open_file(folder.write("a.gz", packed)), 100'003), text);
  EXPECT_EQ(read_all(*open_memory(bytes_of(packed), "a"), 100'003), text);
  EXPECT_EQ(read_all(*open_file(folder.write("a", text)), 100'003), text);
}

TEST(ByteSource, ReadsSeveralGzipMembersAndZeroPadding) {
  const std::string packed = gzip("one ") + gzip("") + gzip("two") + std::string(512, '\0');
  EXPECT_EQ(read_all(*open_memory(bytes_of(packed), "a"), 5), "one two");
}

TEST(ByteSource, RewindsToTheFirstByte) {
  const std::string text = long_text();
  const std::string packed = gzip(text);
  const auto source = open_memory(bytes_of(packed), "a");
  std::array<std::uint8_t, 1000> some{};
  source->read(some);
  source->rewind();
  EXPECT_EQ(read_all(*source, 4096), text);
  source->rewind();
  EXPECT_EQ(read_all(*source, 4096), text);
}

TEST(ByteSource, RefusesAGzipStreamCutAnywhere) {
  const std::string packed = gzip("some text that is long enough to be worth packing, packing");
  for (std::size_t length = 2; length < packed.size(); ++length) {
    const std::string cut = packed.substr(0, length);
    const Error error = error_of([&] { read_all(*open_memory(bytes_of(cut), "text.csv.gz"), 64); });
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.what(), HasSubstr("text.csv.gz: truncated gzip file"));
  }
}

TEST(ByteSource, RefusesCorruptGzipData) {
  std::string packed = gzip("some text");
  packed[packed.size() - 8] ^= 1;  // its checksum
  EXPECT_THAT(error_of([&] { read_all(*open_memory(bytes_of(packed), "a"), 64); }).what(),
              HasSubstr("corrupt gzip file: incorrect data check"));
  const std::string followed = gzip("some text") + "more";
  EXPECT_THAT(error_of([&] { read_all(*open_memory(bytes_of(followed), "a"), 64); }).what(),
              HasSubstr("other bytes follow the compressed data"));
}

// RFC 1952: flags at byte 3, then time, flags and system; what the flags announce follows.
TEST(ByteSource, SkipsAllThatAGzipHeaderMayHold) {
  std::string packed = gzip("some text");
  packed[3] = 0x04 | 0x08 | 0x10;  // extra field, name, comment
  packed.insert(10, std::string("\x05\x00"
                                "extra",
                                7) +
                        std::string("a name\0", 7) + std::string("a comment\0", 10));
  EXPECT_EQ(read_all(*open_memory(bytes_of(packed), "a"), 64), "some text");
}

TEST(ByteSource, NamesWhatIsWrongInAGzipHeader) {
  std::string method = gzip("some text");
  method[2] = 7;
  EXPECT_THAT(error_of([&] { read_all(*open_memory(bytes_of(method), "a"), 64); }).what(),
              HasSubstr("corrupt gzip file: unknown compression method"));
  const std::string second = gzip("some text") + "\x1f\x8c and more, long enough for a header";
  EXPECT_THAT(error_of([&] { read_all(*open_memory(bytes_of(second), "a"), 64); }).what(),
              HasSubstr("corrupt gzip file: incorrect header"));
}

// Some bytes may be others: of the header, or of a copy from where the same text stands, too.
TEST(ByteSource, NeverGivesOtherTextThanWasPacked) {
  const std::string text = long_text().substr(0, 3000), packed = gzip(text);
  for (std::size_t i = 2; i < packed.size(); ++i) {
    for (const int flip : {1, 16, 128}) {
      std::string broken = packed;
      broken[i] = static_cast<char>(broken[i] ^ flip);
      try {
        ASSERT_EQ(read_all(*open_memory(bytes_of(broken), "a"), 100), text) << "byte " << i;
      } catch (const Error& error) {
        ASSERT_EQ(error.kind(), ErrorKind::data);
        ASSERT_THAT(error.what(), HasSubstr("gzip file"));
      }
    }
  }
}

TEST(ByteSource, NamesWhatCannotBeOpened) {
  const TemporaryFolder folder;
  const Error missing = error_of([&] { open_file(folder.path() / "none.csv"); });
  EXPECT_EQ(missing.kind(), ErrorKind::io);
  EXPECT_THAT(missing.what(), HasSubstr("none.csv: cannot be opened: No such file or directory"));

  const Error directory = error_of([&] { open_file(folder.path()); });
  EXPECT_EQ(directory.kind(), ErrorKind::io);
  EXPECT_THAT(directory.what(), HasSubstr("is a directory"));

  const std::filesystem::path pipe = folder.path() / "pipe.csv";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const Error fifo = error_of([&] { open_file(pipe); });
  EXPECT_EQ(fifo.kind(), ErrorKind::io);
  EXPECT_THAT(fifo.what(), HasSubstr("is a pipe or a device"));

  const Error empty = error_of([&] { open_file(folder.write("empty.csv", "")); });
  EXPECT_EQ(empty.kind(), ErrorKind::data);
  EXPECT_THAT(empty.what(), HasSubstr("empty.csv: the file is empty"));
}

RC_GTEST_PROP(ByteSource, GivesTheSameBytesInAnyChunks, (const std::string& text)) {
  RC_PRE(!text.empty());
  const auto chunk = *rc::gen::inRange<std::size_t>(1, 40);
  const std::string packed = gzip(text);
  RC_ASSERT(read_all(*open_memory(bytes_of(packed), "a"), chunk) == text);
}

}  // namespace
}  // namespace evenrow::data
