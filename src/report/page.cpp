#include "report/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "report/assets.hpp"
#include "report/charts.hpp"
#include "report/numbers.hpp"
#include "report/text.hpp"

namespace evenrow::report {
namespace {

using Json = nlohmann::ordered_json;

// Text inside an element or a quoted attribute.
std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

// JSON inside a script element, which the characters "</script" or "<!--" would end: none of them
// is left. Bytes that are not UTF-8 become replacement characters.
std::string script_json(const Json& json) {
  std::string text;
  for (const char c : json.dump(-1, ' ', true, Json::error_handler_t::replace)) {
    if (c == '<' || c == '>' || c == '&') {
      text += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      text += c;
    }
  }
  return text;
}

std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) -> std::uint32_t {
      return i + k < bytes.size() ? bytes[i + k] : 0u;
    };
    const std::uint32_t group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? digits[(group >> (18 - 6 * k)) & 63u] : '=';
    }
  }
  return text;
}

// Writes the blocks of a page one after the other, and gathers what its script needs.
class Writer {
 public:
  std::string html;
  Json charts = Json::array(), pictures = Json::array();

  void section(const Section& section, std::size_t number) {
    html += fmt::format("<section aria-labelledby=\"s{0}\">\n<h2 id=\"s{0}\">{1}</h2>\n", number,
                        escaped(section.title));
    for (const Block& block : section.blocks) {
      std::visit([&](const auto& content) { write(content); }, block);
    }
    html += "</section>\n";
  }

 private:
  void write(const Paragraph& paragraph) {
    html += fmt::format("<p>{}</p>\n", escaped(paragraph.text));
  }

  void write(const Figure& figure) {
    const std::size_t id = charts.size();
    html += fmt::format("<figure aria-labelledby=\"f{0}\">\n<h3 id=\"f{0}\">{1}</h3>\n", id,
                        escaped(figure.title));
    const std::string label = escaped(figure.title + ". " + figure.finding);
    const auto* bands = std::get_if<BandChart>(&figure.chart);
    if (bands != nullptr) {
      choice(*bands, id);
      panels(*bands, id);
    } else {
      // Many axes beside each other need room: on a phone they are scrolled.
      const bool parallel = std::holds_alternative<ParallelChart>(figure.chart);
      if (parallel) {
        html +=
            fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n",
                        escaped(figure.title));
      }
      html += fmt::format(
          "<div class=\"plot{}\"><canvas id=\"c{}\" role=\"img\" "
          "aria-label=\"{}\"></canvas></div>\n",
          parallel ? " parallel" : "", id, label);
      if (parallel) html += "</div>\n";
    }
    html += fmt::format("<p class=\"finding\">{}</p>\n", escaped(figure.finding));
    if (!figure.note.empty()) {
      html += fmt::format("<p class=\"note\">{}</p>\n", escaped(figure.note));
    }
    write(chart_table(figure));
    html += "</figure>\n";
    charts.push_back(chart_json(figure));
  }

  void choice(const BandChart& chart, std::size_t id) {
    html += fmt::format("<p class=\"choice\"><label for=\"o{0}\">{1}</label> <select id=\"o{0}\">",
                        id, escaped(chart.choice_title));
    for (std::size_t i = 0; i < chart.choices.size(); ++i) {
      html += fmt::format("<option value=\"{}\"{}>{}</option>", i,
                          i == chart.chosen ? " selected" : "", escaped(chart.choices[i].name));
    }
    html += "</select></p>\n";
  }

  // A canvas for as many panels as the choice with the most has.
  void panels(const BandChart& chart, std::size_t id) {
    std::size_t most = 0;
    for (const BandChart::Choice& one : chart.choices) most = std::max(most, one.panels.size());
    html += "<div class=\"panels\">\n";
    for (std::size_t i = 0; i < most; ++i) {
      html += fmt::format(
          "<div class=\"panel\"><p id=\"t{0}-{1}\"></p><div class=\"plot\"><canvas id=\"c{0}-{1}\" "
          "role=\"img\" aria-labelledby=\"f{0} t{0}-{1}\"></canvas></div></div>\n",
          id, i);
    }
    html += "</div>\n";
  }

  void write(const Grid& grid) {
    if (grid.rows.empty()) return;
    const std::string caption = escaped(grid.caption);
    if (grid.folded) {
      html += fmt::format(
          "<details>\n<summary>Numbers<span class=\"hidden\">: {}</span></summary>\n", caption);
    }
    html += fmt::format(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table{1}>"
        "<caption>{0}</caption>\n",
        caption, grid.numbers ? " class=\"numbers\"" : "");
    if (!grid.headers.empty()) {
      html += "<thead><tr>";
      for (const std::string& header : grid.headers) {
        html += fmt::format("<th scope=\"col\">{}</th>", escaped(header));
      }
      html += "</tr></thead>\n";
    }
    html += "<tbody>\n";
    for (const std::vector<std::string>& row : grid.rows) {
      html += "<tr>";
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::string cell = escaped(row[i]);
        html += i == 0 ? "<th scope=\"row\">" + cell + "</th>" : "<td>" + cell + "</td>";
      }
      html += "</tr>\n";
    }
    html += "</tbody></table></div>\n";
    if (grid.folded) html += "</details>\n";
  }

  void write(const Matrix& matrix) {
    const std::size_t classes = matrix.classes.size();
    std::int64_t longest = 0;
    for (const std::string& name : matrix.classes) {
      longest = std::max(longest, display_width(name));
    }
    html += fmt::format(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n"
        "<table class=\"matrix{1}\"><caption>{0}</caption>\n<thead><tr><th scope=\"col\">true</th>",
        escaped(matrix.caption), longest <= 5 ? " short" : "");
    for (const std::string& name : matrix.classes) {
      html += fmt::format("<th scope=\"col\"><span>{}</span></th>", escaped(shortened(name, 20)));
    }
    html += "<th scope=\"col\"><span>right</span></th></tr></thead>\n<tbody>\n";
    for (std::size_t truth = 0; truth < classes; ++truth) {
      std::int64_t rows = 0;
      for (std::size_t k = 0; k < classes; ++k) rows += matrix.counts[truth * classes + k];
      html += fmt::format("<tr><th scope=\"row\">{}</th>",
                          escaped(shortened(matrix.classes[truth], 20)));
      for (std::size_t k = 0; k < classes; ++k) {
        // Shades grow with the square root: what is wrong is seldom, and is what one looks for.
        const std::int64_t cell = matrix.counts[truth * classes + k];
        const double part = rows > 0 ? static_cast<double>(cell) / static_cast<double>(rows) : 0;
        const int shade = cell == 0 ? 0 : 1 + static_cast<int>(8.0 * std::sqrt(part));
        html += fmt::format("<td class=\"h{}{}\">{}</td>", shade, k == truth ? " right" : "",
                            cell == 0 ? "·" : count(cell));
      }
      const double right = rows > 0 ? static_cast<double>(matrix.counts[truth * classes + truth]) /
                                          static_cast<double>(rows)
                                    : std::nan("");
      html += fmt::format("<td>{}</td></tr>\n", percent(right, 1));
    }
    html += "</tbody></table></div>\n";
  }

  void write(const Pictures& block) {
    html += fmt::format("<p class=\"caption\">{}</p>\n<ul class=\"pictures\">\n",
                        escaped(block.caption));
    for (const Pictures::Item& item : block.items) {
      html += fmt::format(
          "<li><canvas id=\"p{}\" width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"{}\">"
          "</canvas><span>{}</span></li>\n",
          pictures.size(), block.width, block.height, escaped(item.caption), escaped(item.caption));
      pictures.push_back(base64(item.pixels));
    }
    html += "</ul>\n";
  }
};

// `text` with every @NAME@ replaced by what `values` has for it, in one pass: what is put in is not
// looked at again.
std::string filled(std::string_view text, const std::map<std::string_view, std::string>& values) {
  std::string result;
  for (std::size_t at = 0;;) {
    const std::size_t begin = text.find('@', at);
    if (begin == std::string_view::npos) return result.append(text.substr(at));
    const std::size_t end = text.find('@', begin + 1);
    result.append(text.substr(at, begin - at));
    result.append(values.at(text.substr(begin + 1, end - begin - 1)));
    at = end + 1;
  }
}

}  // namespace

std::string page_html(const Page& page) {
  Writer writer;
  std::string contents;
  for (std::size_t i = 0; i < page.sections.size(); ++i) {
    writer.section(page.sections[i], i);
    contents +=
        fmt::format("<li><a href=\"#s{}\">{}</a></li>\n", i, escaped(page.sections[i].title));
  }
  const std::string policy = fmt::format(
      "default-src 'none'; script-src {} {}; style-src {}; base-uri 'none'; form-action 'none'",
      assets::chart_hash, assets::js_hash, assets::css_hash);
  return filled(assets::html,
                {{"POLICY", policy},
                 {"MADE_BY", escaped(page.made_by)},
                 {"TITLE", escaped(page.title)},
                 {"SUMMARY", escaped(page.summary)},
                 {"CONTENTS", contents},
                 {"SECTIONS", writer.html},
                 {"DATA", script_json({{"charts", writer.charts}, {"pictures", writer.pictures}})},
                 {"LICENCE", std::string(assets::licence)},
                 {"CSS", std::string(assets::css)},
                 {"CHART", std::string(assets::chart)},
                 {"JS", std::string(assets::js)}});
}

}  // namespace evenrow::report
