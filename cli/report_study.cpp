#include "report_study.hpp"

#include <string>

#include "evenrow/study.hpp"

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

}  // namespace

report::StudyData study_data(const std::filesystem::path& folder) {
  const Study study = read_study(folder);
  report::StudyData data{.folder = folder.string(), .metric = metric_name(study)};
  data.maximize = study.direction == Direction::maximize;
  const std::vector<double> importance = parameter_importance(study);
  for (std::size_t k = 0; k < study.space.size(); ++k) {
    const Parameter& parameter = study.space[k];
    report::StudyParameter about{.name = parameter.name, .categories = parameter.choices};
    about.logarithmic = parameter.scale == Scale::log;
    about.one_minus_logarithmic = parameter.scale == Scale::one_minus_log;
    about.low = parameter.low;
    about.high = parameter.high;
    if (!importance.empty()) about.importance = importance[k];
    data.parameters.push_back(std::move(about));
  }
  for (const StudyTrial& trial : study.trials) {
    report::StudyTrial row{.number = trial.number, .state = state_name(trial.state)};
    row.value = trial.value.value_or(report::kNone);
    row.seconds = trial.seconds.value_or(report::kNone);
    for (const auto& value : trial.parameters)
      row.parameters.push_back(value.value_or(report::kNone));
    data.trials.push_back(std::move(row));
  }
  return data;
}

}  // namespace evenrow::cli
