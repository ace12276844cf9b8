// A data set as evenrow inspect shows it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/fail.hpp"
#include "data/column_moments.hpp"
#include "inspect.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"
#include "report/text.hpp"

namespace evenrow::cli {
namespace {

using report::Align;

constexpr std::size_t kColumnsShown = 40;
constexpr std::int64_t kValuesWidth = 41;  // what 80 columns leave for them

struct Extremes {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
};

// One pass over row-major data; missing values (NaN) compare false and are left out.
std::vector<Extremes> extremes(const Dataset& data) {
  std::vector<Extremes> all(data.columns.size());
  std::visit(
      [&](const auto& values) {
        for (std::size_t at = 0; at < values.size(); at += all.size()) {
          for (std::size_t k = 0; k < all.size(); ++k) {
            const auto value = static_cast<double>(values[at + k]);
            if (value < all[k].low) all[k].low = value;
            if (value > all[k].high) all[k].high = value;
          }
        }
      },
      data.values);
  return all;
}

// "3 categories: red 50 %, green 30 %, ...", the most frequent first.
std::string frequencies(const std::vector<std::string>& names,
                        const std::vector<std::int64_t>& counts, std::string_view what,
                        std::int64_t width) {
  std::vector<std::size_t> order(names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return counts[a] > counts[b]; });
  const auto total =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  std::string text = fmt::format("{} {}", names.size(), what);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::string next =
        fmt::format("{}{} {}", i == 0 ? ": " : ", ", report::shortened(names[order[i]], 14),
                    report::percent(static_cast<double>(counts[order[i]]) / total, 0));
    const std::int64_t room = width - (i + 1 < order.size() ? 5 : 0);
    if (report::display_width(text) + report::display_width(next) > room) {
      text += ", ...";
      break;
    }
    text += next;
  }
  return text;
}

std::vector<std::int64_t> category_counts(const Dataset& data, std::size_t column) {
  std::vector<std::int64_t> counts(data.columns[column].categories.size());
  std::visit(
      [&](const auto& values) {
        for (std::size_t at = column; at < values.size(); at += data.columns.size()) {
          const auto value = static_cast<double>(values[at]);
          if (!std::isnan(value)) ++counts[static_cast<std::size_t>(value)];
        }
      },
      data.values);
  return counts;
}

std::string numbers_text(double low, double high, const data::ColumnMoments& moments) {
  if (moments.count == 0) return "no values";
  if (low == high) return fmt::format("always {}", report::number(low));
  return fmt::format("{}, mean {}, std {}", report::range(low, high, 4),
                     report::number(moments.mean),
                     report::number(std::sqrt(moments.m2 / static_cast<double>(moments.count)), 3));
}

std::vector<data::ColumnMoments> all_moments(const Dataset& data) {
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(data.rows));
  std::iota(rows.begin(), rows.end(), 0u);
  return data::column_moments(data, rows, 0);
}

std::vector<std::int64_t> class_counts(const Target& target) {
  std::vector<std::int64_t> counts(target.spellings.size());
  for (const std::int32_t code : target.codes) {
    if (code >= 0) ++counts[static_cast<std::size_t>(code)];
  }
  return counts;
}

std::int64_t missing_targets(const Target& target) {
  if (target.codes.empty()) {
    return std::count_if(target.numbers.begin(), target.numbers.end(),
                         [](double value) { return std::isnan(value); });
  }
  return std::count(target.codes.begin(), target.codes.end(), -1);
}

std::string target_text(const Target& target) {
  constexpr std::size_t most_classes = 20;  // as Task::automatic counts
  if (!target.numeric || (!target.spellings.empty() && target.spellings.size() <= most_classes)) {
    return frequencies(target.spellings, class_counts(target), "classes", kValuesWidth);
  }
  Dataset alone{.rows = static_cast<std::int64_t>(target.numbers.size()),
                .columns = {{.name = target.name}},
                .values = target.numbers};
  const Extremes ends = extremes(alone)[0];
  return numbers_text(ends.low, ends.high, all_moments(alone)[0]);
}

std::string columns_text(const Dataset& data) {
  report::Table table({{.header = "column", .align = Align::left, .widest = 18},
                       {.header = "type", .align = Align::left},
                       {.header = "missing"},
                       {.header = "values", .align = Align::left}});
  const auto moments = all_moments(data);
  const auto ends = extremes(data);
  const std::size_t shown = std::min(data.columns.size(), kColumnsShown);
  for (std::size_t k = 0; k < shown; ++k) {
    const bool numeric = data.columns[k].kind == ColumnKind::numeric;
    table.add_row({data.columns[k].name, numeric ? "number" : "category",
                   report::count(data.rows - moments[k].count),
                   numeric ? numbers_text(ends[k].low, ends[k].high, moments[k])
                           : frequencies(data.columns[k].categories, category_counts(data, k),
                                         "categories", kValuesWidth)});
  }
  if (shown < data.columns.size()) {
    table.add_row({"...", "", "", fmt::format("{} more columns", data.columns.size() - shown)});
  }
  if (data.target) {
    table.add_row({data.target->name, "target", report::count(missing_targets(*data.target)),
                   target_text(*data.target)});
  }
  return table.text();
}

std::string images_text(const Dataset& data) {
  report::Table table({{.align = Align::left}, {.align = Align::left, .widest = 68}});
  const auto moments = all_moments(data);
  const auto ends = extremes(data);
  Extremes all;
  std::int64_t constant = 0;
  double mean = 0;
  for (std::size_t k = 0; k < ends.size(); ++k) {
    all.low = std::min(all.low, ends[k].low);
    all.high = std::max(all.high, ends[k].high);
    if (ends[k].low == ends[k].high) ++constant;
    mean += moments[k].mean / static_cast<double>(ends.size());
  }
  // Between-pixel variance and the mean within-pixel variance add up: every pixel has equally many.
  double variance = 0;
  for (const data::ColumnMoments& pixel : moments) {
    variance +=
        (pixel.m2 / static_cast<double>(pixel.count) + (pixel.mean - mean) * (pixel.mean - mean)) /
        static_cast<double>(moments.size());
  }
  table.add_row({"images", fmt::format("{} of {} x {} pixels", report::count(data.rows),
                                       data.image_height, data.image_width)});
  table.add_row({"pixels", fmt::format("{}, mean {}, std {}", report::range(all.low, all.high),
                                       report::number(mean), report::number(std::sqrt(variance)))});
  if (constant > 0) {
    table.add_row({"constant", fmt::format("{} pixels have one value in all images", constant)});
  }
  std::string text = table.text();
  if (data.target && !data.target->spellings.empty()) {
    report::Table classes(
        {{.header = "class", .align = Align::left}, {.header = "images"}, {.header = "part"}});
    const auto counts = class_counts(*data.target);
    const std::size_t shown = std::min(counts.size(), kColumnsShown);
    for (std::size_t k = 0; k < shown; ++k) {
      classes.add_row(
          {data.target->spellings[k], report::count(counts[k]),
           report::percent(static_cast<double>(counts[k]) / static_cast<double>(data.rows))});
    }
    if (shown < counts.size()) {
      classes.add_row({fmt::format("... {} more classes", counts.size() - shown)});
    }
    text += "\n";
    text += classes.text();
  }
  return text;
}

}  // namespace

std::string dataset_text(const Dataset& data) {
  std::string text = fmt::format("{}: {} rows, {} columns{}\n\n", report::printable(data.source),
                                 report::count(data.rows),
                                 report::count(static_cast<std::int64_t>(data.columns.size())),
                                 data.target ? " and the target" : ", no target");
  return text + (data.image_height > 0 ? images_text(data) : columns_text(data));
}

}  // namespace evenrow::cli
