// Where a model errs: confusion matrix and the rows that were wrong, or predictions beside truths.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/numbers.hpp"
#include "report/sections.hpp"

namespace evenrow::report {
namespace {

constexpr std::size_t kMostClasses = 20;  // of a matrix
constexpr std::size_t kPairsShown = 15;

struct Pair {
  std::size_t truth, predicted;
  std::int64_t rows;
};

std::vector<Pair> confused_pairs(const RunErrors& errors) {
  const std::size_t classes = errors.classes.size();
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < errors.confusion.size(); ++i) {
    const Pair pair{i / classes, i % classes, errors.confusion[i]};
    if (pair.truth != pair.predicted && pair.rows > 0) pairs.push_back(pair);
  }
  std::ranges::stable_sort(pairs, std::greater<>(), &Pair::rows);
  return pairs;
}

std::string confusion_finding(const RunErrors& errors, const std::vector<Pair>& pairs) {
  const std::string whole =
      fmt::format("{} rows of {} ({} data)", count(errors.rows), errors.data, errors.part);
  if (pairs.empty()) return fmt::format("All {} are right.", whole);
  const std::size_t classes = errors.classes.size();
  std::int64_t wrong = 0, truths = 0;
  for (const Pair& pair : pairs) wrong += pair.rows;
  for (std::size_t k = 0; k < classes; ++k)
    truths += errors.confusion[pairs[0].truth * classes + k];
  return fmt::format(
      "Of {}, {} are wrong ({}). Confused most: “{}” taken for “{}”, {} of {} rows ({}).", whole,
      count(wrong), percent(static_cast<double>(wrong) / static_cast<double>(errors.rows), 1),
      errors.classes[pairs[0].truth], errors.classes[pairs[0].predicted], count(pairs[0].rows),
      count(truths), percent(static_cast<double>(pairs[0].rows) / static_cast<double>(truths), 1));
}

void add_confusion(std::vector<Block>& blocks, const RunErrors& errors) {
  const std::vector<Pair> pairs = confused_pairs(errors);
  blocks.push_back(Paragraph{confusion_finding(errors, pairs)});
  if (errors.classes.size() <= kMostClasses) {
    blocks.push_back(
        Matrix{.caption = "Confusion matrix: a line a true class, a column a predicted one",
               .classes = errors.classes,
               .counts = errors.confusion});
    return;
  }
  const std::size_t shown = std::min(pairs.size(), kPairsShown);
  Grid grid{.caption = fmt::format("Classes confused most ({} of {} pairs)", shown, pairs.size()),
            .headers = {"true", "predicted", "rows"},
            .rows = {}};
  for (std::size_t i = 0; i < shown; ++i) {
    grid.rows.push_back(
        {errors.classes[pairs[i].truth], errors.classes[pairs[i].predicted], count(pairs[i].rows)});
  }
  blocks.push_back(std::move(grid));
}

void add_predictions(std::vector<Block>& blocks, const RunErrors& errors) {
  const auto& sorted = errors.absolute_errors;
  if (sorted.empty()) return;
  const auto within = [&](double part) {
    return number(sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))],
                  3);
  };
  const auto [low, high] = std::ranges::minmax(errors.truths);
  LineChart chart{.x = {.title = fmt::format("true {}", errors.target)},
                  .y = {.title = fmt::format("predicted {}", errors.target)}};
  chart.lines.push_back(
      {.name = "row", .kind = Line::Kind::points, .x = errors.truths, .y = errors.predictions});
  chart.lines.push_back({.name = "where predictions are right",
                         .colour = 1,
                         .faint = true,
                         .x = {low, high},
                         .y = {low, high}});
  blocks.push_back(Figure{
      .title = "Predictions beside the truth",
      .finding = fmt::format(
          "Half of the {} rows of {} ({} data) are predicted to within {}, 90 % to within {}.",
          count(errors.rows), errors.data, errors.part, within(0.5), within(0.9)),
      .chart = std::move(chart),
      .note = errors.truths.size() < sorted.size()
                  ? fmt::format("{} of {} rows, evenly spaced in the file.",
                                count(std::ssize(errors.truths)), count(std::ssize(sorted)))
                  : std::string()});
}

void add_examples(std::vector<Block>& blocks, const RunErrors& errors) {
  if (!errors.without_examples.empty()) {
    blocks.push_back(Paragraph{errors.without_examples});
    return;
  }
  if (errors.mistakes.empty()) return;
  const bool classes = !errors.classes.empty();
  if (errors.image_height > 0) {
    Pictures pictures{.caption =
                          "Images that were wrong, the surest first: true class, then what it was "
                          "taken for, with its probability",
                      .height = errors.image_height,
                      .width = errors.image_width,
                      .items = {}};
    for (const Mistake& mistake : errors.mistakes) {
      pictures.items.push_back(
          {mistake.pixels,
           classes ? fmt::format("{}, taken for {} ({})", mistake.truth, mistake.predicted,
                                 percent(mistake.probability, 0))
                   : fmt::format("{}, predicted {}", mistake.truth, mistake.predicted)});
    }
    blocks.push_back(std::move(pictures));
    return;
  }
  Grid grid{.caption =
                classes ? "Rows that were wrong, the surest first" : "Rows with the largest errors",
            .headers = {"row", "true", "predicted"},
            .rows = {},
            .numbers = false};
  if (classes) grid.headers.push_back("probability");
  grid.headers.insert(grid.headers.end(), errors.columns.begin(), errors.columns.end());
  for (const Mistake& mistake : errors.mistakes) {
    std::vector<std::string> row{count(mistake.row), mistake.truth, mistake.predicted};
    if (classes) row.push_back(percent(mistake.probability, 0));
    row.insert(row.end(), mistake.cells.begin(), mistake.cells.end());
    grid.rows.push_back(std::move(row));
  }
  blocks.push_back(std::move(grid));
}

}  // namespace

std::vector<Block> error_blocks(const RunData& run) {
  std::vector<Block> blocks;
  if (!run.errors) return blocks;
  if (run.errors->classes.empty()) {
    add_predictions(blocks, *run.errors);
  } else {
    add_confusion(blocks, *run.errors);
  }
  add_examples(blocks, *run.errors);
  return blocks;
}

}  // namespace evenrow::report
