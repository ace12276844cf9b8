// A grid of runs over one varied value, with and without batch norm: results, the usable range, and
// the gap between training and validation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "report/numbers.hpp"
#include "report/sections.hpp"

namespace evenrow::report {
namespace {

struct Words {
  std::string axis, many;  // "learning rate", "learning rates"
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

// Mean, lowest and highest of a quantity over the seeds of every value; NaN is left out.
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
  if (!spread) {
    line.low.clear();
    line.high.clear();
  }
  return line;
}

// Without the trailing zeros that line numbers up in a table.
std::string brief(double value) {
  return fmt::format("{:.3g}", value);
}

std::string size_text(const UsableRange& range) {
  if (std::isnan(range.low)) return "no value";
  std::string text = fmt::format("{}{} {}", range.open_low || range.open_high ? "at least " : "",
                                 number(range.size, 2), range.unit);
  text += fmt::format(" ({} to {}", brief(range.low), brief(range.high));
  if (range.interval_low < range.interval_high) {
    text += fmt::format("; 95 % interval {} to {}", number(range.interval_low, 2),
                        number(range.interval_high, 2));
  }
  return text + ")";
}

const UsableRange* range_of(const ComparisonData& comparison, const std::string& norm) {
  const auto found = std::ranges::find(comparison.ranges, norm, &UsableRange::norm);
  return found == comparison.ranges.end() ? nullptr : &*found;
}

// A range of seeds has no ends: it is how many are good enough.
std::string seeds_finding(const ComparisonData& comparison) {
  std::string text = fmt::format("Within {} points of the best of all results are ",
                                 number(100 * comparison.margin));
  for (const UsableRange& range : comparison.ranges) {
    text += fmt::format("{}{} of {} seeds {}", &range == &comparison.ranges.front() ? "" : ", ",
                        number(range.size), comparison.values.size(), norm_label(range.norm));
  }
  return text + ".";
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
  if (std::abs(wider) < 1e-9) return text + ": among these values batch norm did not change it.";
  return text + fmt::format(": batch norm made it {} by {} {}.", wider > 0 ? "wider" : "narrower",
                            number(std::abs(wider), 2), batch->unit);
}

// As the usable range counts it: a run that diverged knows nothing.
double counted(const ComparedRun& run) {
  return run.score > 0 ? run.score : 0.0;
}

void add_ranges(LineChart& chart, const ComparisonData& comparison) {
  const double good_enough = comparison.best - comparison.margin;
  chart.lines.push_back({.name = fmt::format("{:g} points below the best", 100 * comparison.margin),
                         .colour = 5,
                         .faint = true,
                         .x = {comparison.values.front(), comparison.values.back()},
                         .y = {good_enough, good_enough}});
  double lowest = good_enough;
  for (const ComparedRun& run : comparison.runs) lowest = std::min(lowest, counted(run));
  // Beneath that line, one below the other.
  double y = good_enough;
  for (const UsableRange& range : comparison.ranges) {
    y -= 0.05 * std::max(comparison.best - lowest, comparison.margin);
    if (std::isnan(range.low)) continue;
    chart.lines.push_back({.name = fmt::format("usable {}: {:.2g} {}", norm_label(range.norm),
                                               range.size, range.unit),
                           .kind = Line::Kind::range,
                           .colour = norm_colour(comparison, range.norm),
                           .x = {range.low, range.high},
                           .y = {y, y}});
  }
}

void add_sensitivity(std::vector<Block>& blocks, const ComparisonData& comparison) {
  const Words words = words_of(comparison.vary);
  LineChart chart{
      .x = {.title = words.axis, .logarithmic = words.logarithmic, .ticks = comparison.values},
      .y = {.title = fmt::format("validation {}", comparison.metric),
            .percent = comparison.metric == "accuracy"}};
  for (const std::string& norm : comparison.norms) {
    chart.lines.push_back(line_of(comparison, norm, counted));
  }
  add_ranges(chart, comparison);
  std::int64_t diverged = 0;
  for (const std::string& norm : comparison.norms) {
    Line crosses{.name = norm_label(norm) + ", diverged",
                 .kind = Line::Kind::crosses,
                 .colour = norm_colour(comparison, norm)};
    for (const ComparedRun& run : comparison.runs) {
      if (run.norm != norm || !std::isnan(run.score)) continue;
      crosses.x.push_back(run.value);
      crosses.y.push_back(0);
    }
    diverged += std::ssize(crosses.x);
    if (!crosses.x.empty()) chart.lines.push_back(std::move(crosses));
  }
  const bool of_seeds = comparison.vary == "seed";
  std::string note =
      of_seeds ? "A seed is where the initial weights and the order of examples come from."
               : fmt::format(
                     "Lines: means over the seeds, bands from the worst to the best seed. Thick "
                     "bars: where a line is at most {} points below the best of all results.",
                     number(100 * comparison.margin));
  if (diverged > 0) {
    note +=
        fmt::format(" {} of {} runs diverged and count as 0.", diverged, comparison.runs.size());
  }
  std::string title = words.axis;
  title[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[0])));
  blocks.push_back(
      Figure{.title = title + " and result",
             .finding = of_seeds ? seeds_finding(comparison) : range_finding(comparison),
             .chart = std::move(chart),
             .note = note});
}

// How a quantity goes with the batch size. Of all pairs of sizes, how many have it larger for the
// larger size, and how many smaller; and whether that is clearer than chance: Kendall's test, by
// which at most one in twenty random orders is as clear, in either direction.
struct Trend {
  explicit Trend(const std::vector<double>& y) {
    const std::size_t n = y.size();
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j) {
        ++pairs;
        rising += y[j] > y[i] ? 1 : 0;
        falling += y[j] < y[i] ? 1 : 0;
      }
    }
    // Orders of n values by how many pairs fall, as parts of all orders: a value that comes last
    // falls below 0 to n - 1 of those before it.
    std::vector<double> orders{1.0};
    for (std::size_t k = 2; k <= n; ++k) {
      std::vector<double> longer(orders.size() + k - 1);
      for (std::size_t i = 0; i < orders.size(); ++i) {
        for (std::size_t more = 0; more < k; ++more) {
          longer[i + more] += orders[i] / static_cast<double>(k);
        }
      }
      orders = std::move(longer);
    }
    // With ties, which are of neither kind, the nearest order that is less clear.
    const auto other = static_cast<std::size_t>((pairs - std::abs(rising - falling)) / 2);
    double tail = 0;
    for (std::size_t i = 0; i < orders.size() && i <= other; ++i) tail += orders[i];
    clear = rising != falling && 2 * tail <= 0.05;
    can_be_clear = 2 * orders.front() <= 0.05;
  }
  bool grows() const { return clear && rising > falling; }

  std::int64_t pairs = 0, rising = 0, falling = 0;
  bool clear = false, can_be_clear = false;
};

std::string trend_text(const Trend& trend) {
  const auto of = [&](std::int64_t count) { return fmt::format("{} of {}", count, trend.pairs); };
  if (!trend.can_be_clear) return "too few sizes to tell a trend";
  if (trend.grows()) return "the larger of two sizes has the larger one in " + of(trend.rising);
  if (trend.clear) return "the larger of two sizes has the smaller one in " + of(trend.falling);
  return fmt::format("no clear trend: the larger of two sizes has the larger one in {} pairs",
                     of(trend.rising));
}

// What is to be said about regularization by small mini-batches, with batch norm.
std::string gap_verdict(const Trend& batch, const std::optional<Trend>& none) {
  if (!batch.can_be_clear) return {};
  if (!batch.grows()) {
    return ". With batch norm it does not clearly grow with the mini-batch: that small ones "
           "regularize "
           "is not seen";
  }
  if (none && none->grows()) {
    return ". It grows with the mini-batch with batch norm and without, so batch norm need not be "
           "the reason";
  }
  return ". With batch norm it grows with the mini-batch, as if small ones regularized";
}

void add_gap(std::vector<Block>& blocks, const ComparisonData& comparison) {
  const bool accuracy = comparison.metric == "accuracy";
  const auto gap_text = [&](double gap) {
    return accuracy ? fmt::format("{:.2f} points", 100 * gap) : number(gap, 3);
  };
  LineChart chart{.x = {.title = "batch size", .logarithmic = true, .ticks = comparison.values},
                  .y = {.title = fmt::format("training - validation {}", comparison.metric),
                        .percent = accuracy}};
  std::string text;
  std::optional<Trend> batch, none;
  for (const std::string& norm : comparison.norms) {
    Line line = line_of(comparison, norm,
                        [&](const ComparedRun& run) { return run.training_score - run.score; });
    std::vector<double> sizes, gaps;  // without the values whose runs all diverged
    for (std::size_t i = 0; i < line.x.size(); ++i) {
      if (std::isnan(line.y[i])) continue;
      sizes.push_back(line.x[i]);
      gaps.push_back(line.y[i]);
    }
    if (sizes.size() > 1) {
      const Trend trend(gaps);
      text += fmt::format("{}{} the gap is {} at {} and {} at {} ({})", text.empty() ? "" : "; ",
                          norm_label(norm), gap_text(gaps.front()), number(sizes.front()),
                          gap_text(gaps.back()), number(sizes.back()), trend_text(trend));
      if (norm == "batch") batch = trend;
      if (norm == "none") none = trend;
    }
    chart.lines.push_back(std::move(line));
  }
  if (text.empty()) return;
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  if (batch) text += gap_verdict(*batch, none);
  blocks.push_back(Figure{
      .title = "Gap between training and validation",
      .finding = text + ".",
      .chart = std::move(chart),
      .note =
          "A trend is said where at most one in twenty random orders of the gaps would be as "
          "clear (Kendall's test over the means of the seeds). What causes it is not told by it."});
}

Grid range_grid(const ComparisonData& comparison) {
  Grid grid{.caption = "Usable range",
            .headers = {"normalization", "best " + comparison.metric, "from", "to", "size",
                        "95 % interval"},
            .rows = {}};
  for (const UsableRange& range : comparison.ranges) {
    grid.rows.push_back(
        {norm_label(range.norm),
         comparison.metric == "accuracy" ? percent(range.best) : number(range.best),
         std::isnan(range.low) ? "-" : brief(range.low) + (range.open_low ? " or less" : ""),
         std::isnan(range.high) ? "-" : brief(range.high) + (range.open_high ? " or more" : ""),
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
  std::set<std::int64_t> seeds;
  for (const ComparedRun& run : comparison.runs) seeds.insert(run.seed);
  blocks.push_back(Paragraph{fmt::format(
      "{} runs: {} {}, {} normalizations, {} {}; {} of training in all.", comparison.runs.size(),
      comparison.values.size(), words_of(comparison.vary).many, comparison.norms.size(),
      seeds.size(), seeds.size() == 1 ? "seed" : "seeds", duration(seconds))});
  add_sensitivity(blocks, comparison);
  if (comparison.vary == "batch-size") add_gap(blocks, comparison);
  blocks.push_back(range_grid(comparison));
  if (!comparison.shown.empty()) {
    blocks.push_back(Paragraph{fmt::format(
        "What follows is of the runs with {} {} and one seed, where a network {} did best.",
        words_of(comparison.vary).axis, brief(comparison.shown_value),
        norm_label(comparison.norms.front()))});
  }
  return blocks;
}

}  // namespace evenrow::report
