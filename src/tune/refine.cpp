#include "tune/refine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "evenrow/tune.hpp"
#include "tune/space.hpp"

namespace evenrow {
namespace {

constexpr double kGoodPart = 0.1;         // of the trials
constexpr std::size_t kFewestGood = 3;    // trials
constexpr double kWidestNarrowing = 0.9;  // of a scale; what leaves more narrows nothing

double three_digits(double value) {
  const std::string text = fmt::format("{:.2e}", value);
  double rounded = value;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded;
}

// The next number of three digits that is not above.
double rounded_down(double value) {
  if (value == 0.0) return 0.0;
  const double nearest = three_digits(value);
  if (nearest <= value) return nearest;
  return three_digits(value - std::pow(10.0, std::floor(std::log10(std::abs(value))) - 2));
}

double rounded_up(double value) {
  return -rounded_down(-value);
}

// The range of the values, as far beyond the outermost as they lie apart on average: the unbiased
// estimate of the ends of a range of which they are drawn evenly. Of few values, wide in any case.
Parameter narrowed(const Parameter& whole, const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double first = tuning::to_unit(whole, *least), last = tuning::to_unit(whole, *most);
  const double apart = n > 1 ? (last - first) / (n - 1) : 0.0;
  const double margin = std::max(apart, 0.5 / (n + 1));
  const double from = std::max(0.0, first - margin), to = std::min(1.0, last + margin);
  if (to - from > kWidestNarrowing) return whole;
  Parameter part = whole;
  part.low = tuning::from_unit(whole, from);
  part.high = tuning::from_unit(whole, to);
  if (whole.scale == Scale::one_minus_log) {
    part.low = 1.0 - rounded_up(1.0 - part.low);
    part.high = 1.0 - rounded_down(1.0 - part.high);
  } else if (whole.type == ParameterType::real) {
    part.low = rounded_down(part.low);
    part.high = rounded_up(part.high);
  }
  part.low = from == 0.0 ? whole.low : std::max(whole.low, std::min(part.low, *least));
  part.high = to == 1.0 ? whole.high : std::min(whole.high, std::max(part.high, *most));
  return part;
}

}  // namespace

Space refined_space(const Study& study) {
  std::vector<std::size_t> ranked = ranking(study);
  std::erase_if(ranked, [&](std::size_t i) { return study.trials[i].state == TrialState::failed; });
  const auto part =
      static_cast<std::size_t>(std::ceil(kGoodPart * static_cast<double>(ranked.size())));
  ranked.resize(std::min(ranked.size(), std::max(kFewestGood, part)));
  Space space = study.space;
  for (std::size_t p = 0; p < space.size(); ++p) {
    std::vector<double> values;
    for (const std::size_t i : ranked) {
      if (const auto& value = study.trials[i].parameters[p]) values.push_back(*value);
    }
    if (values.empty()) continue;
    if (space[p].type != ParameterType::categorical) {
      space[p] = narrowed(space[p], values);
      continue;
    }
    space[p].choices.clear();
    for (std::size_t choice = 0; choice < study.space[p].choices.size(); ++choice) {
      if (std::ranges::find(values, static_cast<double>(choice)) != values.end()) {
        space[p].choices.push_back(study.space[p].choices[choice]);
      }
    }
  }
  return space;
}

std::optional<Space> second_round_space(const Study& study) {
  if (study.first_round == 0) return std::nullopt;
  Study first{.direction = study.direction, .space = study.space};
  for (const StudyTrial& trial : study.trials) {
    const bool ended = trial.state != TrialState::running && trial.state != TrialState::waiting;
    if (ended && trial.place && *trial.place < study.first_round) first.trials.push_back(trial);
  }
  if (std::ssize(first.trials) < study.first_round) return std::nullopt;
  return refined_space(first);
}

std::optional<double> tuning::carried_over(const Parameter& from, const Parameter& to,
                                           double value) {
  if (from.type != ParameterType::categorical) {
    if (value < to.low || value > to.high) return std::nullopt;
    return value;
  }
  const auto found = std::ranges::find(to.choices, from.choices[static_cast<std::size_t>(value)]);
  if (found == to.choices.end()) return std::nullopt;
  return static_cast<double>(found - to.choices.begin());
}

}  // namespace evenrow
