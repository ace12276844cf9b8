#include "confusion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "report/numbers.hpp"
#include "report/table.hpp"
#include "report/text.hpp"

namespace evenrow::cli {
namespace {

using report::Align;

constexpr std::size_t kMostClasses = 20;
constexpr std::size_t kPairsShown = 10;
constexpr std::int64_t kGap = 2;  // of report::Table

std::int64_t longest(const std::vector<std::string>& names) {
  std::int64_t width = 0;
  for (const std::string& name : names) width = std::max(width, report::display_width(name));
  return width;
}

// The matrix with class names (shortened) or their numbers above the columns.
report::Table matrix(const Confusion& confusion, std::int64_t label_width, std::int64_t cell_width,
                     bool numbered) {
  std::vector<report::TableColumn> columns{
      {.header = "true", .align = Align::left, .widest = label_width}};
  for (std::size_t k = 0; k < confusion.size(); ++k) {
    columns.push_back({.header = numbered ? fmt::format("{}", k + 1)
                                          : report::shortened(confusion.classes[k], cell_width)});
  }
  report::Table table(std::move(columns));
  for (std::size_t truth = 0; truth < confusion.size(); ++truth) {
    std::vector<std::string> cells{
        numbered ? fmt::format("{:>2} {}", truth + 1, confusion.classes[truth])
                 : confusion.classes[truth]};
    for (std::size_t k = 0; k < confusion.size(); ++k) {
      const std::int64_t count = confusion.at(truth, k);
      cells.push_back(count == 0 ? "." : fmt::format("{}", count));
    }
    table.add_row(std::move(cells));
  }
  return table;
}

std::string most_confused_pairs(const Confusion& confusion) {
  struct Pair {
    std::size_t truth, predicted;
    std::int64_t count;
  };
  std::vector<Pair> pairs;
  for (std::size_t truth = 0; truth < confusion.size(); ++truth) {
    for (std::size_t k = 0; k < confusion.size(); ++k) {
      if (k != truth && confusion.at(truth, k) > 0) {
        pairs.push_back({truth, k, confusion.at(truth, k)});
      }
    }
  }
  if (pairs.empty()) return "no two classes are confused\n";
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  const std::size_t shown = std::min(pairs.size(), kPairsShown);
  report::Table table({{.header = "true", .align = Align::left, .widest = 28},
                       {.header = "predicted", .align = Align::left, .widest = 28},
                       {.header = "rows"}});
  for (std::size_t i = 0; i < shown; ++i) {
    table.add_row({confusion.classes[pairs[i].truth], confusion.classes[pairs[i].predicted],
                   report::count(pairs[i].count)});
  }
  return fmt::format("most confused classes ({} of {} pairs)\n", shown, pairs.size()) +
         table.text();
}

}  // namespace

std::string confusion_text(const Confusion& confusion) {
  const std::string title = "confusion matrix: a line a true class, a column a predicted one\n";
  const auto classes = static_cast<std::int64_t>(confusion.size());
  if (confusion.size() <= kMostClasses) {
    constexpr std::int64_t widest_label = 14, narrowest_name = 5;
    const std::int64_t names = longest(confusion.classes);
    const std::int64_t label_width = std::min(names, widest_label);
    const std::int64_t cell_width = std::min(
        names, (report::kLineWidth - label_width) / std::max<std::int64_t>(classes, 1) - kGap);
    if (cell_width >= std::min(names, narrowest_name)) {
      const report::Table table = matrix(confusion, label_width, cell_width, false);
      if (table.width() <= report::kLineWidth) return title + table.text();
    }
    for (const std::int64_t width : {widest_label, std::int64_t{8}}) {
      const report::Table table = matrix(confusion, width, 0, true);
      if (table.width() <= report::kLineWidth) return title + table.text();
    }
  }
  return most_confused_pairs(confusion);
}

std::string class_scores_text(const Confusion& confusion) {
  struct Scores {
    std::int64_t rows = 0;
    double precision = 0, recall = 0, f1 = 0;
  };
  const auto ratio = [](std::int64_t part, std::int64_t whole) {
    return whole == 0 ? std::numeric_limits<double>::quiet_NaN()
                      : static_cast<double>(part) / static_cast<double>(whole);
  };
  std::vector<Scores> scores;
  for (std::size_t k = 0; k < confusion.size(); ++k) {
    std::int64_t truths = 0, predictions = 0;
    for (std::size_t j = 0; j < confusion.size(); ++j) {
      truths += confusion.at(k, j);
      predictions += confusion.at(j, k);
    }
    const std::int64_t right = confusion.at(k, k);
    scores.push_back({truths, ratio(right, predictions), ratio(right, truths),
                      ratio(2 * right, truths + predictions)});
  }
  std::vector<std::size_t> order(confusion.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::string title;
  if (order.size() > kMostClasses) {
    // A class that is neither true nor predicted anywhere has no F1; it goes last.
    const auto key = [&](std::size_t k) { return scores[k].f1 >= 0 ? scores[k].f1 : 2.0; };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
    title = fmt::format("the {} classes with the lowest F1, of {}\n", kPairsShown, order.size());
    order.resize(kPairsShown);
  }
  report::Table table({{.header = "class", .align = Align::left, .widest = 30},
                       {.header = "rows"},
                       {.header = "precision"},
                       {.header = "recall"},
                       {.header = "F1"}});
  for (const std::size_t k : order) {
    table.add_row({confusion.classes[k], report::count(scores[k].rows),
                   report::percent(scores[k].precision), report::percent(scores[k].recall),
                   report::percent(scores[k].f1)});
  }
  return title + table.text();
}

}  // namespace evenrow::cli
