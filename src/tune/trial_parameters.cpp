#include <algorithm>

#include "core/fail.hpp"
#include "core/nearest.hpp"
#include "evenrow/tune.hpp"
#include "tune/names.hpp"

namespace evenrow {

double TrialParameters::value(const std::string& name, ParameterType type) const {
  std::vector<std::string_view> known;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const Parameter& parameter = (*space_)[i];
    known.emplace_back(parameter.name);
    if (parameter.name != name) continue;
    if (parameter.type != type) {
      core::fail(ErrorKind::usage, "parameter {} is {}, not {}", name,
                 core::name_of(parameter.type), core::name_of(type));
    }
    if (!values_[i]) {
      core::fail(ErrorKind::usage, "parameter {} does not count in this trial: see has()", name);
    }
    return *values_[i];
  }
  core::fail(ErrorKind::usage, "there is no parameter {}{}", name, core::did_you_mean(name, known));
}

bool TrialParameters::has(const std::string& name) const {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if ((*space_)[i].name == name) return values_[i].has_value();
  }
  return false;
}

double TrialParameters::real(const std::string& name) const {
  return value(name, ParameterType::real);
}

std::int64_t TrialParameters::integer(const std::string& name) const {
  return static_cast<std::int64_t>(value(name, ParameterType::integer));
}

const std::string& TrialParameters::choice(const std::string& name) const {
  const auto index = static_cast<std::size_t>(value(name, ParameterType::categorical));
  for (const Parameter& parameter : *space_) {
    if (parameter.name == name) return parameter.choices[index];
  }
  core::fail(ErrorKind::usage, "there is no parameter {}", name);
}

}  // namespace evenrow
