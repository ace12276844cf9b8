#include "data/csv_records.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Record = std::vector<std::string>;

struct Line {
  std::int64_t number;
  Record fields;
  friend bool operator==(const Line&, const Line&) = default;
};

std::vector<Line> read_lines(const std::string& text, char separator = ',') {
  const auto source = open_memory(bytes_of(text), "a.csv");
  RecordReader reader(*source);
  std::vector<Line> lines;
  std::vector<std::string_view> fields;
  while (reader.next(separator, fields)) {
    lines.push_back({reader.line(), Record(fields.begin(), fields.end())});
  }
  return lines;
}

std::string line_message(const std::string& text) {
  return error_of([&] { read_lines(text); }).what();
}

TEST(RecordReader, SplitsLines) {
  EXPECT_THAT(read_lines("a,b\nc,\n,d\n"),
              ElementsAre(Line{1, {"a", "b"}}, Line{2, {"c", ""}}, Line{3, {"", "d"}}));
  EXPECT_THAT(read_lines("a,b"), ElementsAre(Line{1, {"a", "b"}}));
  EXPECT_THAT(read_lines("a;b\n1,5;2", ';'),
              ElementsAre(Line{1, {"a", "b"}}, Line{2, {"1,5", "2"}}));
  EXPECT_THAT(read_lines("a\t\t b\n", '\t'), ElementsAre(Line{1, {"a", "", "b"}}));
}

TEST(RecordReader, TakesBothLineEndsAndSkipsBlankLines) {
  EXPECT_THAT(read_lines("a,b\r\n\r\n1,2\r\n  \n\t\n3,4\r"),
              ElementsAre(Line{1, {"a", "b"}}, Line{3, {"1", "2"}}, Line{6, {"3", "4"}}));
  EXPECT_THAT(read_lines("\t\t\n", '\t'),
              ElementsAre(Line{1, {"", "", ""}}));                // three missing fields
  EXPECT_THAT(read_lines("\"\"\n"), ElementsAre(Line{1, {""}}));  // a field, not a blank line
}

TEST(RecordReader, SkipsAByteOrderMark) {
  EXPECT_THAT(read_lines("\xEF\xBB\xBF\"a\",b\n"), ElementsAre(Line{1, {"a", "b"}}));
}

TEST(RecordReader, TrimsBlanksOutsideQuotesOnly) {
  EXPECT_THAT(read_lines(" a ,\t\" b \"  , c d\n"), ElementsAre(Line{1, {"a", " b ", "c d"}}));
}

TEST(RecordReader, QuotedFieldsHoldSeparatorsQuotesAndLines) {
  EXPECT_THAT(read_lines("\"a,b\",\"say \"\"hi\"\"\",\"x\r\ny\n\"\r\n1,2,3\n"),
              ElementsAre(Line{1, {"a,b", "say \"hi\"", "x\r\ny\n"}}, Line{4, {"1", "2", "3"}}));
  EXPECT_THAT(read_lines("\"\"\"\",\"\"\n"), ElementsAre(Line{1, {"\"", ""}}));
  EXPECT_THAT(read_lines("a,\"b\""), ElementsAre(Line{1, {"a", "b"}}));
}

TEST(RecordReader, AQuoteInsideAFieldStandsForItself) {
  EXPECT_THAT(read_lines("5\" disk,a\"b\"\nx,y\n"),
              ElementsAre(Line{1, {"5\" disk", "a\"b\""}}, Line{2, {"x", "y"}}));
}

// Fields, quotes and escapes that lie across the ends of the buffer, whose first size is 2^18.
TEST(RecordReader, GrowsItsBufferForLongRecords) {
  for (std::size_t length = (1 << 18) - 6; length < (1 << 18) + 3; ++length) {
    const std::string text(length, 'x');
    EXPECT_THAT(read_lines("\"" + text + "\"\"\",b\r\nc,d\n"),
                ElementsAre(Line{1, {text + "\"", "b"}}, Line{2, {"c", "d"}}));
    EXPECT_THAT(read_lines("a,b\n" + text + ",c\n"),
                ElementsAre(Line{1, {"a", "b"}}, Line{2, {text, "c"}}));
  }
  const std::string longer(3'000'000, 'y');
  EXPECT_THAT(read_lines("a," + longer), ElementsAre(Line{1, {"a", longer}}));
}

TEST(RecordReader, NamesTheLineOfWhatIsWrong) {
  EXPECT_THAT(line_message("a,b\n1,2\nx,\"open\n\n3,4\n"),
              HasSubstr("a.csv: line 3: a quoted field begins here and never ends"));
  EXPECT_THAT(line_message("\"a\nb\",\"c\n"),
              HasSubstr("a.csv: line 2: a quoted field begins here"));
  EXPECT_THAT(line_message("a,b\n\"1\"2,3\n"),
              HasSubstr("a.csv: line 2: expected a separator or the line end after the closing "
                        "quote"));
  EXPECT_THAT(line_message("a,b\r1,2\r3,4\r"),
              HasSubstr("a.csv: line 1: a carriage return in the middle of the line"));
  EXPECT_THAT(line_message("\"a\",b\rc\n"), HasSubstr("a.csv: line 1: a carriage return"));
  const std::string zero("a,b\n1,\0\n", 8);
  EXPECT_THAT(line_message(zero), HasSubstr("a.csv: line 2: a zero byte: this is no UTF-8 text"));
  const std::string quoted_zero("a,b\n1,\"\n\0\"\n", 11);
  EXPECT_THAT(line_message(quoted_zero), HasSubstr("a.csv: line 3: a zero byte"));
  const std::string after("\"a\"\0,b\n", 7);
  EXPECT_THAT(line_message(after), HasSubstr("a.csv: line 1: a zero byte"));
}

TEST(RecordReader, RewindsToTheFirstRecord) {
  const std::string text = "\xEF\xBB\xBF\"a\"\"\",b\n1,2\n";
  const auto source = open_memory(bytes_of(text), "a.csv");
  RecordReader reader(*source);
  std::vector<std::string_view> fields;
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_TRUE(reader.next(',', fields));
    EXPECT_THAT(fields, ElementsAre("a\"", "b"));
    EXPECT_EQ(reader.line(), 1);
    ASSERT_TRUE(reader.next(',', fields));
    EXPECT_FALSE(reader.next(',', fields));
    reader.rewind();
  }
}

}  // namespace
}  // namespace evenrow::data
