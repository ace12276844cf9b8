// A grid of runs over one varied value, with and without batch norm: results, the usable range, and
// the gap between training and validation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/numbers.hpp"
#include "report/sections.hpp"

namespace evenrow::report {
namespace {

constexpr double kMargin = 0.02;  // below the best accuracy: within it a value is usable

struct Words {
  std::string axis, one;  // "learning rate", "a learning rate"
  bool logarithmic;
};

Words words_of(const std::string& vary) {
  if (vary == "lr") return {"learning rate", "learning rates", true};
  if (vary == "batch-size") return {"batch size", "batch sizes", true};
  if (vary == "init-scale") return {"scale of the initial weights", "scales", true};
  if (vary == "input-scale") return {"scale of the inputs", "scales", true};
  if (vary == "depth") return {"hidden blocks", "depths", false};
  return {vary, "values", false};
}

std::string norm_label(const std::string& norm) {
  if (norm == "batch") return "with batch norm";
  if (norm == "none") return "without batch norm";
  return "with norm " + norm;
}

int norm_colour(const ComparisonData& comparison, const std::string& norm) {
  if (norm == "batch") return 0;
  if (norm == "none") return 1;
  return 2 + static_cast<int>(std::ranges::find(comparison.norms, norm) - comparison.norms.begin());
}

// Mean, lowest and highest of a quantity over the seeds of every value; diverged runs are left out.
template <class Value>
Line line_of(const ComparisonData& comparison, const std::string& norm, Value value) {
  Line line{.name = norm_label(norm), .colour = norm_colour(comparison, norm)};
  for (const double x : comparison.values) {
    double sum = 0, low = kNone, high = kNone;
    std::int64_t n = 0;
    for (const ComparedRun& run : comparison.runs) {
      const double here = run.norm == norm && run.value == x ? value(run) : kNone;
      if (!std::isfinite(here)) continue;
      sum += here;
      low = std::fmin(low, here);
      high = std::fmax(high, here);
      ++n;
    }
    line.x.push_back(x);
    line.y.push_back(n > 0 ? sum / static_cast<double>(n) : kNone);
    line.low.push_back(low);
    line.high.push_back(high);
  }
  const bool spread = std::ranges::any_of(
      line.low, [&, i = std::size_t{0}](double low) mutable { return low < line.high[i++]; });
  if (!spread) line.low.clear(), line.high.clear();
  return line;
}

std::string size_text(const UsableRange& range) {
  if (std::isnan(range.low)) return "no value";
  std::string text = fmt::format("{}{} {}", range.open_low || range.open_high ? "at least " : "",
                                 number(range.size, 2), range.unit);
  text += fmt::format(" ({} to {}", number(range.low, 3), number(range.high, 3));
  if (std::isfinite(range.interval_low)) {
    text += fmt::format("; bootstrap interval {} to {}", number(range.interval_low, 2),
                        number(range.interval_high, 2));
  }
  return text + ")";
}

const UsableRange* range_of(const ComparisonData& comparison, const std::string& norm) {
  const auto found = std::ranges::find(comparison.ranges, norm, &UsableRange::norm);
  return found == comparison.ranges.end() ? nullptr : &*found;
}

std::string range_finding(const ComparisonData& comparison) {
  std::string text = "The usable range is ";
  for (std::size_t i = 0; i < comparison.ranges.size(); ++i) {
    const UsableRange& range = comparison.ranges[i];
    text += fmt::format("{}{} {}",
                        i == 0                              ? ""
                        : i + 1 == comparison.ranges.size() ? " and "
                                                            : ", ",
                        size_text(range), norm_label(range.norm));
  }
  const UsableRange *batch = range_of(comparison, "batch"), *none = range_of(comparison, "none");
  if (batch == nullptr || none == nullptr || std::isnan(batch->size) || std::isnan(none->size)) {
    return text + ".";
  }
  const double wider = batch->size - none->size;
  if (std::abs(wider) < 1e-9) return text + ": batch norm did not change it here.";
  return text + fmt::format(": batch norm made it {} by {} {}.", wider > 0 ? "wider" : "narrower",
                            number(std::abs(wider), 2), batch->unit);
}

void add_sensitivity(std::vector<Block>& blocks, const ComparisonData& comparison) {
  const Words words = words_of(comparison.vary);
  const bool accuracy = comparison.metric == "accuracy";
  LineChart chart{
      .x = {.title = words.axis, .logarithmic = words.logarithmic, .ticks = comparison.values},
      .y = {.title = "validation " + comparison.metric, .percent = accuracy}};
  double bottom = kNone;
  for (const ComparedRun& run : comparison.runs) {
    bottom = comparison.maximize ? std::fmin(bottom, run.score) : std::fmax(bottom, run.score);
  }
  std::int64_t diverged = 0;
  std::vector<Line> lost;
  for (const std::string& norm : comparison.norms) {
    chart.lines.push_back(
        line_of(comparison, norm, [](const ComparedRun& run) { return run.score; }));
    Line cross{.name = norm_label(norm) + ", diverged",
               .kind = Line::Kind::points,
               .colour = norm_colour(comparison, norm)};
    for (const ComparedRun& run : comparison.runs) {
      if (run.norm != norm || !std::isnan(run.score)) continue;
      ++diverged;
      cross.x.push_back(run.value);
      cross.y.push_back(bottom);
    }
    if (!cross.x.empty()) lost.push_back(std::move(cross));
  }
  for (const UsableRange& range : comparison.ranges) {
    if (std::isnan(range.low)) continue;
    const double y = accuracy ? range.best - kMargin : range.best;
    chart.lines.push_back({.name = norm_label(range.norm) + ", usable",
                           .kind = Line::Kind::range,
                           .colour = norm_colour(comparison, range.norm),
                           .x = {range.low, range.high},
                           .y = {y, y}});
  }
  std::ranges::move(lost, std::back_inserter(chart.lines));
  std::string note = comparison.norms.empty()
                         ? ""
                         : "Lines: means over the seeds. Thick bars: the usable range, the values "
                           "whose result is close to the best one of the same normalization";
  note += accuracy ? " (within 2 points)." : ".";
  if (diverged > 0)
    note += fmt::format(" {} of {} runs diverged; their points lie at the edge.", diverged,
                        comparison.runs.size());
  std::string title = words.axis;
  title[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[0])));
  blocks.push_back(Figure{.title = title + " and result",
                          .finding = range_finding(comparison),
                          .chart = std::move(chart),
                          .note = note});
}

std::string gap_text(const Line& line, bool accuracy) {
  const auto text = [&](double gap) {
    return accuracy ? fmt::format("{:.2f} points", 100 * gap) : number(gap, 3);
  };
  return fmt::format("{} at {} and {} at {}", text(line.y.front()), number(line.x.front()),
                     text(line.y.back()), number(line.x.back()));
}

void add_gap(std::vector<Block>& blocks, const ComparisonData& comparison) {
  const bool accuracy = comparison.metric == "accuracy";
  const double sign = comparison.maximize ? 1.0 : -1.0;
  LineChart chart{.x = {.title = "batch size", .logarithmic = true, .ticks = comparison.values},
                  .y = {.title = "training - validation", .percent = accuracy}};
  if (!comparison.maximize) chart.y.title = "validation - training";
  std::string text, verdict;
  for (const std::string& norm : comparison.norms) {
    Line line = line_of(comparison, norm, [&](const ComparedRun& run) {
      return sign * (run.training_score - run.score);
    });
    Line known = line;  // without the values whose runs all diverged
    known.x.clear(), known.y.clear();
    for (std::size_t i = 0; i < line.x.size(); ++i) {
      if (std::isnan(line.y[i])) continue;
      known.x.push_back(line.x[i]);
      known.y.push_back(line.y[i]);
    }
    if (known.x.size() > 1) {
      text += fmt::format("{}{} the gap is {}", text.empty() ? "" : "; ", norm_label(norm),
                          gap_text(known, accuracy));
      if (norm == "batch") {
        verdict = known.y.front() < known.y.back()
                      ? ". Small mini-batches regularized with batch norm here"
                      : ". Small mini-batches did not regularize with batch norm here";
      }
    }
    chart.lines.push_back(std::move(line));
  }
  if (text.empty()) return;
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  blocks.push_back(Figure{.title = "Gap between training and validation",
                          .finding = text + verdict + ".",
                          .chart = std::move(chart)});
}

Grid range_grid(const ComparisonData& comparison) {
  Grid grid{
      .caption = "Usable range",
      .headers = {"normalization", "best " + comparison.metric, "from", "to", "size", "interval"},
      .rows = {}};
  for (const UsableRange& range : comparison.ranges) {
    grid.rows.push_back(
        {norm_label(range.norm),
         comparison.metric == "accuracy" ? percent(range.best) : number(range.best),
         std::isnan(range.low) ? "-" : number(range.low, 3) + (range.open_low ? " or less" : ""),
         std::isnan(range.high) ? "-" : number(range.high, 3) + (range.open_high ? " or more" : ""),
         number(range.size, 3) + " " + range.unit,
         report::range(range.interval_low, range.interval_high, 3)});
  }
  return grid;
}

}  // namespace

std::vector<Block> comparison_blocks(const ComparisonData& comparison) {
  std::vector<Block> blocks;
  double seconds = 0;
  for (const ComparedRun& run : comparison.runs)
    seconds += std::isnan(run.seconds) ? 0 : run.seconds;
  blocks.push_back(Paragraph{
      fmt::format("{} runs: {} {}, {} normalizations; {} of training in all.",
                  comparison.runs.size(), comparison.values.size(), words_of(comparison.vary).one,
                  comparison.norms.size(), duration(seconds))});
  add_sensitivity(blocks, comparison);
  if (comparison.vary == "batch-size") add_gap(blocks, comparison);
  blocks.push_back(range_grid(comparison));
  return blocks;
}

}  // namespace evenrow::report
