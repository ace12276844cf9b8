// A page as text: what is put into it, and what can never get into it.
#include "report/page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "report/assets.hpp"

namespace evenrow::report {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::size_t occurrences(const std::string& text, std::string_view what) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) {
    ++count;
  }
  return count;
}

// One of every kind of block, with `name` wherever a user's text can be.
Page page_with(const std::string& name) {
  LineChart lines{.x = {.title = name}, .y = {.title = name}};
  lines.lines.push_back({.name = name, .x = {1, 2, 3}, .y = {0.5, kNan, 0.123456789}});
  BandChart bands{.x = {.title = name}, .y = {.title = name}, .choice_title = name, .choices = {}};
  bands.choices.push_back({name, {{name, 0, {1, 2}, {Quantiles{}, Quantiles{}}}}});
  BarChart bars{.x = {.title = name}, .label_title = name, .bars = {{name, 0.5}}};
  ParallelChart parallel{.dimensions = {{name, {{0.0, name}}}}, .items = {}};
  parallel.items.push_back({.name = name, .heights = {0.5}, .cells = {name}, .rank = 1});
  Page page{.title = name, .summary = name, .made_by = name, .sections = {}};
  page.sections.push_back(
      {name,
       {Paragraph{name}, Figure{name, name, lines, name}, Figure{name, name, bands},
        Figure{name, name, bars}, Figure{name, name, parallel},
        Grid{.caption = name, .headers = {name}, .rows = {{name, name}}},
        Matrix{.caption = name, .classes = {name, name}, .counts = {1, 2, 3, 4}},
        Pictures{.caption = name, .height = 1, .width = 2, .items = {{{0, 255}, name}}}}});
  return page;
}

TEST(Page, ShowsTextOfUsersAndNeverReadsIt) {
  for (const std::string evil :
       {"</script><img src=x onerror=alert(1)>", "<!--<script>", "\" onload=\"alert(1)", "' x='",
        "@DATA@@JS@", "</title><base href=//evil>", "&lt;\xff\x01"}) {
    const std::string html = page_html(page_with(evil)), plain = page_html(page_with("plain"));
    // In JSON a quote after a backslash ends nothing.
    const std::string elements = html.substr(0, html.find("<script"));
    for (const char* broken_out : {"<img", "<base", "\" onload", "' x='"}) {
      EXPECT_EQ(occurrences(elements, broken_out), 0u) << evil << " " << broken_out;
    }
    for (const char* tag : {"<script", "</script", "<!--", "</title", "<p", "<td"}) {
      EXPECT_EQ(occurrences(html, tag), occurrences(plain, tag)) << evil << " " << tag;
    }
  }
  const std::string html = page_html(page_with("a<b & \"c\""));
  EXPECT_THAT(html, HasSubstr("<td>a&lt;b &amp; &quot;c&quot;</td>"));
  EXPECT_THAT(html, HasSubstr(R"("name":"a\u003cb \u0026 \"c\"")"));
}

TEST(Page, AsksForNothing) {
  const std::string html = page_html(page_with("plain"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'; script-src 'sha256-"));
  EXPECT_THAT(html, Not(HasSubstr("unsafe")));
  for (const char* asking : {" src=", "href=\"http", "@import", "url("}) {
    const std::string own = html.substr(0, html.find("<script"));
    EXPECT_THAT(own, Not(HasSubstr(asking)));
  }
  EXPECT_THAT(html, HasSubstr("Permission is hereby granted"));
  EXPECT_THAT(html, HasSubstr("Chart.js v3"));
  // Inside of scripts nothing ends them.
  for (const std::string_view script : {assets::js, assets::chart}) {
    EXPECT_EQ(script.find("</script"), std::string_view::npos);
  }
}

TEST(Page, IsTheSameForTheSameContent) {
  EXPECT_EQ(page_html(page_with("x")), page_html(page_with("x")));
}

TEST(Page, HasTheNumbersOfEveryChartInATable) {
  const std::string html = page_html(page_with("plain"));
  EXPECT_EQ(occurrences(html, "<figure"), 4u);
  EXPECT_EQ(occurrences(html, "<details>"), 4u);
  EXPECT_THAT(html, HasSubstr("<tr><th scope=\"row\">2</th><td>-</td></tr>"));
  EXPECT_THAT(html, HasSubstr("<td>0.12346</td>"));
  // The chart itself: six digits, and null where there is no number.
  EXPECT_THAT(html, HasSubstr("\"y\":[0.5,null,0.123457]"));
  // Two grey pixels.
  EXPECT_THAT(html, HasSubstr("\"pictures\":[\"AP8=\"]"));
}

TEST(Page, CutsLongTables) {
  LineChart chart{.x = {.title = "step"}, .y = {.title = "loss"}};
  Line line{.name = "run"};
  for (int i = 0; i < 1000; ++i) {
    line.x.push_back(i);
    line.y.push_back(1.0 / (1 + i));
  }
  chart.lines.push_back(line);
  Page page{.title = "t", .summary = "", .made_by = "", .sections = {}};
  page.sections.push_back({"s", {Figure{"f", "It falls.", chart}}});
  const std::string html = page_html(page);
  EXPECT_THAT(html, HasSubstr("loss (60 of 1000)"));
  EXPECT_EQ(occurrences(html, "<th scope=\"row\">"), 60u);
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">0</th>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">999</th>"));
}

}  // namespace
}  // namespace evenrow::report
