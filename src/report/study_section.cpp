// A tuning study: how far it came, which parameters mattered, what good trials have in common.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "report/numbers.hpp"
#include "report/sections.hpp"

namespace evenrow::report {
namespace {

constexpr std::size_t kMostItems = 300;     // lines of the parallel coordinates
constexpr std::size_t kMostDimensions = 8;  // the most important ones
constexpr std::size_t kBestShown = 10;

bool percentage(const StudyData& study) {
  return study.metric.find("accuracy") != std::string::npos;
}

std::string value_text(const StudyData& study, double value) {
  return percentage(study) ? percent(value) : number(value);
}

// Complete trials, the best first.
std::vector<const StudyTrial*> ranked(const StudyData& study) {
  std::vector<const StudyTrial*> trials;
  for (const StudyTrial& trial : study.trials) {
    if (trial.state == "complete" && std::isfinite(trial.value)) trials.push_back(&trial);
  }
  std::ranges::stable_sort(trials, [&](const StudyTrial* a, const StudyTrial* b) {
    return study.maximize ? a->value > b->value : a->value < b->value;
  });
  return trials;
}

std::string joined(const std::vector<std::string>& texts, const char* between) {
  return fmt::format("{}", fmt::join(texts, between));
}

constexpr double kMarkedHeight = 0.03;  // of an axis, around a category

// The span of a parameter in the space that was searched, and where a value lies in it.
struct Span {
  double low = kNone, high = kNone;
  bool logarithmic = false, one_minus_logarithmic = false;

  double height(double value) const {
    if (!(high > low)) return std::isnan(value) ? kNone : 0.5;
    if (logarithmic) return std::log(value / low) / std::log(high / low);
    if (one_minus_logarithmic)
      return std::log((1 - value) / (1 - low)) / std::log((1 - high) / (1 - low));
    return (value - low) / (high - low);
  }
};

void add_progress(std::vector<Block>& blocks, const StudyData& study, const StudyTrial& best) {
  const bool percent_axis = percentage(study);
  LineChart chart{.x = {.title = "trial", .whole = true},
                  .y = {.title = study.metric, .percent = percent_axis}};
  Line points{.name = "trial", .kind = Line::Kind::points, .colour = 5};
  Line so_far{.name = "best so far", .colour = 0};
  double reached = kNone;
  for (const StudyTrial& trial : study.trials) {
    if (trial.state != "complete" || !std::isfinite(trial.value)) continue;
    reached = study.maximize ? std::fmax(reached, trial.value) : std::fmin(reached, trial.value);
    for (Line* line : {&points, &so_far}) line->x.push_back(static_cast<double>(trial.number));
    points.y.push_back(trial.value);
    so_far.y.push_back(reached);
  }
  so_far.faint = so_far.x.size() > 40;
  chart.lines = {so_far, points};
  std::int64_t pruned = 0, failed = 0;
  for (const StudyTrial& trial : study.trials) {
    pruned += trial.state == "pruned" ? 1 : 0;
    failed += trial.state == "failed" ? 1 : 0;
  }
  std::string counts =
      fmt::format("Of {} trials {} ran to their end", study.trials.size(), points.x.size());
  if (pruned > 0) counts += fmt::format(", {} stopped early", pruned);
  if (failed > 0) counts += fmt::format(", {} failed", failed);
  blocks.push_back(Figure{.title = "Progress",
                          .finding = fmt::format("{}; the best, {}, is trial {}.", counts,
                                                 value_text(study, best.value), best.number),
                          .chart = std::move(chart)});
}

// The parameters, those that mattered most first.
std::vector<std::size_t> by_importance(const StudyData& study) {
  std::vector<std::size_t> order(study.parameters.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto importance = [&](std::size_t k) {
    const double value = study.parameters[k].importance;
    return std::isnan(value) ? 0.0 : value;
  };
  std::ranges::stable_sort(order, std::greater<>(), importance);
  return order;
}

// Which parameters get an axis, in their order.
std::vector<std::size_t> most_important(const StudyData& study) {
  std::vector<std::size_t> order = by_importance(study);
  order.resize(std::min(order.size(), kMostDimensions));
  std::ranges::sort(order);
  return order;
}

void add_parallel(std::vector<Block>& blocks, const StudyData& study,
                  const std::vector<const StudyTrial*>& trials) {
  ParallelChart chart;
  std::vector<Span> spans;
  std::vector<std::size_t> shown;
  for (const std::size_t k : most_important(study)) {
    const StudyParameter& parameter = study.parameters[k];
    const bool part_of_any = std::ranges::any_of(
        trials, [&](const StudyTrial* trial) { return !std::isnan(trial->parameters[k].value); });
    if (!part_of_any) continue;
    Span span{.low = parameter.low.value,
              .high = parameter.high.value,
              .logarithmic = parameter.logarithmic,
              .one_minus_logarithmic = parameter.one_minus_logarithmic};
    ParallelChart::Dimension dimension{.name = parameter.name, .marks = {}};
    if (parameter.categories.empty()) {
      dimension.marks.push_back({span.height(span.low), parameter.low.text});
      if (span.high > span.low) dimension.marks.push_back({1, parameter.high.text});
      if (!parameter.refined.empty()) {
        dimension.parts = {{span.height(parameter.refined.front().value),
                            span.height(parameter.refined.back().value)}};
      }
    } else {
      span.low = 0;
      span.high = static_cast<double>(parameter.categories.size()) - 1;
      for (std::size_t i = 0; i < parameter.categories.size(); ++i) {
        dimension.marks.push_back({span.height(static_cast<double>(i)), parameter.categories[i]});
      }
      for (const StudyValue& left : parameter.refined) {
        const double height = span.height(left.value);
        dimension.parts.emplace_back(height - kMarkedHeight, height + kMarkedHeight);
      }
    }
    chart.dimensions.push_back(std::move(dimension));
    spans.push_back(span);
    shown.push_back(k);
  }
  // A few hopeless trials must not press all good ones together: the axis begins at the median
  // less twice the distance of the best.
  const double best = trials.front()->value, median = trials[trials.size() / 2]->value;
  double worst = trials.back()->value;
  const double limit = median - 2 * (best - median);
  worst = study.maximize ? std::max(worst, limit) : std::min(worst, limit);
  const auto score = [&](double value) {
    return best == worst ? 0.5 : std::clamp((value - worst) / (best - worst), 0.0, 1.0);
  };
  chart.dimensions.push_back(
      {.name = study.metric,
       .marks = {{0, value_text(study, worst) + (worst == trials.back()->value ? ""
                                                 : study.maximize              ? " or less"
                                                                               : " or more")},
                 {1, value_text(study, best)}}});
  const std::size_t n = std::min(trials.size(), kMostItems);
  for (std::size_t i = n; i-- > 0;) {
    const StudyTrial& trial = *trials[i];
    ParallelChart::Item item{.name = fmt::format("{}", trial.number), .heights = {}, .cells = {}};
    item.rank = n < 2 ? 1.0 : 1.0 - static_cast<double>(i) / static_cast<double>(n - 1);
    for (std::size_t k = 0; k < shown.size(); ++k) {
      item.heights.push_back(spans[k].height(trial.parameters[shown[k]].value));
      item.cells.push_back(trial.parameters[shown[k]].text);
    }
    item.heights.push_back(score(trial.value));
    item.cells.push_back(value_text(study, trial.value));
    chart.items.push_back(std::move(item));
  }
  std::vector<std::string> with;
  for (const std::size_t k : shown) {
    const StudyValue& value = trials.front()->parameters[k];
    if (!std::isnan(value.value)) with.push_back(study.parameters[k].name + " " + value.text);
  }
  const std::string finding =
      fmt::format("The best trial, {}, reached {} with {}.", trials.front()->number,
                  value_text(study, best), joined(with, ", "));
  std::string note =
      "A line a trial that ran to its end: grey the worse three quarters, coloured the best "
      "quarter, thick the best one. A gap: the parameter is not part of the trial.";
  if (std::ranges::any_of(chart.dimensions, [](const auto& axis) { return !axis.parts.empty(); })) {
    note += " Thick parts of axes: all that was searched from trial " +
            fmt::format("{} on.", study.second_round);
  }
  blocks.push_back(Figure{.title = "Parameters of all trials",
                          .finding = finding,
                          .chart = std::move(chart),
                          .note = std::move(note)});
}

// What the second round searched, where that is less, and what came of it.
void add_refined(std::vector<Block>& blocks, const StudyData& study,
                 const std::vector<const StudyTrial*>& trials) {
  if (study.second_round == 0) return;
  Grid grid{.caption = fmt::format("Refined, from trial {} on", study.second_round),
            .headers = {"parameter", "searched before", "refined"},
            .rows = {},
            .numbers = false};
  for (const StudyParameter& parameter : study.parameters) {
    if (parameter.refined.empty()) continue;
    std::vector<std::string> left;
    for (const StudyValue& value : parameter.refined) left.push_back(value.text);
    const bool numbers = parameter.categories.empty();
    grid.rows.push_back({parameter.name,
                         numbers ? parameter.low.text + " to " + parameter.high.text
                                 : joined(parameter.categories, ", "),
                         joined(left, numbers ? " to " : ", ")});
  }
  const std::string text =
      grid.rows.empty()
          ? fmt::format("The best trials before trial {} lie everywhere: nothing was refined",
                        study.second_round)
          : fmt::format(
                "From trial {} on, {} of {} parameters were searched only where the best "
                "trials before it lie",
                study.second_round, grid.rows.size(), study.parameters.size());
  const auto best_of = [&](bool second) {
    const auto found = std::ranges::find_if(trials, [&](const StudyTrial* trial) {
      return (trial->number >= study.second_round) == second;
    });
    return found != trials.end() ? value_text(study, (*found)->value) : std::string("nothing yet");
  };
  blocks.push_back(Paragraph{fmt::format("{}. The best of those reached {}, the best since {}.",
                                         text, best_of(false), best_of(true))});
  if (!grid.rows.empty()) blocks.push_back(std::move(grid));
}

void add_importance(std::vector<Block>& blocks, const StudyData& study) {
  BarChart chart{
      .x = {.title = "importance", .percent = true}, .label_title = "parameter", .bars = {}};
  for (const StudyParameter& parameter : study.parameters) {
    if (std::isfinite(parameter.importance))
      chart.bars.emplace_back(parameter.name, parameter.importance);
  }
  if (chart.bars.empty()) return;
  std::ranges::stable_sort(chart.bars, std::greater<>(), &std::pair<std::string, double>::second);
  const auto part = [&](std::size_t i) {
    return fmt::format("{} ({})", chart.bars[i].first, percent(chart.bars[i].second, 0));
  };
  std::string finding = "Most to do with being among the best trials had " + part(0);
  if (chart.bars.size() > 1) finding += fmt::format(", then {}", part(1));
  blocks.push_back(Figure{
      .title = "Which parameters mattered", .finding = finding + ".", .chart = std::move(chart)});
}

Grid best_grid(const StudyData& study, const std::vector<const StudyTrial*>& trials) {
  Grid grid{.caption = "The best trials", .headers = {"trial", study.metric}, .rows = {}};
  const std::vector<std::size_t> order = by_importance(study);
  for (const std::size_t k : order) grid.headers.push_back(study.parameters[k].name);
  grid.headers.push_back("time");
  for (std::size_t i = 0; i < std::min(trials.size(), kBestShown); ++i) {
    std::vector<std::string> row{fmt::format("{}", trials[i]->number),
                                 value_text(study, trials[i]->value)};
    for (const std::size_t k : order) row.push_back(trials[i]->parameters[k].text);
    row.push_back(duration(trials[i]->seconds));
    grid.rows.push_back(std::move(row));
  }
  return grid;
}

}  // namespace

std::vector<Block> study_blocks(const StudyData& study) {
  const std::vector<const StudyTrial*> trials = ranked(study);
  if (trials.empty()) {
    return {
        Paragraph{fmt::format("None of {} trials has run to its end yet.", study.trials.size())}};
  }
  std::vector<Block> blocks;
  add_progress(blocks, study, *trials.front());
  add_parallel(blocks, study, trials);
  add_refined(blocks, study, trials);
  add_importance(blocks, study);
  blocks.push_back(best_grid(study, trials));
  return blocks;
}

}  // namespace evenrow::report
