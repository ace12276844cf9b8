// Coarse to fine: what a first round leaves, and that the second one keeps every promise of the
// first.
#include "tune/refine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "evenrow/tune.hpp"
#include "support/python.hpp"
#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"
#include "tune/small_searches.hpp"
#include "tune/space.hpp"

namespace evenrow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Best at lr 0.01 with batch norm; units do not count.
double objective(RunningTrial& trial) {
  const double off = std::log10(trial.real("lr")) + 2;
  double value = off * off + (trial.choice("norm") == "none" ? 5 : 0);
  for (int step = 1; step <= 3; ++step) {
    if (trial.report(step, value + 1.0 / step)) return 0;
  }
  if (trial.number() % 11 == 5) throw std::runtime_error("fails");
  return value;
}

Study study_of(const std::vector<std::pair<double, std::vector<std::optional<double>>>>& trials) {
  Study study{.space = small_space(0.5)};
  for (const auto& [value, parameters] : trials) {
    study.trials.push_back({.number = std::ssize(study.trials),
                            .state = TrialState::complete,
                            .value = value,
                            .parameters = parameters});
  }
  return study;
}

bool within(const Parameter& part, const Parameter& whole, const std::optional<double>& value) {
  return !value || tuning::carried_over(whole, part, *value).has_value();
}

TEST(RefinedSpace, IsWhereTheBestLie) {
  // Three good ones of eight: lr 1e-3 to 1e-2, a quarter of its four decades, half of that apart;
  // for three values an eighth is the least, too.
  std::vector<std::pair<double, std::vector<std::optional<double>>>> trials;
  for (const double lr : {1e-3, 2e-3, 1e-2}) trials.push_back({1, {lr, 8 + 5000 * lr, 1, 0.9}});
  for (int i = 0; i < 5; ++i) trials.push_back({2, {1e-4, 30, 0, {}}});
  const Space space = refined_space(study_of(trials));
  EXPECT_LE(space[0].low, 1e-3 * std::pow(10, -0.5));
  EXPECT_GE(space[0].low, 1e-3 * std::pow(10, -0.51));
  EXPECT_GE(space[0].high, 1e-2 * std::pow(10, 0.5));
  EXPECT_LE(space[0].high, 1e-2 * std::pow(10, 0.51));
  EXPECT_EQ(space[0].scale, Scale::log);
  EXPECT_EQ(space[1].low, 8);  // 13 to 58 of 8 to 64: all but whole
  EXPECT_EQ(space[1].high, 64);
  EXPECT_THAT(space[2].choices, ElementsAre("batch"));
  // 1 - x an eighth of the scale to either side of 0.1, in three digits.
  EXPECT_NEAR(space[3].low, 1 - 0.1 * std::pow(5000, 0.125), 1e-3);
  EXPECT_NEAR(space[3].high, 1 - 0.1 * std::pow(5000, -0.125), 1e-4);
  EXPECT_NO_THROW(tuning::check(space));
}

TEST(RefinedSpace, OfNothingIsTheWholeSpace) {
  Study study = study_of({{1, {1e-3, 8, 1, 0.9}}});
  study.trials[0].state = TrialState::failed;
  const Space space = refined_space(study);
  for (std::size_t p = 0; p < space.size(); ++p) {
    EXPECT_EQ(tuning::description(space[p]), tuning::description(study.space[p]));
  }
  // What no good trial has stays whole too.
  study = study_of({{1, {1e-3, 8, 0, {}}}, {1, {1e-3, 9, 0, {}}}});
  EXPECT_EQ(refined_space(study)[3].low, 0.5);
  EXPECT_EQ(refined_space(study)[3].high, 0.9999);
}

TEST(RefinedSpace, ContainsTheGoodTrialsAndNothingNew) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Study study =
        tune(small_space(0.5), objective, {.trials = 30, .pruner = Pruner::asha, .seed = seed});
    const Space part = refined_space(study);
    const std::vector<std::size_t> order = ranking(study);
    for (std::size_t p = 0; p < part.size(); ++p) {
      EXPECT_GE(part[p].low, study.space[p].low);
      EXPECT_LE(part[p].high, study.space[p].high);
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(within(part[p], study.space[p], study.trials[order[i]].parameters[p]))
            << part[p].name << ", seed " << seed;
      }
    }
    EXPECT_NO_THROW(tuning::check(part));
  }
}

TEST(Refine, SecondRoundSearchesWhatTheFirstOneLeft) {
  for (const Search search : {Search::random, Search::sobol, Search::tpe}) {
    TuneOptions options{.trials = 48, .search = search, .pruner = Pruner::asha};
    const Study whole = tune(small_space(0.5), objective, options);
    options.refine = true;
    const Study refined = tune(small_space(0.5), objective, options);
    Study first = whole;
    first.trials.resize(24);
    const Space part = refined_space(first);
    EXPECT_THAT(part[2].choices, ElementsAre("batch"));
    int others = 0;
    for (std::size_t i = 0; i < 48; ++i) {
      if (i < 24) {
        EXPECT_EQ(refined.trials[i].parameters, whole.trials[i].parameters);
      }
      for (std::size_t p = 0; p < part.size() && i >= 24; ++p) {
        EXPECT_TRUE(within(part[p], whole.space[p], refined.trials[i].parameters[p])) << i;
        if (!within(part[p], whole.space[p], whole.trials[i].parameters[p])) ++others;
      }
    }
    EXPECT_GT(others, 5);  // they would have been elsewhere
    EXPECT_EQ(refined.space[2].choices.size(), 2u);
    for (const int jobs : {2, 4}) {
      options.jobs = jobs;
      expect_same_trials(refined, tune(small_space(0.5), objective, options));
    }
  }
}

TEST(Refine, FindsMore) {
  std::vector<double> whole, refined;
  for (std::uint64_t seed = 1; seed <= 21; ++seed) {
    TuneOptions options{.trials = 40, .search = Search::random, .seed = seed};
    whole.push_back(*best_trial(tune(small_space(0.5), objective, options))->value);
    options.refine = true;
    refined.push_back(*best_trial(tune(small_space(0.5), objective, options))->value);
  }
  std::ranges::nth_element(whole, whole.begin() + 10);
  std::ranges::nth_element(refined, refined.begin() + 10);
  EXPECT_LT(refined[10], whole[10] / 2);
}

TEST(Refine, GoesOnWhereItStopped) {
  const TemporaryFolder folder;
  TuneOptions options{.trials = 30, .pruner = Pruner::asha, .jobs = 3, .refine = true};
  const Study whole = tune(small_space(0.5), objective, options);
  for (const int stop : {4, 14, 15, 17, 24}) {  // the second round begins with trial 15
    options.journal = folder / ("journal" + std::to_string(stop));
    int asked = 0;
    tune(small_space(0.5), objective, options, [&] { return ++asked > stop; });
    Tuner(small_space(0.5), options).ask();  // a process that was killed: one trial is running
    expect_same_trials(whole, tune(small_space(0.5), objective, options));
  }
  // More trials: the first round stays what it was, however they are asked for.
  options.trials = 36;
  const Study more = tune(small_space(0.5), objective, options);
  TuneOptions other = options;
  other.journal.clear();
  other.first_round = 15;
  expect_same_trials(more, tune(small_space(0.5), objective, other));
  // A study without a second round gets one.
  other.journal = folder / "later";
  other.refine = false;
  other.first_round = 0;
  other.trials = 15;
  tune(small_space(0.5), objective, other);
  other.refine = true;
  other.trials = 24;
  Tuner later(small_space(0.5), other);
  EXPECT_EQ(later.first_round(), 15);  // not 12: all that there were
  ASSERT_TRUE(later.refined().has_value());
  EXPECT_EQ(later.refined()->at(2).choices.size(), 1u);
}

TEST(Refine, OtherRoundsAreRefused) {
  const TemporaryFolder folder;
  const auto refused = [&](const TuneOptions& options, ErrorKind kind, const std::string& message) {
    EXPECT_THAT([&] { Tuner(small_space(0.5), options); }, ThrowsError(kind, message));
  };
  refused({.trials = 1, .refine = true}, ErrorKind::usage, "trials, of two rounds, is 1");
  refused({.trials = 8, .first_round = 4}, ErrorKind::usage, "without refine");
  refused({.trials = 8, .refine = true, .first_round = 8}, ErrorKind::usage,
          "first_round is 8, expected less than trials, 8");
  refused({.trials = 8, .refine = true, .first_round = -1}, ErrorKind::usage, "first_round is -1");
  const auto journal = folder / "journal.log";
  tune(small_space(0.5), objective, {.trials = 10, .journal = journal});
  refused({.trials = 12, .refine = true, .first_round = 6, .journal = journal}, ErrorKind::usage,
          "10 have begun in the whole space");
  refused({.trials = 10, .refine = true, .journal = journal}, ErrorKind::usage,
          "the first round has 10 trials of 10");
  tune(small_space(0.5), objective, {.trials = 12, .refine = true, .journal = journal});
  refused({.trials = 12, .journal = journal}, ErrorKind::data,
          "a second round after 10 trials, and now there is none");
  refused({.trials = 12, .refine = true, .first_round = 11, .journal = journal}, ErrorKind::data,
          "a second round after 10 trials, and now first_round is 11");
}

TEST(Refine, OptunaReadsBothRoundsAndAddsToThem) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  Space space = small_space(0.5);
  space.resize(3);
  TuneOptions options{.trials = 24, .refine = true, .first_round = 16, .journal = journal};
  const Study ours = tune(space, objective, options);
  ASSERT_NO_FATAL_FAILURE(run_python("optuna_peer.py", {"add", journal.string(), "evenrow", "2"}));
  ASSERT_NO_FATAL_FAILURE(run_python(
      "optuna_peer.py", {"dump", journal.string(), "evenrow", (folder / "out.json").string()}));
  const auto theirs = nlohmann::json::parse(read_text(folder / "out.json"), nullptr, true, true);
  ASSERT_EQ(theirs["trials"].size(), 26u);
  const Space part = *Tuner(space, options).refined();
  for (std::size_t i = 0; i < 24; ++i) {
    const auto& trial = theirs["trials"][i];
    EXPECT_EQ(trial["params"]["lr"].get<double>(), *ours.trials[i].parameters[0]);
    EXPECT_EQ(trial["params"]["norm"], value_text(space[2], *ours.trials[i].parameters[2]));
    const auto& distributions = trial["distributions"];
    EXPECT_THAT(distributions["norm"].get<std::string>(), HasSubstr("('none', 'batch')"));
    EXPECT_EQ(distributions["lr"].get<std::string>().find("low=0.0001") == std::string::npos,
              i >= 16);
  }
  EXPECT_GT(part[0].low, 1e-4);
  // Of a report: axes are all that was searched, and the part that was left is known.
  const Study read = read_study(journal);
  EXPECT_EQ(read.space[0].low, 1e-4);
  EXPECT_EQ(read.trials[23].place, 23);
  EXPECT_FALSE(read.trials[24].place);
  const Space left = second_round_space(read).value();
  for (const Parameter& p : part) {
    const Parameter& same = *std::ranges::find(left, p.name, &Parameter::name);
    EXPECT_EQ(tuning::description(same), tuning::description(p));
  }
  // Theirs change nothing about ours.
  options.trials = 30;
  const Study more = tune(space, objective, options);
  options.journal.clear();
  const Study alone = tune(space, objective, options);
  for (std::size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(more.trials[i].parameters, alone.trials[i].parameters);
  }
}

}  // namespace
}  // namespace evenrow
