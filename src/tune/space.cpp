#include "tune/space.hpp"

#include <algorithm>
#include <cmath>

#include "core/fail.hpp"
#include "tune/names.hpp"

namespace evenrow {
namespace {

// The scale's function: increasing or decreasing, linear in the position.
double scaled(Scale scale, double value) {
  switch (scale) {
    case Scale::linear:
      return value;
    case Scale::log:
      return std::log(value);
    case Scale::one_minus_log:
      return std::log1p(-value);
  }
  return value;
}

double unscaled(Scale scale, double position) {
  switch (scale) {
    case Scale::linear:
      return position;
    case Scale::log:
      return std::exp(position);
    case Scale::one_minus_log:
      return -std::expm1(position);
  }
  return position;
}

// Ends of the scale: an integer's part reaches half a step beyond it on either side.
std::pair<double, double> ends(const Parameter& p) {
  const double margin = p.type == ParameterType::integer ? 0.5 : 0.0;
  return {scaled(p.scale, p.low - margin), scaled(p.scale, p.high + margin)};
}

const Parameter* find(const Space& space, std::size_t before, const std::string& name) {
  for (std::size_t i = 0; i < before; ++i) {
    if (space[i].name == name) return &space[i];
  }
  return nullptr;
}

void check_range(const Parameter& p) {
  const auto fail = [&](const std::string& what) {
    core::fail(ErrorKind::usage, "parameter {}: {}", p.name, what);
  };
  if (!std::isfinite(p.low) || !std::isfinite(p.high)) fail("its range is not finite");
  if (p.low > p.high) {
    fail(fmt::format("its range is empty: low is {}, high is {}; expected low <= high", p.low,
                     p.high));
  }
  const bool integer = p.type == ParameterType::integer;
  if (integer && (p.low != std::floor(p.low) || p.high != std::floor(p.high) ||
                  std::abs(p.low) > 1e15 || std::abs(p.high) > 1e15)) {
    fail(fmt::format("its range is {} to {}, expected whole numbers", p.low, p.high));
  }
  if (p.scale == Scale::log && !(integer ? p.low >= 1 : p.low > 0)) {
    fail(fmt::format("a log scale cannot begin at {}; expected low {}, or scale linear", p.low,
                     integer ? ">= 1" : "> 0"));
  }
  if (p.scale == Scale::one_minus_log && (integer || !(p.high < 1))) {
    fail(
        fmt::format("scale one_minus_log is for real numbers below 1, and high is {}; expected "
                    "high < 1, or scale linear",
                    p.high));
  }
}

}  // namespace

namespace tuning {

void check(const Space& space) {
  if (space.empty()) core::fail(ErrorKind::usage, "the space has no parameter to search");
  for (std::size_t i = 0; i < space.size(); ++i) {
    const Parameter& p = space[i];
    if (p.name.empty()) core::fail(ErrorKind::usage, "parameter {} has no name", i);
    if (find(space, i, p.name) != nullptr) {
      core::fail(ErrorKind::usage, "parameter {} is there twice", p.name);
    }
    if (p.type != ParameterType::categorical) {
      check_range(p);
    } else if (p.choices.empty()) {
      core::fail(ErrorKind::usage, "parameter {} has no choices", p.name);
    }
    for (const std::string& choice : p.choices) {
      if (std::ranges::count(p.choices, choice) > 1) {
        core::fail(ErrorKind::usage, "parameter {} has the choice {} twice", p.name, choice);
      }
    }
    if (p.condition && find(space, i, p.condition->parameter) == nullptr) {
      core::fail(ErrorKind::usage, "parameter {} depends on {}, which does not come before it",
                 p.name, p.condition->parameter);
    }
  }
}

double from_unit(const Parameter& p, double unit) {
  if (p.type == ParameterType::categorical) {
    const auto count = static_cast<double>(p.choices.size());
    return std::clamp(std::floor(unit * count), 0.0, count - 1);
  }
  const auto [low, high] = ends(p);
  const double value = unscaled(p.scale, low + unit * (high - low));
  return std::clamp(p.type == ParameterType::integer ? std::round(value) : value, p.low, p.high);
}

double to_unit(const Parameter& p, double value) {
  if (p.type == ParameterType::categorical) {
    return (value + 0.5) / static_cast<double>(p.choices.size());
  }
  const auto [low, high] = ends(p);
  if (low == high) return 0.5;
  return std::clamp((scaled(p.scale, value) - low) / (high - low), 0.0, 1.0);
}

bool is_active(const Space& space, std::size_t index,
               const std::vector<std::optional<double>>& values) {
  const std::optional<Condition>& condition = space[index].condition;
  if (!condition) return true;
  for (std::size_t i = 0; i < index; ++i) {
    if (space[i].name != condition->parameter) continue;
    if (!values[i]) return false;
    if (space[i].type != ParameterType::categorical) return *values[i] >= condition->at_least;
    const std::string& choice = space[i].choices[static_cast<std::size_t>(*values[i])];
    return std::ranges::find(condition->choices, choice) != condition->choices.end();
  }
  return false;
}

std::vector<std::optional<double>> values_at(const Space& space, const std::vector<double>& units) {
  std::vector<std::optional<double>> values(space.size());
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (is_active(space, i, values)) values[i] = from_unit(space[i], units[i]);
  }
  return values;
}

std::string description(const Parameter& p) {
  std::string text = fmt::format("{} = {}", p.name, core::name_of(p.type));
  if (p.type == ParameterType::categorical) {
    text += fmt::format(" {}", fmt::join(p.choices, " "));
  } else {
    text += fmt::format(" {} {} {}", core::name_of(p.scale), p.low, p.high);
  }
  if (p.condition) {
    text += fmt::format(" if {} ", p.condition->parameter);
    text += p.condition->choices.empty() ? fmt::format(">= {}", p.condition->at_least)
                                         : fmt::format("{}", fmt::join(p.condition->choices, " "));
  }
  return text;
}

}  // namespace tuning

std::string value_text(const Parameter& p, double value) {
  if (p.type == ParameterType::categorical) {
    return p.choices.at(static_cast<std::size_t>(value));
  }
  if (p.type == ParameterType::integer) return fmt::format("{:.0f}", value);
  if (p.scale != Scale::one_minus_log || !(value < 1)) return fmt::format("{:.4g}", value);
  const double decimals = 2 - std::floor(std::log10(1 - value));  // three digits of 1 - value
  std::string text = fmt::format("{:.{}f}", value, std::max(1, static_cast<int>(decimals)));
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace evenrow
