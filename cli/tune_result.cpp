#include "tune_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "report/numbers.hpp"
#include "report/table.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "tune/names.hpp"

namespace evenrow::cli {
namespace {

using report::Align;
using tuning::Metric;

constexpr std::size_t kShown = 10;  // best trials

// The parameters, those that count most first.
std::vector<std::size_t> by_importance(const Study& study, const std::vector<double>& importance) {
  std::vector<std::size_t> order(study.space.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!importance.empty()) {
    std::ranges::stable_sort(order, std::greater{}, [&](std::size_t i) { return importance[i]; });
  }
  return order;
}

// The ten best, with as many parameters as fit into a line.
std::string best_text(const tuning::SearchResult& result, const std::vector<std::size_t>& order) {
  const Study& study = result.study;
  const std::vector<std::size_t> ranked = ranking(study);
  std::string text;
  for (std::size_t shown = 0; shown <= order.size(); ++shown) {
    std::vector<report::TableColumn> columns{{.header = "trial"},
                                             {.header = std::string(core::name_of(result.metric))}};
    for (std::size_t i = 0; i < shown; ++i)
      columns.push_back({.header = study.space[order[i]].name});
    report::Table table(columns);
    for (std::size_t i = 0; i < std::min(kShown, ranked.size()); ++i) {
      const StudyTrial& trial = study.trials[ranked[i]];
      if (trial.state != TrialState::complete) break;
      std::vector<std::string> cells{fmt::format("{}", trial.number),
                                     tuned_value(trial, result.metric)};
      for (std::size_t p = 0; p < shown; ++p) {
        const auto& value = trial.parameters[order[p]];
        cells.push_back(value ? value_text(study.space[order[p]], *value) : "-");
      }
      table.add_row(cells);
    }
    if (shown > 0 && table.width() > report::kLineWidth) break;
    text = table.text();
  }
  return text;
}

std::string span_text(const Parameter& p) {
  if (p.type == ParameterType::categorical) return fmt::format("{}", fmt::join(p.choices, ", "));
  return fmt::format("{} to {}", value_text(p, p.low), value_text(p, p.high));
}

// What the second round searched, where it is less.
std::string refined_text(const tuning::SearchResult& result) {
  if (!result.refined) return {};
  report::Table table({{.header = "parameter", .align = Align::left},
                       {.header = "searched", .align = Align::left},
                       {.header = "refined", .align = Align::left}});
  std::size_t narrowed = 0;
  for (std::size_t i = 0; i < result.study.space.size(); ++i) {
    const std::string whole = span_text(result.study.space[i]);
    const std::string part = span_text((*result.refined)[i]);
    if (whole == part) continue;
    table.add_row({result.study.space[i].name, whole, part});
    ++narrowed;
  }
  if (narrowed == 0) {
    return fmt::format("\nThe best of the first {} trials lie everywhere: nothing was refined.\n",
                       result.first_round);
  }
  return fmt::format("\nRefined, from trial {} on:\n\n{}", result.first_round, table.text());
}

}  // namespace

std::string tuned_value(const StudyTrial& trial, Metric metric) {
  if (!trial.value) return "-";
  return metric == Metric::accuracy ? report::percent(*trial.value) : report::number(*trial.value);
}

std::string tuned_text(const tuning::SearchResult& result, const std::string& folder) {
  const Study& study = result.study;
  const auto count = [&](TrialState state) {
    return std::ranges::count(study.trials, state, &StudyTrial::state);
  };
  const std::vector<double> importance = parameter_importance(study);
  const std::vector<std::size_t> order = by_importance(study, importance);
  std::string text = fmt::format(
      "{} trials: {} complete, {} pruned, {} failed. The best by validation {}{}:\n\n{}",
      study.trials.size(), count(TrialState::complete), count(TrialState::pruned),
      count(TrialState::failed), core::name_of(result.metric),
      result.folds > 0 ? fmt::format(", mean of {} folds", result.folds) : "",
      best_text(result, order));
  if (!importance.empty()) {
    text += "\nWhat counted most: ";
    for (std::size_t i = 0; i < std::min<std::size_t>(3, order.size()); ++i) {
      text += fmt::format("{}{} {}", i > 0 ? ", " : "", study.space[order[i]].name,
                          report::percent(importance[order[i]], 0));
    }
    text += "\n";
  }
  text += refined_text(result);
  return text +
         fmt::format(
             "\nstudy: {0}/journal.log\nbest:  evenrow train --config {0}/best.toml --out RUN\n",
             folder);
}

}  // namespace evenrow::cli
