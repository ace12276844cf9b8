// What later layers see while the layers before them change: the distributions that batch norm is
// said to steady, gradients by depth, and units that are off.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/numbers.hpp"
#include "report/sections.hpp"

namespace evenrow::report {
namespace {

constexpr std::size_t kMostPanels = 6;    // runs whose bands are drawn
constexpr std::size_t kMostPoints = 150;  // times in a panel
constexpr std::size_t kMedian = 3;        // in kQuantiles

std::size_t blocks_of(const RunData& run) {
  std::size_t blocks = run.observations.empty() ? 0 : run.observations[0].blocks.size();
  for (const RunObservation& seen : run.observations) blocks = std::min(blocks, seen.blocks.size());
  return blocks;
}

// How much a distribution moved over a run.
struct Movement {
  double median = kNone;  // largest distance between two medians, in mean standard deviations
  double width = kNone;   // largest standard deviation / smallest
};

Movement movement_of(const RunData& run, std::size_t block) {
  double low = kNone, high = kNone, narrow = kNone, broad = kNone, sum = 0;
  std::int64_t n = 0;
  for (const RunObservation& seen : run.observations) {
    const double median = seen.blocks[block].activation_input[kMedian];
    const double deviation = std::sqrt(seen.blocks[block].variance);
    if (!std::isfinite(median) || !std::isfinite(deviation)) continue;
    low = std::fmin(low, median);
    high = std::fmax(high, median);
    narrow = std::fmin(narrow, deviation);
    broad = std::fmax(broad, deviation);
    sum += deviation;
    ++n;
  }
  if (n < 2 || !(sum > 0)) return {};
  return {(high - low) / (sum / static_cast<double>(n)), narrow > 0 ? broad / narrow : kNone};
}

const RunData* first_with(const std::vector<const RunData*>& runs, bool batch_norm) {
  for (const RunData* run : runs) {
    if (run->batch_norm == batch_norm) return run;
  }
  return nullptr;
}

std::string fold(double ratio) {
  return std::isnan(ratio) ? "-"
         : ratio < 9.95    ? fmt::format("{:.1f}-fold", ratio)
                           : fmt::format("{:.0f}-fold", ratio);
}

std::string movement_finding(const std::vector<const RunData*>& runs, std::size_t block) {
  const RunData *with = first_with(runs, true), *without = first_with(runs, false);
  const std::string what =
      fmt::format("In block {} the median of what enters the activation", block + 1);
  if (with == nullptr || without == nullptr || block >= blocks_of(*with) ||
      block >= blocks_of(*without)) {
    const RunData& only = *runs.front();
    const Movement moved = movement_of(only, block);
    return fmt::format(
        "{} moved by {} standard deviations{} over training, and its standard "
        "deviation changed {}.",
        what, number(moved.median, 2),
        runs.size() > 1 ? fmt::format(" {}", phrase(only.label)) : std::string(),
        fold(moved.width));
  }
  const Movement a = movement_of(*with, block), b = movement_of(*without, block);
  const bool median = a.median < b.median, width = a.width < b.width;
  const char* verdict = median && width     ? "batch norm steadied both"
                        : !median && !width ? "batch norm steadied neither"
                        : median            ? "batch norm steadied the median, not the width"
                                            : "batch norm steadied the width, not the median";
  return fmt::format(
      "{} moved by {} standard deviations {} and by {} {}, and its standard deviation "
      "changed {} and {}: {}.",
      what, number(a.median, 2), phrase(with->label), number(b.median, 2), phrase(without->label),
      fold(a.width), fold(b.width), verdict);
}

Figure bands(const std::vector<const RunData*>& runs) {
  BandChart chart{.x = {.title = "step", .whole = true},
                  .y = {.title = "input of the activation"},
                  .choice_title = "Layer",
                  .choices = {}};
  std::size_t blocks = 0;
  for (const RunData* run : runs) blocks = std::max(blocks, blocks_of(*run));
  for (std::size_t block = 0; block < blocks; ++block) {
    BandChart::Choice choice{.name = fmt::format("block {} of {}", block + 1, blocks),
                             .panels = {}};
    for (const RunData* run : runs) {
      if (block >= blocks_of(*run) || choice.panels.size() == kMostPanels) continue;
      BandChart::Panel panel{.name = run->label, .colour = run->colour, .x = {}, .quantiles = {}};
      const std::size_t n = run->observations.size(), shown = std::min(n, kMostPoints);
      for (std::size_t i = 0; i < shown; ++i) {
        const RunObservation& seen = run->observations[shown < 2 ? 0 : i * (n - 1) / (shown - 1)];
        panel.x.push_back(static_cast<double>(seen.step));
        panel.quantiles.push_back(seen.blocks[block].activation_input);
      }
      choice.panels.push_back(std::move(panel));
    }
    chart.choices.push_back(std::move(choice));
  }
  // A late layer: the last hidden one, which has the most layers that change before it.
  const auto hidden =
      static_cast<std::size_t>(std::max<std::int64_t>(runs.front()->hidden_blocks, 1));
  chart.chosen = std::min(hidden, blocks) - 1;
  const std::string finding = movement_finding(runs, chart.chosen);
  return Figure{.title = "What a late layer sees over time",
                .finding = finding,
                .chart = std::move(chart),
                .note =
                    "Line: median. Bands: the middle 50, 90 and 98 % of the values. All panels "
                    "have one scale."};
}

// A line a run over its blocks.
template <class Value>
LineChart by_block(const std::vector<const RunData*>& runs, Axis y, Value value) {
  LineChart chart{.x = {.title = "block", .whole = true}, .y = std::move(y)};
  for (const RunData* run : runs) {
    Line line{.name = run->label, .colour = run->colour};
    for (std::size_t block = 0; block < blocks_of(*run); ++block) {
      const double here = value(*run, block);
      if (!std::isfinite(here)) continue;
      line.x.push_back(static_cast<double>(block + 1));
      line.y.push_back(here);
    }
    if (!line.x.empty()) chart.lines.push_back(std::move(line));
  }
  return chart;
}

double mean_gradient(const RunData& run, std::size_t block) {
  double sum = 0;
  std::int64_t n = 0;
  for (const RunObservation& seen : run.observations) {
    const double norm = seen.blocks[block].weight_gradient;
    if (!(norm > 0) || std::isinf(norm)) continue;
    sum += std::log(norm);
    ++n;
  }
  return n > 0 ? std::exp(sum / static_cast<double>(n)) : kNone;
}

double dead_part(const RunData& run, std::size_t block) {
  const BlockState& last = run.observations.back().blocks[block];
  return last.dead_units / last.units;
}

// Which run a part of a sentence is about; one alone needs no name.
std::string of_run(const Line& line, const std::vector<const RunData*>& runs) {
  return runs.size() == 1 ? std::string() : fmt::format(" {}", phrase(line.name));
}

std::string join_findings(const std::vector<std::string>& parts) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ") + parts[i];
  }
  return text;
}

void add_gradients(std::vector<Block>& blocks, const std::vector<const RunData*>& runs) {
  LineChart chart = by_block(runs, {.title = "norm of the weights' gradient", .logarithmic = true},
                             mean_gradient);
  std::vector<std::string> parts;
  for (const Line& line : chart.lines) {
    if (line.x.size() < 2) continue;
    parts.push_back(fmt::format("{} times that of block {:.0f}{}",
                                number(line.y[0] / line.y.back(), 2), line.x.back(),
                                of_run(line, runs)));
  }
  if (parts.empty()) return;
  blocks.push_back(
      Figure{.title = "Gradients by depth",
             .finding = "Over training the gradient of block 1 was " + join_findings(parts) + ".",
             .chart = std::move(chart),
             .note = "Geometric mean over the observed steps."});
}

void add_dead_units(std::vector<Block>& blocks, const std::vector<const RunData*>& runs) {
  LineChart chart = by_block(runs, {.title = "units that are off", .percent = true}, dead_part);
  std::vector<std::string> parts;
  for (const Line& line : chart.lines) {
    const auto most = std::ranges::max_element(line.y) - line.y.begin();
    const auto at = static_cast<std::size_t>(most);
    parts.push_back((line.y[at] > 0
                         ? fmt::format("{} of block {:.0f}", percent(line.y[at], 1), line.x[at])
                         : "none") +
                    of_run(line, runs));
  }
  if (parts.empty()) return;
  blocks.push_back(Figure{
      .title = "Units that are off",
      .finding = "At the last observation the most units that gave 0 for a whole mini-batch were " +
                 join_findings(parts) + ".",
      .chart = std::move(chart)});
}

}  // namespace

std::vector<Block> layer_blocks(const std::vector<RunData>& runs) {
  std::vector<const RunData*> observed;
  for (const RunData& run : runs) {
    if (blocks_of(run) > 0) observed.push_back(&run);
  }
  if (observed.empty()) return {};
  std::vector<Block> blocks{bands(observed)};
  add_gradients(blocks, observed);
  add_dead_units(blocks, observed);
  return blocks;
}

}  // namespace evenrow::report
