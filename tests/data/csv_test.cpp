#include "data/csv.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "data/csv_fields.hpp"
#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNan;

Dataset read_text(const std::string& text, const ReadOptions& options = {}) {
  return read_csv(*open_memory(bytes_of(text), "a.csv"), options);
}

std::string text_message(const std::string& text, const ReadOptions& options = {}) {
  const Error error = error_of([&] { read_text(text, options); });
  EXPECT_EQ(error.kind(), ErrorKind::data);
  return error.what();
}

TEST(Csv, NumbersAndCategories) {
  const Dataset data = read_text("age,color,label\n1,red,yes\n2.5,blue,no\n,?,NA\n4, red ,yes\n");
  EXPECT_EQ(data.rows, 4);
  ASSERT_EQ(data.columns.size(), 2u);
  EXPECT_EQ(data.columns[0].name, "age");
  EXPECT_EQ(data.columns[0].kind, ColumnKind::numeric);
  EXPECT_EQ(data.columns[1].kind, ColumnKind::categorical);
  EXPECT_THAT(data.columns[1].categories, ElementsAre("red", "blue"));
  EXPECT_THAT(values<double>(data), ElementsAre(1, 0, 2.5, 1, IsNan(), IsNan(), 4, 0));
  ASSERT_TRUE(data.target);
  EXPECT_EQ(data.target->name, "label");
  EXPECT_FALSE(data.target->numeric);
  EXPECT_TRUE(data.target->numbers.empty());
  EXPECT_THAT(data.target->spellings, ElementsAre("yes", "no"));
  EXPECT_THAT(data.target->codes, ElementsAre(0, 1, -1, 0));
}

TEST(Csv, ANumericTargetKeepsItsSpellings) {
  const Dataset data = read_text("x,y\n1,3\n2,1.50\n3,nan\n4,\" 3\"\n5,3\n");
  EXPECT_TRUE(data.target->numeric);
  EXPECT_THAT(data.target->numbers, ElementsAre(3, 1.5, IsNan(), 3, 3));
  EXPECT_THAT(data.target->spellings, ElementsAre("3", "1.50", " 3"));
  EXPECT_THAT(data.target->codes, ElementsAre(0, 1, -1, 2, 0));
}

TEST(Csv, AColumnWithoutValuesIsNumeric) {
  const Dataset data = read_text("x,y\nNA,\n?,null\n");
  EXPECT_EQ(data.columns[0].kind, ColumnKind::numeric);
  EXPECT_TRUE(data.target->numeric);
  EXPECT_THAT(data.target->codes, ElementsAre(-1, -1));
}

TEST(Csv, FilesWithoutAHeaderHaveColumnsByNumber) {
  const Dataset data = read_text("5.1\t3.5\tsetosa\n4.9\t3.0\tsetosa\n", {.target = "c2"});
  EXPECT_EQ(data.rows, 2);
  EXPECT_EQ(data.columns[0].name, "c1");
  EXPECT_EQ(data.columns[1].name, "c3");
  EXPECT_THAT(data.target->numbers, ElementsAre(3.5, 3.0));
}

TEST(Csv, GzippedTextWithAByteOrderMarkAndCrlf) {
  const Dataset data = read_text(gzip("\xEF\xBB\xBFx;y\r\n\"1\";a\r\n2;b"));
  EXPECT_EQ(data.columns[0].name, "x");
  EXPECT_THAT(values<double>(data), ElementsAre(1, 2));
  EXPECT_THAT(data.target->spellings, ElementsAre("a", "b"));
}

/// Two columns of 300 rows that hold numbers until row 250.
std::string late_feature(int row) {
  return fmt::format("{}{}", row < 250 ? "0" : "w", row % 7);
}
std::string late_target(int row) {
  return fmt::format("{}{}", row < 250 ? "" : "z", row % 5);
}

std::string late_words() {
  std::string text = "a,b,y\n";
  for (int row = 0; row < 300; ++row) {
    text += fmt::format("{},{},{}\n", row, late_feature(row), late_target(row));
  }
  return text;
}

TEST(Csv, WordsThatComeLateMakeAColumnCategoricalFromItsFirstRow) {
  const std::string text = late_words();
  for (const std::string& file : {text, gzip(text)}) {
    const Dataset data = read_text(file);
    EXPECT_EQ(data.columns[0].kind, ColumnKind::numeric);
    ASSERT_EQ(data.columns[1].kind, ColumnKind::categorical);
    EXPECT_EQ(data.columns[1].categories.size(), 14u);
    EXPECT_EQ(data.columns[1].categories[0], "00");  // as the file spells it
    EXPECT_FALSE(data.target->numeric);
    EXPECT_TRUE(data.target->numbers.empty());
    for (int row = 0; row < 300; ++row) {
      const auto r = static_cast<std::size_t>(row);
      ASSERT_EQ(values<double>(data)[2 * r], row);
      const auto code = static_cast<std::size_t>(values<double>(data)[2 * r + 1]);
      ASSERT_EQ(data.columns[1].categories[code], late_feature(row));
      ASSERT_EQ(data.target->spellings[static_cast<std::size_t>(data.target->codes[r])],
                late_target(row));
    }
  }
}

TEST(Csv, ATargetOfManyNumbersHasNoSpellingsUntilAWordComes) {
  std::string text = "x,y\n";
  for (int row = 0; row < 10'001; ++row) text += fmt::format("1,{}\n", row);
  const Dataset numbers = read_text(text);
  EXPECT_TRUE(numbers.target->numeric);
  EXPECT_EQ(numbers.target->numbers.size(), 10'001u);
  EXPECT_TRUE(numbers.target->spellings.empty());
  EXPECT_TRUE(numbers.target->codes.empty());
  const Dataset words = read_text(text + "2,word\n");
  EXPECT_FALSE(words.target->numeric);
  ASSERT_EQ(words.target->spellings.size(), 10'002u);
  EXPECT_EQ(words.target->spellings[7], "7");
  EXPECT_EQ(words.target->codes.back(), 10'001);
}

TEST(Csv, ExpectedKindsAreImposed) {
  const std::vector<Column> expected{
      {.name = "age"}, {.name = "zip", .kind = ColumnKind::categorical, .categories = {"1"}}};
  const Dataset data =
      read_text("zip,age\n8001,5\n3000,6\n", {.target = "y", .expected = expected});
  EXPECT_EQ(data.columns[0].name, "age");
  EXPECT_THAT(data.columns[1].categories, ElementsAre("8001", "3000"));
  EXPECT_THAT(values<double>(data), ElementsAre(5, 0, 6, 1));
  EXPECT_FALSE(data.target);
  EXPECT_EQ(text_message("zip,age\n8001,5\n3000,six\n", {.target = "y", .expected = expected}),
            "a.csv: line 3: column 'age': expected a number, as in the data that the model was "
            "trained on, found 'six'");
}

TEST(Csv, ARaggedRowIsAnErrorWithItsLine) {
  EXPECT_EQ(text_message("a,b,y\n1,\"x\ny\",3\n\n1,2\n"),
            "a.csv: line 5: expected 3 fields, as in the first line, found 2; is a field that "
            "contains the separator not quoted?");
  EXPECT_THAT(text_message("a,b\n1,2\n3,4,5\n"), HasSubstr("line 3: expected 2 fields"));
  std::string text = "a,b\n";
  for (int row = 0; row < 500; ++row) text += "1,2\n";
  EXPECT_THAT(text_message(text + "7\n"), HasSubstr("a.csv: line 502: expected 2 fields"));
}

TEST(Csv, InfiniteNumbersAreErrorsInNumericColumnsOnly) {
  EXPECT_EQ(text_message("x,y\n1,2\n1e400,2\n"),
            "a.csv: line 3: column 'x': the number is infinite or exceeds the range of a double "
            "(1.8e308); correct it, or leave the field empty to mark it as missing");
  EXPECT_THAT(text_message("x,y\n1,2\n3,-inf\n"),
              HasSubstr("a.csv: line 3: column 'y': the number is"));
  const Dataset data = read_text("x,y\ninf,2\nfinite,3\n");
  EXPECT_THAT(data.columns[0].categories, ElementsAre("inf", "finite"));
}

TEST(Csv, RefusesFilesWithoutRows) {
  EXPECT_EQ(text_message("\n  \n\n"), "a.csv: has no rows, only blank lines");
  EXPECT_EQ(text_message("\xEF\xBB\xBF"), "a.csv: has no rows, only blank lines");
  EXPECT_EQ(text_message("a,b\n"), "a.csv: has a header but no rows below it");
  EXPECT_EQ(text_message(gzip("")), "a.csv: has no rows, only blank lines");
}

TEST(Csv, RefusesWhatIsNoText) {
  EXPECT_THAT(text_message(std::string("\x7f\x45\x4c\x46\0\0\0,\1\n", 10)),
              HasSubstr("a zero byte"));
  EXPECT_THAT(text_message("x,y\n1,a\n2,caf\xE9\n"),
              HasSubstr("a.csv: line 3: column 'y': 'caf\\xe9' is not UTF-8; convert the file"));
  EXPECT_THAT(text_message(gzip("x,y\n1,2\n").substr(0, 20)), HasSubstr("truncated gzip file"));
}

TEST(Csv, AWideFileWithShortRowsReservesLittle) {
  std::string text(200'000, ',');
  text += "\n" + std::string(20'000, '\n');
  for (int row = 0; row < 100; ++row) text += "1\n";
  EXPECT_THAT(text_message(text), HasSubstr("line 20002: expected 200001 fields"));
}

// Any table, written with any separator, line end and mixture of quoted and plain fields, reads
// back as it was. The first column of numbers makes the header one.

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

RC_GTEST_PROP(Csv, AnyTableReadsBackTheSame, ()) {
  // Letters that spell no number, infinity or not-a-number beyond a double.
  const auto text = rc::gen::container<std::string>(rc::gen::element(
      'a', 'Z', '0', '1', '7', '.', '-', '+', ' ', ',', ';', '\t', '"', '\n', '\r', '?', '\xC3'));
  const auto width = *rc::gen::inRange<std::size_t>(2, 6);
  const auto height = *rc::gen::inRange<std::size_t>(1, 160);
  const auto table = *rc::gen::container<std::vector<std::vector<std::string>>>(
      height, rc::gen::container<std::vector<std::string>>(
                  width - 1, rc::gen::resize(6, rc::gen::map(text, [](std::string s) {
                                               for (std::size_t i = 0; i < s.size();
                                                    ++i) {  // é, whole
                                                 if (s[i] == '\xC3') s.insert(++i, 1, '\xA9');
                                               }
                                               return s;
                                             }))));
  const char separator = *rc::gen::element(',', ';', '\t');
  const std::string line_end = *rc::gen::element<std::string>("\n", "\r\n");
  const auto quotes =
      *rc::gen::container<std::vector<bool>>(width * height, rc::gen::arbitrary<bool>());

  std::string file = *rc::gen::element<std::string>("", "\xEF\xBB\xBF");
  file += "number";
  for (std::size_t c = 1; c < width; ++c) file += fmt::format("{}text{}", separator, c);
  for (std::size_t r = 0; r < height; ++r) {
    file += line_end + std::to_string(r);
    for (std::size_t c = 1; c < width; ++c) {
      const std::string& cell = table[r][c - 1];
      const bool must = cell.find_first_of(",;\t\"\n\r") != std::string::npos ||
                        cell.starts_with(' ') || cell.ends_with(' ');
      file += separator + (must || quotes[r * width + c] ? quoted(cell) : cell);
    }
  }
  if (*rc::gen::arbitrary<bool>()) file += line_end;

  const Dataset data = read_text(*rc::gen::arbitrary<bool>() ? gzip(file) : file);
  RC_ASSERT(data.rows == static_cast<std::int64_t>(height));
  RC_ASSERT(data.columns.size() == width - 1);
  for (std::size_t c = 1; c < width; ++c) {
    bool numeric = true;
    for (const auto& row : table) {
      numeric = numeric && parse_field(row[c - 1]).kind != FieldKind::word;
    }
    const bool is_target = c == width - 1;
    if (is_target) {
      RC_ASSERT(data.target->numeric == numeric);
    } else {
      RC_ASSERT((data.columns[c].kind == ColumnKind::numeric) == numeric);
    }
    for (std::size_t r = 0; r < height; ++r) {
      const std::string& cell = table[r][c - 1];
      const Field field = parse_field(cell);
      const bool missing = field.kind == FieldKind::missing;
      if (is_target) {
        const std::int32_t code = data.target->codes[r];
        RC_ASSERT((code == -1) == missing);
        if (!missing) {
          RC_ASSERT(data.target->spellings[static_cast<std::size_t>(code)] == cell);
          if (numeric) RC_ASSERT(data.target->numbers[r] == field.value);
        }
      } else {
        const double value = values<double>(data)[r * (width - 1) + c];
        RC_ASSERT(std::isnan(value) == missing);
        if (missing) continue;
        if (numeric) {
          RC_ASSERT(value == field.value);
        } else {
          RC_ASSERT(data.columns[c].categories[static_cast<std::size_t>(value)] == cell);
        }
      }
    }
  }
}

}  // namespace
}  // namespace evenrow::data
