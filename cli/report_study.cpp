#include "report_study.hpp"

#include <algorithm>
#include <string>

#include "evenrow/tune.hpp"

namespace evenrow::cli {
namespace {

// What the journal says was searched by, a line "metric = ..." of one of its attributes; a study
// that something else made has no name for its values.
std::string metric_name(const Study& study) {
  const std::string key = "metric = \\\"";  // inside of JSON
  for (const auto& [name, text] : study.attributes) {
    const std::size_t at = text.find(key);
    if (at == std::string::npos) continue;
    const std::size_t begin = at + key.size(), end = text.find('\\', begin);
    return text.substr(begin, end - begin);
  }
  return "value";
}

std::string state_name(TrialState state) {
  switch (state) {
    case TrialState::complete:
      return "complete";
    case TrialState::pruned:
      return "pruned";
    case TrialState::failed:
      return "failed";
    case TrialState::running:
    case TrialState::waiting:
      return "running";
  }
  return "running";
}

report::StudyValue shown(const Parameter& parameter, std::optional<double> value) {
  if (!value) return {};
  return {.value = *value, .text = value_text(parameter, *value)};
}

// What the second round searched of a parameter, where that is less.
std::vector<report::StudyValue> narrowed(const Parameter& whole, const Parameter& part) {
  if (whole.low == part.low && whole.high == part.high && whole.choices == part.choices) return {};
  if (whole.type != ParameterType::categorical) {
    return {shown(whole, part.low), shown(whole, part.high)};
  }
  std::vector<report::StudyValue> left;
  for (std::size_t i = 0; i < whole.choices.size(); ++i) {
    const bool there = std::ranges::find(part.choices, whole.choices[i]) != part.choices.end();
    if (there) left.push_back(shown(whole, static_cast<double>(i)));
  }
  return left;
}

}  // namespace

report::StudyData study_data(const std::filesystem::path& folder) {
  const Study study = read_study(folder);
  report::StudyData data{.folder = folder.string(), .metric = metric_name(study)};
  data.maximize = study.direction == Direction::maximize;
  const std::vector<double> importance = parameter_importance(study);
  const std::optional<Space> refined = second_round_space(study);
  if (refined) {
    const auto first = std::ranges::find(study.trials, study.first_round, &StudyTrial::place);
    data.second_round =
        first != study.trials.end() ? first->number : std::ssize(study.trials);  // not yet begun
  }
  for (std::size_t k = 0; k < study.space.size(); ++k) {
    const Parameter& parameter = study.space[k];
    report::StudyParameter about{.name = parameter.name, .categories = parameter.choices};
    about.logarithmic = parameter.scale == Scale::log;
    about.one_minus_logarithmic = parameter.scale == Scale::one_minus_log;
    if (parameter.type != ParameterType::categorical) {
      about.low = shown(parameter, parameter.low);
      about.high = shown(parameter, parameter.high);
    }
    if (refined) about.refined = narrowed(parameter, (*refined)[k]);
    if (!importance.empty()) about.importance = importance[k];
    data.parameters.push_back(std::move(about));
  }
  for (const StudyTrial& trial : study.trials) {
    report::StudyTrial row{.number = trial.number, .state = state_name(trial.state)};
    row.value = trial.value.value_or(report::kNone);
    row.seconds = trial.seconds.value_or(report::kNone);
    for (std::size_t k = 0; k < study.space.size(); ++k) {
      row.parameters.push_back(shown(study.space[k], trial.parameters[k]));
    }
    data.trials.push_back(std::move(row));
  }
  return data;
}

}  // namespace evenrow::cli
