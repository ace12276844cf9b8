#include <algorithm>
#include <cmath>
#include <map>

#include "core/fail.hpp"
#include "core/nearest.hpp"
#include "evenrow/tune.hpp"
#include "tune/journal.hpp"
#include "tune/names.hpp"
#include "tune/samplers.hpp"
#include "tune/space.hpp"

namespace evenrow {
namespace {

// System attribute of a trial: its place in the search, which its number in the journal need not
// be, where others write too. User attribute of the study: what decides the trials.
constexpr const char* kPlaceKey = "evenrow:trial";
constexpr const char* kSearchKey = "evenrow:search";
constexpr const char* kFailureKey = "failure";

// What decides the trials, a "key = value" a line.
std::string search_text(const Space& space, const TuneOptions& o) {
  std::string text =
      fmt::format("search = {}\npruner = {}\ndirection = {}\nseed = {}\n", core::name_of(o.search),
                  core::name_of(o.pruner), core::name_of(o.direction), o.seed);
  if (o.search == Search::tpe || o.pruner == Pruner::asha) {
    text += fmt::format("lag = {}\n", o.lag);
  }
  if (o.pruner == Pruner::asha) {
    text += fmt::format("eta = {}\nfirst_rung = {}\n", o.eta, o.first_rung);
  }
  for (const Parameter& parameter : space) text += tuning::description(parameter) + "\n";
  text += o.context;
  if (text.back() != '\n') text += '\n';
  return text;
}

// The first line of `a` that is not the same in `b`.
std::string first_difference(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    const std::string_view line_a = a.substr(0, a.find('\n')), line_b = b.substr(0, b.find('\n'));
    if (line_a != line_b) return fmt::format("it has \"{}\", and now it is \"{}\"", line_a, line_b);
    a.remove_prefix(std::min(a.size(), line_a.size() + 1));
    b.remove_prefix(std::min(b.size(), line_b.size() + 1));
  }
  return {};
}

bool has_ended(const StudyTrial& trial) {
  return trial.state != TrialState::running;
}

}  // namespace

struct Tuner::State {
  std::shared_ptr<const Space> space;
  TuneOptions options;
  std::optional<tuning::Journal> journal{};
  std::size_t study_id = 0;
  std::vector<StudyTrial> trials{};         // by place; their numbers are those of the journal
  std::vector<std::int64_t> ids{};          // of each, in the journal
  std::vector<bool> told_to_end{};          // by report()
  std::vector<std::int64_t> given_again{};  // trials that were running when the journal was left
  std::int64_t ended_before = 0;            // all trials below have ended

  StudyTrial& at(std::int64_t place, const char* what) {
    if (place < 0 || place >= std::ssize(trials) ||
        has_ended(trials[static_cast<std::size_t>(place)])) {
      core::fail(ErrorKind::usage, "{}: trial {} is not running", what, place);
    }
    return trials[static_cast<std::size_t>(place)];
  }

  bool looks_back() const {
    return options.search == Search::tpe || options.pruner != Pruner::none;
  }

  // How many of the first trials trial `place` may know.
  std::size_t known_to(std::int64_t place) const {
    return static_cast<std::size_t>(
        std::clamp<std::int64_t>(place - options.lag + 1, 0, std::ssize(trials)));
  }

  void open_journal() {
    if (options.journal.empty()) return;
    journal.emplace(options.journal);
    const std::string text = search_text(*space, options);
    journal->append([&] {
      const auto found = journal->content().find_study(options.study);
      if (!found) {
        study_id = journal->content().studies().size();
        return tuning::create_study_line(journal->worker(), options.study, options.direction) +
               tuning::study_attribute_line(journal->worker(), study_id, kSearchKey, text);
      }
      study_id = *found;
      return std::string();
    });
    const std::string path = options.journal.string();
    const tuning::JournalStudy& recorded = journal->content().studies()[study_id];
    const auto known = recorded.user_attributes.find(kSearchKey);
    if (known == recorded.user_attributes.end()) {
      core::fail(ErrorKind::data,
                 "{}: the study {} in it was not made by evenrow; choose another file, or another "
                 "name",
                 path, options.study);
    }
    if (known->second != tuning::json_text(text)) {
      core::fail(ErrorKind::data,
                 "{}: this journal belongs to another study: {}; give the same options to go on "
                 "with it, or choose another place",
                 path, first_difference(tuning::text_of_json(known->second), text));
    }
    take_over();
  }

  // What the journal has of trials of this search.
  void take_over() {
    const Study recorded = journal->content().study(study_id);
    const auto& members = journal->content().studies()[study_id].trials;
    for (std::size_t i = 0; i < recorded.trials.size(); ++i) {
      const auto& attributes =
          journal->content().trials()[static_cast<std::size_t>(members[i])].system_attributes;
      const auto place = attributes.find(kPlaceKey);
      if (place == attributes.end()) continue;  // added by somebody else
      if (place->second != fmt::format("{}", trials.size())) {
        core::fail(ErrorKind::data, "{}: trial {} has place {} in the search, expected {}",
                   options.journal.string(), recorded.trials[i].number, place->second,
                   trials.size());
      }
      StudyTrial trial = recorded.trials[i];
      trial.parameters.assign(space->size(), std::nullopt);
      for (std::size_t p = 0; p < recorded.space.size(); ++p) {
        for (std::size_t own = 0; own < space->size(); ++own) {
          if ((*space)[own].name == recorded.space[p].name) {
            trial.parameters[own] = recorded.trials[i].parameters[p];
          }
        }
      }
      add(std::move(trial), members[i]);
      if (!has_ended(trials.back())) given_again.push_back(std::ssize(trials) - 1);
    }
    // What a trial said before it was cut off it will say again.
    for (const std::int64_t place : given_again) {
      trials[static_cast<std::size_t>(place)].intermediate.clear();
    }
    std::ranges::reverse(given_again);
  }

  void add(StudyTrial trial, std::int64_t id) {
    trials.push_back(std::move(trial));
    ids.push_back(id);
    told_to_end.push_back(false);
  }

  std::vector<double> position(std::int64_t place) const {
    switch (options.search) {
      case Search::random:
        return tuning::random_position(space->size(), options.seed, place);
      case Search::sobol:
        return tuning::sobol_position(space->size(), options.seed, place);
      case Search::tpe:
        break;
    }
    Study known{.direction = options.direction, .space = *space};
    known.trials.assign(trials.begin(),
                        trials.begin() + static_cast<std::ptrdiff_t>(known_to(place)));
    std::vector<std::vector<std::optional<double>>> ranked;
    for (const std::size_t i : ranking(known)) ranked.push_back(known.trials[i].parameters);
    return tuning::tpe_position(*space, ranked, options.seed, place);
  }

  bool prunes(std::int64_t place, std::int64_t step, double value) const {
    if (options.pruner == Pruner::none) return false;
    std::int64_t rung = options.first_rung;
    while (rung < step && rung <= step / options.eta) rung *= options.eta;
    if (rung != step) return false;
    const double sign = options.direction == Direction::maximize ? 1.0 : -1.0;
    std::int64_t competitors = 1, better = 0;  // itself among them
    for (std::size_t i = 0; i < known_to(place); ++i) {
      const auto reported = trials[i].intermediate.find(step);
      if (reported == trials[i].intermediate.end()) continue;
      ++competitors;
      // NaN is worse than anything.
      if (sign * reported->second > sign * value) ++better;
    }
    return better >= std::max<std::int64_t>(1, competitors / options.eta);
  }

  void end(std::int64_t place, TrialState state, std::optional<double> value,
           const std::string& reason) {
    const auto index = static_cast<std::size_t>(place);
    StudyTrial& trial = trials[index];
    if (journal) {
      journal->append([&] {
        std::string lines;
        if (!reason.empty()) {
          lines = tuning::trial_attribute_line(journal->worker(), ids[index], kFailureKey, reason);
        }
        return lines + tuning::state_line(journal->worker(), ids[index], state, value);
      });
    }
    trial.state = state;
    trial.value = value;
    if (!reason.empty()) trial.attributes[kFailureKey] = tuning::json_text(reason);
    while (ended_before < std::ssize(trials) &&
           has_ended(trials[static_cast<std::size_t>(ended_before)])) {
      ++ended_before;
    }
  }
};

void check(const Space& space, const TuneOptions& o) {
  tuning::check(space);
  const auto at_least = [](std::int64_t value, std::int64_t least, const char* name) {
    if (value < least) {
      core::fail(ErrorKind::usage, "{} is {}, expected at least {}", name, value, least);
    }
  };
  at_least(o.trials, 1, "trials");
  at_least(o.jobs, 1, "jobs");
  at_least(o.lag, 1, "lag");
  at_least(o.eta, 2, "eta");
  at_least(o.first_rung, 1, "first_rung");
  if (o.study.empty()) core::fail(ErrorKind::usage, "study is empty, expected a name");
}

Tuner::Tuner(Space space, TuneOptions options) {
  check(space, options);
  state_ = std::make_unique<State>(State{.space = std::make_shared<const Space>(std::move(space)),
                                         .options = std::move(options)});
  state_->open_journal();
  while (state_->ended_before < std::ssize(state_->trials) &&
         has_ended(state_->trials[static_cast<std::size_t>(state_->ended_before)])) {
    ++state_->ended_before;
  }
}

Tuner::~Tuner() = default;
Tuner::Tuner(Tuner&&) noexcept = default;
Tuner& Tuner::operator=(Tuner&&) noexcept = default;

Tuner::Answer Tuner::ask() {
  State& s = *state_;
  const bool again = !s.given_again.empty();
  const std::int64_t place = again ? s.given_again.back() : std::ssize(s.trials);
  if (place >= s.options.trials) return {};
  // A trial that is given again was given before, so what it needs to know had ended.
  if (s.looks_back() && !again && s.ended_before < place - s.options.lag + 1) {
    return {.kind = Answer::Kind::wait};
  }
  if (again) {
    s.given_again.pop_back();
  } else {
    StudyTrial trial{.number = place};
    trial.parameters = tuning::values_at(*s.space, s.position(place));
    std::int64_t id = place;
    if (s.journal) {
      tuning::NewTrial created{.study = s.study_id,
                               .system_attributes = {{kPlaceKey, fmt::format("{}", place)}}};
      for (std::size_t i = 0; i < s.space->size(); ++i) {
        if (trial.parameters[i]) {
          created.parameters.emplace_back((*s.space)[i], *trial.parameters[i]);
        }
      }
      s.journal->append([&] {
        id = std::ssize(s.journal->content().trials());
        return tuning::create_trial_line(s.journal->worker(), created);
      });
      trial.number = s.journal->content().trials()[static_cast<std::size_t>(id)].number;
    }
    s.add(std::move(trial), id);
  }
  return {.kind = Answer::Kind::trial,
          .trial = {.number = place,
                    .parameters = TrialParameters(
                        s.space, s.trials[static_cast<std::size_t>(place)].parameters)}};
}

bool Tuner::report(std::int64_t number, std::int64_t step, double value) {
  State& s = *state_;
  StudyTrial& trial = s.at(number, "report");
  const auto index = static_cast<std::size_t>(number);
  if (s.journal) {
    s.journal->append(
        [&] { return tuning::intermediate_line(s.journal->worker(), s.ids[index], step, value); });
  }
  trial.intermediate[step] = value;
  if (!std::isfinite(value) || s.prunes(number, step, value)) s.told_to_end[index] = true;
  return s.told_to_end[index];
}

void Tuner::tell(std::int64_t number, double value) {
  State& s = *state_;
  const StudyTrial& trial = s.at(number, "tell");
  const bool pruned = s.told_to_end[static_cast<std::size_t>(number)];
  if (pruned) value = trial.intermediate.rbegin()->second;
  if (!std::isfinite(value)) return tell_failed(number, fmt::format("its value is {}", value));
  s.end(number, pruned ? TrialState::pruned : TrialState::complete, value, {});
}

void Tuner::tell_failed(std::int64_t number, const std::string& reason) {
  state_->at(number, "tell_failed");
  state_->end(number, TrialState::failed, std::nullopt, reason);
}

Study Tuner::study() const {
  Study study{.name = state_->options.study,
              .direction = state_->options.direction,
              .space = *state_->space,
              .trials = state_->trials};
  return study;
}

std::int64_t Tuner::finished() const {
  return std::ranges::count_if(state_->trials, has_ended);
}

bool Tuner::recovered() const {
  return state_->journal && state_->journal->recovered();
}

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
