#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/fail.hpp"
#include "evenrow/tune.hpp"
#include "tune/journal.hpp"
#include "tune/refine.hpp"
#include "tune/samplers.hpp"
#include "tune/search_text.hpp"
#include "tune/space.hpp"

namespace evenrow {
namespace {

constexpr const char* kFailureKey = "failure";

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
  // What the journal has of what those reported; they will report it again.
  std::map<std::int64_t, std::map<std::int64_t, double>> reported_before{};
  std::int64_t ended_before = 0;        // all trials below have ended
  std::optional<Space> second_space{};  // of the second round

  StudyTrial& at(std::int64_t place, const char* what) {
    if (place < 0 || place >= std::ssize(trials) ||
        has_ended(trials[static_cast<std::size_t>(place)])) {
      core::fail(ErrorKind::usage, "{}: trial {} is not running", what, place);
    }
    return trials[static_cast<std::size_t>(place)];
  }

  bool is_in_journal(std::int64_t place, std::int64_t step, double value) const {
    const auto trial = reported_before.find(place);
    if (trial == reported_before.end()) return false;
    const auto reported = trial->second.find(step);
    return reported != trial->second.end() &&
           (reported->second == value || (std::isnan(reported->second) && std::isnan(value)));
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
    const std::string text = tuning::search_text(*space, options);
    journal->append([&] {
      const auto found = journal->content().find_study(options.study);
      if (!found) {
        study_id = journal->content().studies().size();
        return tuning::create_study_line(journal->worker(), options.study, options.direction) +
               tuning::study_attribute_line(journal->worker(), study_id, tuning::kSearchKey, text);
      }
      study_id = *found;
      return std::string();
    });
    const std::string path = options.journal.string();
    const tuning::JournalStudy& recorded = journal->content().studies()[study_id];
    const auto known = recorded.user_attributes.find(tuning::kSearchKey);
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
                 path, tuning::first_difference(tuning::text_of_json(known->second), text));
    }
    take_over();
  }

  // What the journal has of trials of this search.
  void take_over() {
    const Study recorded = journal->content().study(study_id);
    const auto& members = journal->content().studies()[study_id].trials;
    for (std::size_t i = 0; i < recorded.trials.size(); ++i) {
      const std::optional<std::int64_t> place = recorded.trials[i].place;
      if (!place) continue;  // added by somebody else
      if (*place != std::ssize(trials)) {
        core::fail(ErrorKind::data, "{}: trial {} has place {} in the search, expected {}",
                   options.journal.string(), recorded.trials[i].number, *place, trials.size());
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
    for (const std::int64_t place : given_again) {
      reported_before[place] =
          std::exchange(trials[static_cast<std::size_t>(place)].intermediate, {});
    }
    std::ranges::reverse(given_again);
  }

  // Where the first round ends: what the journal has, or else what the options say, which is
  // written there.
  void settle_first_round() {
    const std::int64_t begun = std::ssize(trials);
    const std::int64_t recorded = journal ? journal->content().study(study_id).first_round : 0;
    const auto refuse = [&](const std::string& now) {
      core::fail(ErrorKind::data,
                 "{}: this journal belongs to another study: it has a second round after {} "
                 "trials, and now {}; give the same options to go on with it, or choose another "
                 "place",
                 options.journal.string(), recorded, now);
    };
    if (recorded > 0) {
      if (!options.refine) refuse("there is none (refine)");
      if (options.first_round > 0 && options.first_round != recorded) {
        refuse(fmt::format("first_round is {}", options.first_round));
      }
      options.first_round = recorded;
    }
    if (!options.refine || recorded > 0) return;
    if (options.first_round == 0) options.first_round = std::max(options.trials / 2, begun);
    if (options.first_round < begun || options.first_round >= options.trials) {
      core::fail(ErrorKind::usage,
                 "the first round has {} trials of {}, and {} have begun in the whole space; "
                 "expected a first round of at least those, and more trials than it has",
                 options.first_round, options.trials, begun);
    }
    if (!journal) return;
    journal->append([&] {
      return tuning::study_attribute_line(journal->worker(), study_id, tuning::kFirstRoundKey,
                                          options.first_round);
    });
  }

  // The space of the second round; nullptr while it is not known.
  const Space* refined() {
    if (!second_space && options.refine && ended_before >= options.first_round) {
      second_space = second_round_space(study());
    }
    return second_space ? &*second_space : nullptr;
  }

  Study study() const {
    return {.name = options.study,
            .direction = options.direction,
            .space = *space,
            .trials = trials,
            .first_round = options.refine ? options.first_round : 0};
  }

  void add(StudyTrial trial, std::int64_t id) {
    trials.push_back(std::move(trial));
    ids.push_back(id);
    told_to_end.push_back(false);
  }

  // Values of a new trial, and the space that they are from: all of it, or what refined() left.
  std::vector<std::optional<double>> proposal(std::int64_t place, const Space& from) const {
    std::vector<std::optional<double>> values = tuning::values_at(from, position(place, from));
    for (std::size_t p = 0; p < values.size(); ++p) {
      if (values[p]) values[p] = tuning::carried_over(from[p], (*space)[p], *values[p]);
    }
    return values;
  }

  std::vector<double> position(std::int64_t place, const Space& from) const {
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
    for (const std::size_t i : ranking(known)) {
      if (auto values = within(from, known.trials[i].parameters)) ranked.push_back(*values);
    }
    return tuning::tpe_position(from, ranked, options.seed, place);
  }

  // The values of a trial as values of `part`; empty: the trial is outside of it.
  std::optional<std::vector<std::optional<double>>> within(
      const Space& part, std::vector<std::optional<double>> values) const {
    for (std::size_t p = 0; p < values.size(); ++p) {
      if (!values[p]) continue;
      values[p] = tuning::carried_over((*space)[p], part[p], *values[p]);
      if (!values[p]) return std::nullopt;
    }
    return values;
  }

  bool prunes(std::int64_t place, std::int64_t step, double value) const {
    if (options.pruner == Pruner::none || step == options.last_step) return false;
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
  at_least(o.last_step, 0, "last_step");
  at_least(o.first_round, 0, "first_round");
  if (o.refine) at_least(o.trials, 2, "trials, of two rounds,");
  if (!o.refine && o.first_round > 0) {
    core::fail(ErrorKind::usage, "first_round is {}, and there is one round alone without refine",
               o.first_round);
  }
  if (o.refine && o.first_round >= o.trials) {
    core::fail(ErrorKind::usage, "first_round is {}, expected less than trials, {}", o.first_round,
               o.trials);
  }
  if (o.study.empty()) core::fail(ErrorKind::usage, "study is empty, expected a name");
}

Tuner::Tuner(Space space, TuneOptions options) {
  check(space, options);
  state_ = std::make_unique<State>(State{.space = std::make_shared<const Space>(std::move(space)),
                                         .options = std::move(options)});
  state_->open_journal();
  state_->settle_first_round();
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
  const bool second = !again && s.options.refine && place >= s.options.first_round;
  if (second && s.refined() == nullptr) return {.kind = Answer::Kind::wait};
  if (again) {
    s.given_again.pop_back();
  } else {
    StudyTrial trial{.number = place, .place = place};
    const Space& from = second ? *s.refined() : *s.space;
    trial.parameters = s.proposal(place, from);
    std::int64_t id = place;
    if (s.journal) {
      tuning::NewTrial created{
          .study = s.study_id,
          .system_attributes = {{tuning::kPlaceKey, fmt::format("{}", place)}}};
      for (std::size_t i = 0; i < s.space->size(); ++i) {
        if (!trial.parameters[i]) continue;
        Parameter parameter = from[i];
        // Optuna lets ranges change within a study, choices not.
        parameter.choices = (*s.space)[i].choices;
        created.parameters.emplace_back(std::move(parameter), *trial.parameters[i]);
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
  if (s.journal && !s.is_in_journal(number, step, value)) {
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
  return state_->study();
}

std::optional<Space> Tuner::refined() const {
  const Space* space = state_->refined();
  return space != nullptr ? std::optional<Space>(*space) : std::nullopt;
}

std::int64_t Tuner::first_round() const {
  return state_->options.refine ? state_->options.first_round : 0;
}

std::int64_t Tuner::finished() const {
  return std::ranges::count_if(state_->trials, has_ended);
}

bool Tuner::recovered() const {
  return state_->journal && state_->journal->recovered();
}

}  // namespace evenrow
