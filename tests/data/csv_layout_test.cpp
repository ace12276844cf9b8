#include "data/csv_layout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Records = std::vector<std::vector<std::string>>;

TEST(DetectSeparator, TheOneThatCutsEveryRecordEvenly) {
  EXPECT_EQ(detect_separator("a,b\n1,2\n", true), ',');
  EXPECT_EQ(detect_separator("a;b\n1,5;2,5\n", true), ';');
  EXPECT_EQ(detect_separator("1,5;2,5\n3,5;4,5\n", true), ';');  // decimal commas
  EXPECT_EQ(detect_separator("a, b\tc\n1, 2\t3\n", true), '\t');
  EXPECT_EQ(detect_separator("\"a;b\",c\n\"d;e\",f\n", true), ',');  // quoted ones do not count
  EXPECT_EQ(detect_separator("a;b,c\n1,2\n", true), ',');
}

TEST(DetectSeparator, WithoutAnEvenOneTheFirstRecordDecides) {
  EXPECT_EQ(detect_separator("a;b;c\n1;2\n", true), ';');
  EXPECT_EQ(detect_separator("a,b,c\n1,2\n", true), ',');
  EXPECT_EQ(detect_separator("a\nb\n", true), ',');
  EXPECT_EQ(detect_separator("", true), ',');
}

TEST(DetectSeparator, ARecordThatTheSampleCutsOffDoesNotCount) {
  EXPECT_EQ(detect_separator("a;b;c\n1;2;3\n4;", false), ';');
  EXPECT_EQ(detect_separator("a,b\n1,2\n\"x;", false), ',');
}

TEST(FirstIsHeader, AWordAboveNumbersIsAName) {
  EXPECT_TRUE(first_is_header({{"age", "color"}, {"1", "red"}, {"2", "red"}}));
  EXPECT_TRUE(first_is_header({{"id", "2019", "2020"}, {"7", "1", "2"}}));
  EXPECT_TRUE(first_is_header({{"age", "x"}, {"", "red"}, {"3", "x"}}));
}

TEST(FirstIsHeader, NumbersAndRecurringWordsAreData) {
  EXPECT_FALSE(first_is_header({{"5.1", "setosa"}, {"4.9", "setosa"}}));
  EXPECT_FALSE(first_is_header({{"5.1", "setosa"}, {"4.9", "virginica"}}));
  EXPECT_FALSE(first_is_header({{"p", "x"}, {"e", "y"}, {"p", "y"}}));
  EXPECT_FALSE(first_is_header({{"?", "1"}, {"2", "3"}}));
}

TEST(FirstIsHeader, WordsThatDoNotRecurAreNames) {
  EXPECT_TRUE(first_is_header({{"color", "shape"}, {"red", "round"}, {"red", "square"}}));
  EXPECT_TRUE(first_is_header({{"color", "shape"}}));
}

const Records kNamed{{"age", "color", "", "size"}, {"1", "red", "5", "7"}};

TEST(LayOut, TheTargetIsTheLastColumnOrNamed) {
  const CsvLayout last = lay_out("a.csv", kNamed, {});
  EXPECT_TRUE(last.has_header);
  EXPECT_EQ(last.target, "size");
  EXPECT_EQ(last.target_field, 3);
  EXPECT_THAT(last.fields, ElementsAre(0, 1, 2));
  EXPECT_EQ(last.columns[2].name, "c3");  // a name left empty
  const CsvLayout named = lay_out("a.csv", kNamed, {.target = "color"});
  EXPECT_EQ(named.target_field, 1);
  EXPECT_THAT(named.fields, ElementsAre(0, 2, 3));
}

TEST(LayOut, AnUnknownTargetIsAnErrorWithTheNearestName) {
  const Error error = error_of([] { lay_out("a.csv", kNamed, {.target = "colour"}); });
  EXPECT_EQ(error.kind(), ErrorKind::data);
  EXPECT_STREQ(error.what(),
               "a.csv: there is no target column 'colour' (did you mean 'color'?); the columns are "
               "'age', 'color', 'c3', 'size'");
  EXPECT_THAT(error_of([] {
                lay_out("a.csv", {{"1", "2"}}, {.target = "y"});
              }).what(),
              HasSubstr("the columns are 'c1', 'c2' (the file has no header)"));
}

TEST(LayOut, RefusesNamesThatAreNoNames) {
  EXPECT_THAT(error_of([] {
                lay_out("a.csv", {{"a", "b", "a"}, {"1", "2", "3"}}, {});
              }).what(),
              HasSubstr("a.csv: header: columns 1 and 3 are both named 'a'"));
  EXPECT_THAT(error_of([] {
                lay_out("a.csv", {{"caf\xE9", "b"}, {"1", "2"}}, {});
              }).what(),
              HasSubstr("a.csv: header: the name of column 1, 'caf\\xe9', is not UTF-8"));
  EXPECT_THAT(error_of([] {
                lay_out("a.csv", {{"a b c"}, {"1"}}, {});
              }).what(),
              HasSubstr("a.csv: has one column only, 'a b c'; expected features and a target"));
}

const std::vector<Column> kExpected{
    {.name = "age"}, {.name = "color", .kind = ColumnKind::categorical, .categories = {"red"}}};

TEST(LayOut, ExpectedColumnsAreFoundByName) {
  const CsvLayout layout =
      lay_out("a.csv", {{"color", "id", "age"}, {"red", "7", "1"}}, {.expected = kExpected});
  EXPECT_TRUE(layout.kinds_are_fixed);
  EXPECT_THAT(layout.fields, ElementsAre(2, 0));
  EXPECT_EQ(layout.columns[1].kind, ColumnKind::categorical);
  EXPECT_FALSE(layout.target_field);  // the last column is a feature, and "id" is not the target
  const CsvLayout with_target = lay_out("a.csv", {{"size", "color", "age"}, {"7", "red", "1"}},
                                        {.target = "size", .expected = kExpected});
  EXPECT_EQ(with_target.target_field, 0);
  const CsvLayout last =
      lay_out("a.csv", {{"color", "age", "size"}, {"red", "1", "7"}}, {.expected = kExpected});
  EXPECT_EQ(last.target, "size");
  // Without the expected names it would be taken for data: "red" recurs.
  const CsvLayout words = lay_out("a.csv", {{"age", "color"}, {"age", "red"}},
                                  {.target = "size", .expected = kExpected});
  EXPECT_TRUE(words.has_header);
}

TEST(LayOut, AnExpectedColumnThatIsMissingIsAnError) {
  EXPECT_THAT(
      error_of([] {
        lay_out("a.csv", {{"agee", "color"}, {"1", "red"}}, {.target = "", .expected = kExpected});
      }).what(),
      HasSubstr("a.csv: column 'age' is missing (did you mean 'agee'?); expected the columns that "
                "the model was trained on, found 'agee', 'color'"));
}

TEST(LayOut, WithoutAHeaderExpectedColumnsGoByPosition) {
  const CsvLayout all = lay_out("a.csv", {{"1", "red"}}, {.target = "size", .expected = kExpected});
  EXPECT_FALSE(all.has_header);
  EXPECT_FALSE(all.target_field);
  EXPECT_EQ(all.columns[1].name, "color");
  const CsvLayout last =
      lay_out("a.csv", {{"1", "red", "7"}}, {.target = "size", .expected = kExpected});
  EXPECT_EQ(last.target_field, 2);
  EXPECT_EQ(last.target, "size");
  EXPECT_THAT(
      error_of([] {
        lay_out("a.csv", {{"1", "2", "3", "4"}}, {.target = "", .expected = kExpected});
      }).what(),
      HasSubstr("expected 2 columns, as the model was trained on, or 3 with the target, found 4"));
}

TEST(LayOut, WithoutNamesTheTargetKeepsItsPosition) {
  const std::vector<Column> expected{{.name = "c1"}, {.name = "c3"}};
  const CsvLayout layout =
      lay_out("a.csv", {{"1", "2", "3"}}, {.target = "c2", .expected = expected});
  EXPECT_EQ(layout.target_field, 1);
  EXPECT_THAT(layout.fields, ElementsAre(0, 2));
  EXPECT_EQ(layout.columns[1].name, "c3");
}

}  // namespace
}  // namespace evenrow::data
