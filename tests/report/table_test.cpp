#include "report/table.hpp"

#include <gtest/gtest.h>

#include "evenrow/error.hpp"

namespace evenrow::report {
namespace {

TEST(Table, AlignsColumns) {
  Table table({{.header = "part", .align = Align::left}, {.header = "rows"}, {.header = "loss"}});
  table.add_row({"training", "54000", "0.2"});
  table.add_row({"test", "10000", "0.3312"});
  EXPECT_EQ(table.text(),
            "part       rows    loss\n"
            "training  54000     0.2\n"
            "test      10000  0.3312\n");
  EXPECT_EQ(table.width(), 23);
}

TEST(Table, HasNoTrailingBlanksAndNoEmptyHeaderLine) {
  Table table({{.align = Align::left}, {.align = Align::left}});
  table.add_row({"network", "784-10"});
  table.add_row({"x"});
  EXPECT_EQ(table.text(2), "  network  784-10\n  x\n");
}

TEST(Table, ShortensAndCleansCells) {
  Table table({{.header = "name", .align = Align::left, .widest = 6}, {.header = "n"}});
  table.add_row({"incomprehensible", "1"});
  table.add_row({"Größe", "2"});
  table.add_row({"a\nb", "3"});
  EXPECT_EQ(table.text(),
            "name    n\n"
            "incom~  1\n"
            "Größe   2\n"
            "a?b     3\n");
}

TEST(Table, RefusesTooManyCells) {
  Table table({{.header = "one"}});
  EXPECT_THROW(table.add_row({"1", "2"}), Error);
}

}  // namespace
}  // namespace evenrow::report
