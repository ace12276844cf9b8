#include "report/charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "report/numbers.hpp"

namespace evenrow::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostRows = 60;   // of a table beneath a line chart
constexpr std::size_t kMostTimes = 12;  // of a panel of bands

// Six digits are more than a picture shows, and a third of the bytes.
Json short_number(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == 0) return 0;
  const double scale = std::pow(10.0, 5 - std::floor(std::log10(std::abs(value))));
  const double rounded = std::round(value * scale) / scale;
  return std::isfinite(rounded) ? rounded : value;
}

Json numbers_json(const std::vector<double>& values) {
  Json json = Json::array();
  for (const double value : values) json.push_back(short_number(value));
  return json;
}

Json axis_json(const Axis& axis) {
  return {{"title", axis.title},
          {"logarithmic", axis.logarithmic},
          {"percent", axis.percent},
          {"whole", axis.whole},
          {"ticks", numbers_json(axis.ticks)}};
}

std::string cell(const Axis& axis, double value) {
  return axis.percent ? percent(value) : number(value, 5);
}

// `most` of `count` indices, the first and the last among them.
std::vector<std::size_t> spread(std::size_t count, std::size_t most) {
  std::vector<std::size_t> chosen;
  const std::size_t n = std::min(count, most);
  for (std::size_t i = 0; i < n; ++i) chosen.push_back(n < 2 ? 0 : i * (count - 1) / (n - 1));
  return chosen;
}

std::string rows_note(std::size_t shown, std::size_t all) {
  return shown == all ? "" : fmt::format(" ({} of {})", shown, all);
}

Json to_json(const LineChart& chart) {
  constexpr const char* kinds[] = {"line", "points", "crosses", "range"};
  Json lines = Json::array();
  for (const Line& line : chart.lines) {
    lines.push_back({{"name", line.name},
                     {"kind", kinds[static_cast<std::size_t>(line.kind)]},
                     {"colour", line.colour},
                     {"faint", line.faint},
                     {"x", numbers_json(line.x)},
                     {"y", numbers_json(line.y)},
                     {"low", numbers_json(line.low)},
                     {"high", numbers_json(line.high)}});
  }
  return {{"type", "lines"},
          {"x", axis_json(chart.x)},
          {"y", axis_json(chart.y)},
          {"lines", std::move(lines)}};
}

Grid table_of(const LineChart& chart) {
  Grid grid;
  grid.headers.push_back(chart.x.title);
  std::map<double, std::vector<std::vector<double>>> by_x;  // x: a list of values a line
  for (std::size_t k = 0; k < chart.lines.size(); ++k) {
    const Line& line = chart.lines[k];
    grid.headers.push_back(line.name);
    for (std::size_t i = 0; i < line.x.size(); ++i) {
      auto& cells = by_x[line.x[i]];
      cells.resize(chart.lines.size());
      cells[k].push_back(line.y[i]);
    }
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [x, cells] : by_x) {
    std::vector<std::string> row{number(x, 5)};
    for (const std::vector<double>& values : cells) {
      std::string text;
      for (const double value : values) {
        text += (text.empty() ? "" : ", ") + cell(chart.y, value);
      }
      row.push_back(text.empty() ? "-" : text);
    }
    rows.push_back(std::move(row));
  }
  for (const std::size_t i : spread(rows.size(), kMostRows)) grid.rows.push_back(rows[i]);
  grid.caption = chart.y.title + rows_note(grid.rows.size(), rows.size());
  return grid;
}

Json to_json(const BandChart& chart) {
  Json choices = Json::array();
  for (const BandChart::Choice& choice : chart.choices) {
    Json panels = Json::array();
    for (const BandChart::Panel& panel : choice.panels) {
      Json quantiles = Json::array();  // a list a quantile: a line of the chart each
      for (std::size_t q = 0; q < kQuantiles.size(); ++q) {
        std::vector<double> values;
        for (const Quantiles& all : panel.quantiles) values.push_back(all[q]);
        quantiles.push_back(numbers_json(values));
      }
      panels.push_back({{"name", panel.name},
                        {"colour", panel.colour},
                        {"x", numbers_json(panel.x)},
                        {"quantiles", std::move(quantiles)}});
    }
    choices.push_back({{"name", choice.name}, {"panels", std::move(panels)}});
  }
  return {{"type", "bands"},
          {"x", axis_json(chart.x)},
          {"y", axis_json(chart.y)},
          {"chosen", chart.chosen},
          {"choices", std::move(choices)}};
}

Grid table_of(const BandChart& chart) {
  Grid grid;
  grid.caption = fmt::format("{}: quantiles, at {} times at most", chart.y.title, kMostTimes);
  grid.headers = {chart.choice_title, "run", chart.x.title};
  for (const double quantile : kQuantiles) {
    grid.headers.push_back(fmt::format("{:g} %", 100 * quantile));
  }
  for (const BandChart::Choice& choice : chart.choices) {
    for (const BandChart::Panel& panel : choice.panels) {
      for (const std::size_t i : spread(panel.x.size(), kMostTimes)) {
        std::vector<std::string> row{choice.name, panel.name, number(panel.x[i])};
        for (const double value : panel.quantiles[i]) row.push_back(cell(chart.y, value));
        grid.rows.push_back(std::move(row));
      }
    }
  }
  return grid;
}

Json to_json(const BarChart& chart) {
  Json names = Json::array(), values = Json::array();
  for (const auto& [name, value] : chart.bars) {
    names.push_back(name);
    values.push_back(short_number(value));
  }
  return {{"type", "bars"},
          {"x", axis_json(chart.x)},
          {"names", std::move(names)},
          {"values", std::move(values)}};
}

Grid table_of(const BarChart& chart) {
  Grid grid;
  grid.caption = chart.x.title;
  grid.headers = {chart.label_title, chart.x.title};
  for (const auto& [name, value] : chart.bars) grid.rows.push_back({name, cell(chart.x, value)});
  return grid;
}

Json to_json(const ParallelChart& chart) {
  Json dimensions = Json::array(), items = Json::array();
  for (const ParallelChart::Dimension& dimension : chart.dimensions) {
    Json marks = Json::array();
    for (const auto& [height, text] : dimension.marks) {
      marks.push_back({{"height", short_number(height)}, {"text", text}});
    }
    Json parts = Json::array();
    for (const auto& [low, high] : dimension.parts) {
      parts.push_back({short_number(low), short_number(high)});
    }
    dimensions.push_back(
        {{"name", dimension.name}, {"marks", std::move(marks)}, {"parts", std::move(parts)}});
  }
  for (const ParallelChart::Item& item : chart.items) {
    items.push_back({{"name", item.name},
                     {"rank", short_number(item.rank)},
                     {"cells", item.cells},
                     {"heights", numbers_json(item.heights)}});
  }
  return {{"type", "parallel"}, {"dimensions", std::move(dimensions)}, {"items", std::move(items)}};
}

Grid table_of(const ParallelChart& chart) {
  Grid grid;
  grid.headers.push_back("trial");
  for (const ParallelChart::Dimension& dimension : chart.dimensions) {
    grid.headers.push_back(dimension.name);
  }
  // Items are drawn from the worst to the best; a table begins with the best.
  for (auto item = chart.items.rbegin(); item != chart.items.rend(); ++item) {
    if (grid.rows.size() == kMostRows) break;
    std::vector<std::string> row{item->name};
    row.insert(row.end(), item->cells.begin(), item->cells.end());
    grid.rows.push_back(std::move(row));
  }
  grid.caption = "Trials, the best first" + rows_note(grid.rows.size(), chart.items.size());
  return grid;
}

}  // namespace

Json chart_json(const Figure& figure) {
  return std::visit([](const auto& chart) { return to_json(chart); }, figure.chart);
}

Grid chart_table(const Figure& figure) {
  Grid grid = std::visit([](const auto& chart) { return table_of(chart); }, figure.chart);
  grid.folded = true;
  return grid;
}

}  // namespace evenrow::report
