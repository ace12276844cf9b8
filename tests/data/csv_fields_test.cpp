#include "data/csv_fields.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "data/columns.hpp"
#include "data/text.hpp"

namespace evenrow::data {
namespace {

void expect_number(std::string_view text, double value) {
  const Field field = parse_field(text);
  EXPECT_EQ(field.kind, FieldKind::number) << text;
  EXPECT_EQ(field.value, value) << text;
}

TEST(ParseField, Numbers) {
  expect_number("0", 0);
  expect_number("-12", -12);
  expect_number("+3.5", 3.5);
  expect_number(" 1e-3\t", 1e-3);
  expect_number(".5", 0.5);
  expect_number("5.", 5);
  expect_number("0.1", 0.1);
  expect_number("1.7976931348623157e308", std::numeric_limits<double>::max());
  expect_number("9007199254740993", 9007199254740992.0);  // to nearest, ties to even
}

TEST(ParseField, NumbersBeyondTheRangeOfADouble) {
  const double infinity = std::numeric_limits<double>::infinity();
  expect_number("1e400", infinity);
  expect_number("-1e400", -infinity);
  expect_number("1e99999999999999999999", infinity);
  expect_number("inf", infinity);
  expect_number("+Inf", infinity);
  expect_number("-INFINITY", -infinity);
  expect_number("1e-400", 0);
  expect_number("4e-324", std::numeric_limits<double>::denorm_min());
}

TEST(ParseField, Missing) {
  for (const char* text :
       {"", "  ", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "-nan", "null", "NULL", "?", " NA "}) {
    const Field field = parse_field(text);
    EXPECT_EQ(field.kind, FieldKind::missing) << text;
    EXPECT_TRUE(std::isnan(field.value)) << text;
  }
}

TEST(ParseField, Words) {
  for (const char* text : {"red", "1,5",      "1 2",  "0x10",  "1_000",      "5%",    "--1", "+-1",
                           "++1", "-+1",      "+",    "-",     ".",          "e5",    "1e",  "Na",
                           "??",  "infinite", "nano", "1.2.3", "2020-01-02", "\"1\"", "TRUE"}) {
    EXPECT_EQ(parse_field(text).kind, FieldKind::word) << text;
  }
}

// parse_record_field() with `before` in front of the text gives the bits of parse_field().
void expect_same(std::string_view before, std::string_view text) {
  std::string record(kFieldMargin, '7');
  record.append(before).append(text);
  const Field expected = parse_field(text);
  const Field found =
      parse_record_field(std::string_view(record).substr(record.size() - text.size()));
  ASSERT_EQ(found.kind, expected.kind) << before << text;
  ASSERT_EQ(std::bit_cast<std::uint64_t>(found.value), std::bit_cast<std::uint64_t>(expected.value))
      << before << text;
}

TEST(ParseRecordField, SaysWhatParseFieldSays) {
  for (const char* before : {"", ",", "1234567.", "-", "......", "0000000000000000"}) {
    for (const char* text : {"",
                             "-",
                             "+",
                             ".",
                             "-.",
                             "0",
                             "-0",
                             "-0.0",
                             ".5",
                             "5.",
                             "-.5",
                             "+1",
                             "1e5",
                             "1E-5",
                             "--1",
                             "1-",
                             "1..2",
                             "1.2.3",
                             "1.234567.9012345",
                             " 1",
                             "1 ",
                             "\t",
                             "NA",
                             "nan",
                             "inf",
                             "red",
                             "12345678",
                             "123456789",
                             "1234567.8",
                             "1.2345678",
                             ".12345678",
                             "12345678.",
                             "123456789012345",
                             "1234567890123456",
                             "9007199254740992",
                             "9007199254740993",
                             "-9007199254740993",
                             "9999999999999999",
                             "12345678901234567",
                             "0000000000000001",
                             "0.00000000000001",
                             ".000000000000001",
                             "-0.1234567890123",
                             "0.1234567890123456",
                             "-123456789.123456",
                             "1:",
                             "1/",
                             "1\x80",
                             "\xB1",
                             "\xFF",
                             "1_000",
                             "1,5",
                             "\"1\""}) {
      expect_same(before, text);
    }
  }
}

TEST(ParseRecordField, RandomDecimalsHaveTheSameBits) {
  std::mt19937_64 random(1);
  constexpr std::string_view kOdd = ".-+e 0:/x";
  for (int i = 0; i < 300'000; ++i) {
    std::string text(1 + random() % 18, '0');
    for (char& c : text) c = static_cast<char>('0' + random() % 10);
    if (random() % 4 != 0) text[random() % text.size()] = '.';
    if (random() % 8 == 0) text[random() % text.size()] = kOdd[random() % kOdd.size()];
    if (random() % 2 == 0) text.insert(0, 1, '-');
    expect_same(i % 2 == 0 ? "," : "-.", text);
    if (HasFatalFailure()) return;
  }
}

TEST(Text, Utf8) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xEF\xBF\xBD\xF4\x8F\xBF\xBF"));
  for (const char* text :
       {"caf\xE9", "\x80", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xE2\x82",
        "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF0\x9F\x98", "\xFF"}) {
    EXPECT_FALSE(is_utf8(text));
  }
}

TEST(Text, ShownInMessages) {
  EXPECT_EQ(shown("caf\xC3\xA9"), "'caf\xC3\xA9'");
  EXPECT_EQ(shown("a\x1b[31m\n\x7f\xE9"), "'a\\x1b[31m\\x0a\\x7f\\xe9'");
  EXPECT_EQ(shown(std::string(100, 'x')), "'" + std::string(60, 'x') + "...'");
}

TEST(Columns, NamesOfTheirOwnOrNot) {
  EXPECT_EQ(column_name(0), "c1");
  EXPECT_EQ(index_of_column_name("c12"), 11);
  for (const char* name : {"c", "c0", "c01", "d1", "c1x", "c-1", "c99999999999999999999", ""}) {
    EXPECT_EQ(index_of_column_name(name), -1) << name;
  }
  EXPECT_EQ(name_list({"a", "b"}), "'a', 'b'");
  EXPECT_EQ(name_list(std::vector<std::string>(12, "n")),
            "'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n' and 2 more");
}

}  // namespace
}  // namespace evenrow::data
