#include "report/text.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <sstream>
#include <string>

namespace evenrow::report {
namespace {

TEST(DisplayWidth, CountsTerminalColumns) {
  EXPECT_EQ(display_width(""), 0);
  EXPECT_EQ(display_width("shirt"), 5);
  EXPECT_EQ(display_width("Größe"), 5);
  EXPECT_EQ(display_width("日本"), 4);
  EXPECT_EQ(display_width("e\xCC\x81"), 1);  // e and a combining acute accent
  EXPECT_EQ(display_width("\xFF"), 1);       // shown as one '?'
}

TEST(Printable, LeavesNothingThatSpeaksToTheTerminal) {
  EXPECT_EQ(printable("a\tb\nc"), "a?b?c");
  EXPECT_EQ(printable("\x1b[31mred"), "?[31mred");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "?31m");  // C1 control sequence introducer
  EXPECT_EQ(printable("a\xE2\x80\xAE"
                      "b"),
            "a?b");                                       // right-to-left override
  EXPECT_EQ(printable("\xC0\xAF\xED\xA0\x80"), "?????");  // overlong, surrogate
  EXPECT_EQ(printable("Größe 日本"), "Größe 日本");
  EXPECT_EQ(printable("\xE6\x97"), "??");  // cut off
}

TEST(Shortened, MarksWhatWasCut) {
  EXPECT_EQ(shortened("trouser", 7), "trouser");
  EXPECT_EQ(shortened("trouser", 6), "trous~");
  EXPECT_EQ(shortened("日本語", 4), "日~");
  EXPECT_EQ(shortened("trouser", 1), "~");
  EXPECT_EQ(shortened("trouser", 0), "");
  EXPECT_EQ(shortened("", 0), "");
}

RC_GTEST_PROP(Shortened, FitsAndIsPrintable, (const std::string& bytes)) {
  const auto width = *rc::gen::inRange<std::int64_t>(0, 20);
  const std::string text = shortened(bytes, width);
  RC_ASSERT(display_width(text) <= width);
  RC_ASSERT(printable(text) == text);
}

TEST(Wrapped, BreaksAtBlanks) {
  EXPECT_EQ(wrapped("one two three", 7), "one two\nthree");
  EXPECT_EQ(wrapped("one two three", 7, 2), "one two\n  three");
  EXPECT_EQ(wrapped("incomprehensible word", 5), "incomprehensible\nword");
  EXPECT_EQ(wrapped("a\n\nb", 10), "a\n\nb");
  EXPECT_EQ(wrapped("", 10), "");
  EXPECT_EQ(wrapped("\xCD\xAB a", 10), "\xCD\xAB a");  // a word without a width is a word
}

RC_GTEST_PROP(Wrapped, KeepsTheWordsAndTheWidth, ()) {
  const auto words = *rc::gen::container<std::vector<std::string>>(
      rc::gen::nonEmpty(rc::gen::string<std::string>()));
  std::string text;
  for (const std::string& word : words) {
    std::string clean = printable(word);
    for (char& c : clean) c = c == ' ' ? '_' : c;
    text += clean + " ";
  }
  const std::string lines = wrapped(text, 12);
  std::istringstream expected(text), found(lines);
  std::string a, b;
  while (expected >> a) {
    RC_ASSERT(static_cast<bool>(found >> b));
    RC_ASSERT(a == b);
  }
  std::istringstream by_line(lines);
  while (std::getline(by_line, a)) {
    RC_ASSERT(display_width(a) <= 12 || a.find(' ') == std::string::npos);
  }
}

}  // namespace
}  // namespace evenrow::report
