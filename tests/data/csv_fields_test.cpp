#include "data/csv_fields.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

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
