#include "evenrow/study.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/fail.hpp"
#include "io/read_file.hpp"
#include "tune/journal.hpp"
#include "tune/parzen.hpp"
#include "tune/search_text.hpp"
#include "tune/space.hpp"

namespace evenrow {
namespace {

constexpr double kBestPart = 0.1;    // of the trials, whose density importance is about
constexpr std::size_t kFewest = 10;  // trials that say anything about importance
constexpr int kGrid = 50;            // positions at which densities of numbers are compared

// Index of the parameter in the space, which takes it in when it is new. Ranges of one parameter
// that differ are joined.
std::size_t place_of(Space& space, const Parameter& parameter) {
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (space[i].name != parameter.name) continue;
    space[i].low = std::min(space[i].low, parameter.low);
    space[i].high = std::max(space[i].high, parameter.high);
    return i;
  }
  space.push_back(parameter);
  return space.size() - 1;
}

// What a trial is ranked by, smaller is better.
struct Rank {
  int group = 0;
  std::int64_t steps = 0;  // negative: more is better
  double value = 0;
  auto operator<=>(const Rank&) const = default;
};

Rank rank_of(const StudyTrial& trial, Direction direction) {
  constexpr double kWorst = std::numeric_limits<double>::infinity();
  double value = trial.value.value_or(std::numeric_limits<double>::quiet_NaN());
  if (direction == Direction::maximize) value = -value;
  if (std::isnan(value)) value = kWorst;
  switch (trial.state) {
    case TrialState::complete:
      return {0, 0, value};
    case TrialState::pruned:
      return {1, trial.intermediate.empty() ? 0 : -trial.intermediate.rbegin()->first, value};
    default:
      return {2, 0, kWorst};
  }
}

// Of parameter `index`: Pearson divergence of the density of the best from that of all.
double divergence(const Space& space, const std::vector<double>& all,
                  const std::vector<double>& best) {
  const auto estimator = [&](const std::vector<double>& values) {
    std::vector<tuning::ParzenEstimator::Observation> observations;
    for (const double value : values) observations.push_back({value});
    return tuning::ParzenEstimator(space, observations);
  };
  const tuning::ParzenEstimator of_all = estimator(all), of_best = estimator(best);
  const Parameter& parameter = space.front();
  const bool numeric = parameter.type != ParameterType::categorical;
  const int points = numeric ? kGrid : static_cast<int>(parameter.choices.size());
  double sum = 0, weights = 0;
  for (int i = 0; i < points; ++i) {
    const double value =
        numeric ? tuning::from_unit(parameter, (i + 0.5) / points) : static_cast<double>(i);
    const double weight = std::exp(of_all.log_density({value}));
    const double ratio = std::exp(of_best.log_density({value})) / weight;
    sum += weight * (ratio - 1.0) * (ratio - 1.0);
    weights += weight;
  }
  return sum / weights;
}

// An attribute that is a whole number, from 0.
std::optional<std::int64_t> whole(const std::map<std::string, std::string>& attributes,
                                  const char* key) {
  const auto found = attributes.find(key);
  if (found == attributes.end()) return std::nullopt;
  std::int64_t number = 0;
  const char* end = found->second.data() + found->second.size();
  const auto [stop, error] = std::from_chars(found->second.data(), end, number);
  if (error != std::errc{} || stop != end || number < 0) return std::nullopt;
  return number;
}

}  // namespace

Study tuning::JournalContent::study(std::size_t index) const {
  const JournalStudy& recorded = studies_.at(index);
  Study study{.name = recorded.name,
              .direction = recorded.directions.front(),
              .attributes = recorded.user_attributes,
              .first_round = whole(recorded.user_attributes, kFirstRoundKey).value_or(0)};
  for (const std::int64_t id : recorded.trials) {
    const JournalTrial& trial = trials_[static_cast<std::size_t>(id)];
    StudyTrial result{.number = trial.number,
                      .state = trial.state,
                      .intermediate = trial.intermediate,
                      .attributes = trial.user_attributes,
                      .place = whole(trial.system_attributes, kPlaceKey)};
    if (!trial.values.empty()) result.value = trial.values.front();
    if (trial.start && trial.end) result.seconds = *trial.end - *trial.start;
    for (const auto& [parameter, value] : trial.parameters) {
      const std::size_t place = place_of(study.space, parameter);
      const Parameter& known = study.space[place];
      if (known.type != parameter.type || known.choices != parameter.choices) {
        core::fail(ErrorKind::data,
                   "study {}, trial {}: parameter {} is of another kind than in earlier trials",
                   study.name, trial.number, parameter.name);
      }
      result.parameters.resize(std::max(result.parameters.size(), place + 1));
      result.parameters[place] = value;
    }
    study.trials.push_back(std::move(result));
  }
  for (StudyTrial& trial : study.trials) trial.parameters.resize(study.space.size());
  // Optuna's distributions know no one_minus_log; what evenrow says of its search does.
  const auto search = recorded.user_attributes.find(kSearchKey);
  if (search == recorded.user_attributes.end()) return study;
  const std::string text = text_of_json(search->second);
  for (Parameter& parameter : study.space) {
    if (parameter.type == ParameterType::real && parameter.scale == Scale::linear &&
        parameter.high < 1 && is_one_minus_log(text, parameter.name)) {
      parameter.scale = Scale::one_minus_log;
    }
  }
  return study;
}

Study read_study(const std::filesystem::path& given, const std::string& name) {
  std::error_code ignored;
  const std::filesystem::path path =
      std::filesystem::is_directory(given, ignored) ? given / "journal.log" : given;
  const auto bytes = io::read_file(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  tuning::JournalContent content;
  std::int64_t lines = 0;
  const bool truncated = tuning::apply_lines(text, path.string(), lines, content) < text.size();

  std::vector<std::string> names;
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < content.studies().size(); ++i) {
    const tuning::JournalStudy& study = content.studies()[i];
    if (study.deleted) continue;
    names.push_back(study.name);
    if (name.empty() || name == study.name) found = i;
  }
  if (names.empty()) core::fail(ErrorKind::data, "{}: there is no study in it", path.string());
  if (!found || (name.empty() && names.size() > 1)) {
    core::fail(
        ErrorKind::data, "{}: {}; its studies are: {}", path.string(),
        found ? "it has several studies, name one" : fmt::format("no study is named {}", name),
        fmt::join(names, ", "));
  }
  if (content.studies()[*found].directions.size() != 1) {
    core::fail(ErrorKind::data, "{}: study {} has {} objectives, expected one", path.string(),
               content.studies()[*found].name, content.studies()[*found].directions.size());
  }
  Study study = content.study(*found);
  study.truncated = truncated;
  return study;
}

std::vector<std::size_t> ranking(const Study& study) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < study.trials.size(); ++i) {
    const TrialState state = study.trials[i].state;
    if (state != TrialState::running && state != TrialState::waiting) order.push_back(i);
  }
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return rank_of(study.trials[a], study.direction) < rank_of(study.trials[b], study.direction);
  });
  return order;
}

const StudyTrial* best_trial(const Study& study) {
  const std::vector<std::size_t> order = ranking(study);
  if (order.empty() || study.trials[order.front()].state != TrialState::complete) return nullptr;
  return &study.trials[order.front()];
}

std::vector<double> parameter_importance(const Study& study) {
  const std::vector<std::size_t> order = ranking(study);
  if (order.size() < kFewest) return {};
  const auto best_count =
      static_cast<std::size_t>(std::ceil(kBestPart * static_cast<double>(order.size())));
  std::vector<double> importance(study.space.size(), 0.0);
  for (std::size_t p = 0; p < study.space.size(); ++p) {
    std::vector<double> all, best;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::optional<double>& value = study.trials[order[i]].parameters[p];
      if (!value) continue;
      all.push_back(*value);
      if (i < best_count) best.push_back(*value);
    }
    const Parameter& parameter = study.space[p];
    const bool single = parameter.type == ParameterType::categorical
                            ? parameter.choices.size() == 1
                            : parameter.low == parameter.high;
    if (!best.empty() && !single) importance[p] = divergence({parameter}, all, best);
  }
  const double sum = std::accumulate(importance.begin(), importance.end(), 0.0);
  if (!(sum > 0)) return {};
  for (double& value : importance) value /= sum;
  return importance;
}

}  // namespace evenrow
