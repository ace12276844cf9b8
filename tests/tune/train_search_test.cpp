// The search for options of training: spaces from files, killed and stopped searches, failures.
#include "tune/train_search.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "support/python.hpp"
#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"
#include "tune/small_searches.hpp"
#include "tune/train_space.hpp"

namespace evenrow {
namespace {

using testing::HasSubstr;
using tuning::SearchObserver;
using tuning::SearchResult;
using tuning::TrainingSearch;

TrainingSearch small_search(const std::string& data, std::int64_t trials = 12) {
  TrainingSearch search;
  search.training.data = data;
  search.training.hidden = {8};
  search.training.epochs = 9;
  search.training.validation = 0.3;
  search.training.threads = 1;
  search.space = tuning::training_space(
      "[lr]\nlow = 1e-3\nhigh = 1.0\n[batch_size]\nlow = 8\nhigh = 64\n"
      "[norm]\nvalues = [\"batch\", \"none\"]\n[norm_new_weight]\nlow = 0.05\nhigh = 0.5\n",
      "test");
  search.search = {.trials = trials, .pruner = Pruner::asha, .jobs = 2};
  return search;
}

TEST(TrainingSpace, DefaultsAndScales) {
  const Space space = tuning::training_space(tuning::kDefaultSpace, "default");
  const auto find = [&](const std::string& name) {
    return *std::ranges::find(space, name, &Parameter::name);
  };
  for (const char* name : {"lr", "weight_decay", "batch_size", "norm_new_weight", "hidden.1"}) {
    EXPECT_EQ(find(name).scale, Scale::log) << name;
  }
  for (const char* name : {"momentum", "beta1", "beta2"}) {
    EXPECT_EQ(find(name).scale, Scale::one_minus_log) << name;
  }
  EXPECT_EQ(find("dropout").scale, Scale::linear);
  EXPECT_THAT(find("norm_placement").choices, testing::ElementsAre("before", "after"));
  EXPECT_EQ(find("hidden.3").condition->at_least, 3);
  EXPECT_EQ(find("momentum").condition->parameter, "optimizer");
  // Options of any trial can be trained with.
  Tuner tuner(space, {.trials = 50, .search = Search::random});
  for (int i = 0; i < 50; ++i) {
    const TrialParameters parameters = tuner.ask().trial.parameters;
    const TrainOptions options = tuning::options_of({.data = "x.csv"}, parameters);
    EXPECT_NO_THROW(check(options));
    EXPECT_EQ(std::ssize(options.hidden), parameters.integer("hidden.depth"));
    EXPECT_EQ(options.learning_rate, parameters.real("lr"));
    EXPECT_EQ(options.norm == Norm::batch, parameters.has("norm_new_weight"));
  }
}

TEST(TrainingSpace, BadFilesAreRefusedWithTheirLine) {
  const auto refused = [](const std::string& text, const std::string& message) {
    EXPECT_THAT([&] { tuning::training_space(text, "s.toml"); },
                ThrowsError(ErrorKind::usage, "s.toml, line " + message));
  };
  refused("[lr\n", "1: not TOML");
  refused("\n[droput]\nlow = 0\nhigh = 1\n", "2: droput: unknown option (did you mean 'dropout'?)");
  refused("[lr]\nlow = 1e-3\nhihg = 1\n", "3: lr: unknown key hihg (did you mean 'high'?)");
  refused("[lr]\nlow = 1\n", "1: lr: high is missing");
  refused("[lr]\nlow = 1\nhigh = 0.1\n", "1: parameter lr: its range is empty");
  refused("[lr]\nlow = 0\nhigh = 1\n", "1: parameter lr: a log scale cannot begin at 0");
  refused("[lr]\nlow = 1\nhigh = 2\nscale = \"lgo\"\n", "4: lr: scale is 'lgo', expected one of");
  refused("[batch_size]\nlow = 1.5\nhigh = 2\n", "2: batch_size: low is not a whole number");
  refused("[norm]\nvalues = [\"bacth\"]\n", "2: norm: 'bacth' is not one of none, batch (did you");
  refused("[hidden]\ndepth = [1, 2]\nunits = [0, 9]\n", "1: parameter hidden.1: a log scale");
  refused("[hidden]\ndepth = 3\nunits = [1, 9]\n", "2: hidden: depth is not [low, high]");
  refused("[epochs]\nlow = 1\nhigh = 2\n", "1: epochs is not searched");
  refused("lr = 3\n", "1: lr: expected a table [lr]");
}

TEST(TrainSearch, SameTrialsForAnyNumberOfJobs) {
  const TemporaryFolder folder;
  TrainingSearch search = small_search(write_classes(folder));
  SearchObserver silent;
  search.search.jobs = 1;
  const SearchResult one = tuning::search_training(search, folder / "1", silent);
  search.search.jobs = 4;
  const SearchResult four = tuning::search_training(search, folder / "4", silent);
  expect_same_trials(one.study, four.study);
  EXPECT_EQ(one.study.direction, Direction::maximize);
  // What was trained to its end is complete, however many were better.
  for (const StudyTrial& trial : one.study.trials) {
    EXPECT_EQ(trial.state == TrialState::complete, trial.intermediate.size() == 9u);
  }
  // The best is what its file says, and training it again gives its score.
  TrainOptions best = options_from_toml(read_text(folder / "1" / "best.toml"));
  EXPECT_EQ(to_toml(best), to_toml(one.best));
  const TrainResult again = train(read_dataset(best.data), best);
  EXPECT_EQ(again.validation->accuracy, *best_trial(one.study)->value);
}

pid_t start_search(const TrainingSearch& search, const std::filesystem::path& folder) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  SearchObserver silent;
  int code = 0;
  try {
    tuning::search_training(search, folder, silent);
  } catch (const std::exception&) {
    code = 1;
  }
  ::_exit(code);
}

// Of a search that is done: every trial began and ended once, and told no epoch twice.
void expect_nothing_ran_twice(const std::filesystem::path& journal, std::size_t trials) {
  std::size_t begun = 0;
  std::map<std::int64_t, int> ended;
  std::map<std::pair<std::int64_t, std::int64_t>, int> reported;
  std::ifstream lines(journal);
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json["op_code"] == 4) ++begun;
    if (json["op_code"] == 6) ++ended[json["trial_id"]];
    if (json["op_code"] == 7) ++reported[{json["trial_id"], json["step"]}];
  }
  EXPECT_EQ(begun, trials);
  EXPECT_EQ(ended.size(), trials);
  for (const auto& [trial, count] : ended) EXPECT_EQ(count, 1) << trial;
  for (const auto& [epoch, count] : reported) {
    EXPECT_EQ(count, 1) << "trial " << epoch.first << ", epoch " << epoch.second;
  }
}

TEST(TrainSearch, KilledAtAnyTimeNothingFinishedIsLostOrRunsTwice) {
  const TemporaryFolder folder;
  TrainingSearch search = small_search(write_classes(folder), 16);
  search.search.refine = true;
  search.checkpoint_interval = std::chrono::milliseconds(2);
  SearchObserver silent;
  const auto start = std::chrono::steady_clock::now();
  const SearchResult whole = tuning::search_training(search, folder / "whole", silent);
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_real_distribution<> pause(0, took.count() / 4);
  const auto killed = folder / "killed", journal = killed / "journal.log";
  const auto in_second_round = [&] {  // its first trials have begun
    return std::filesystem::exists(journal) &&
           read_text(journal).find("\"evenrow:trial\":10}") != std::string::npos;
  };
  int kills = 0;
  for (int round = 0; round < 5; ++round) {
    const pid_t child = start_search(search, killed);
    ::usleep(static_cast<useconds_t>(pause(random)));
    for (int wait = 0; round == 4 && wait < 5000 && !in_second_round(); ++wait) ::usleep(1000);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    kills += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 1 : 0;
    if (!std::filesystem::exists(journal) || read_text(journal).empty()) continue;
    ASSERT_NO_FATAL_FAILURE(
        run_python("optuna_peer.py", {"dump", journal, "evenrow", (folder / "out.json").string()}));
  }
  EXPECT_GE(kills, 1);
  const SearchResult rest = tuning::search_training(search, killed, silent);
  expect_same_trials(whole.study, rest.study);
  EXPECT_FALSE(std::filesystem::exists(killed / "checkpoints"));
  expect_nothing_ran_twice(journal, 16);
}

// The trial that is running when the search is killed has a checkpoint, and goes on from there.
TEST(TrainSearch, KilledTrialIsGoneOnWith) {
  const TemporaryFolder folder;
  TrainingSearch search = small_search(write_classes(folder), 1);
  search.training.epochs = 200;
  search.search.pruner = Pruner::none;
  search.checkpoint_interval = std::chrono::milliseconds(5);
  const auto study = folder / "study", journal = study / "journal.log",
             checkpoint = study / "checkpoints" / "trial-0-0.safetensors";
  const pid_t child = start_search(search, study);
  const auto is_saved = [&] {
    return std::filesystem::exists(checkpoint) &&
           read_text(journal).find("\"step\":5,") != std::string::npos;
  };
  for (int wait = 0; wait < 20000 && !is_saved(); ++wait) ::usleep(500);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const std::string before = read_text(journal);
  ASSERT_EQ(before.find("\"op_code\":6"), std::string::npos);  // it had not ended
  ASSERT_TRUE(std::filesystem::exists(checkpoint));
  SearchObserver silent;
  const SearchResult rest = tuning::search_training(search, study, silent);
  EXPECT_FALSE(std::filesystem::exists(study / "checkpoints"));
  // What was said before is not said again, and the result is that of a trial in one piece.
  const std::string after = read_text(journal);
  EXPECT_EQ(std::ranges::count(after, '\n'), 1 + 1 + 1 + 200 + 1);
  EXPECT_TRUE(after.starts_with(before.substr(0, before.rfind('\n'))));
  const TrainResult again = train(read_dataset(search.training.data), rest.best);
  EXPECT_EQ(again.validation->accuracy, best_trial(rest.study)->value);
}

TEST(TrainSearch, KilledWorkersAreFailedTrialsAndTheOthersGoOn) {
  const TemporaryFolder folder;
  TrainingSearch search = small_search(write_classes(folder), 6);
  search.training.epochs = 27;
  search.search.pruner = Pruner::none;
  // Kills three workers from its own process: the first that it sees, the others after so many more
  // looks (one at each report, of which a trial makes 27).
  struct Killer : SearchObserver {
    bool stop_requested() override {
      std::ifstream children("/proc/self/task/" + std::to_string(::getpid()) + "/children");
      pid_t child = 0;
      if (kills == 3 || !(children >> child) || looks-- > 0) return false;
      EXPECT_EQ(::kill(child, SIGKILL), 0);
      ++kills;
      looks = std::uniform_int_distribution(0, 40)(random);
      return false;
    }
    const unsigned seed = std::random_device()();
    std::mt19937 random{seed};
    int kills = 0, looks = 0;
  } killer;
  SCOPED_TRACE("seed " + std::to_string(killer.seed));
  const auto journal = folder / "study" / "journal.log";
  const SearchResult result = tuning::search_training(search, folder / "study", killer);
  EXPECT_EQ(killer.kills, 3);
  ASSERT_EQ(result.study.trials.size(), 6u);
  int failed = 0;
  for (const StudyTrial& trial : result.study.trials) {
    if (trial.state != TrialState::failed) {
      EXPECT_EQ(trial.state, TrialState::complete);
      continue;
    }
    ++failed;
    EXPECT_THAT(trial.attributes.at("failure"), HasSubstr("killed by signal 9"));
  }
  EXPECT_GE(failed, 1);  // one that had just ended its trial, or was killed before, changes nothing
  EXPECT_LE(failed, 3);
  expect_nothing_ran_twice(journal, 6);
  const auto dump = folder / "out.json";
  ASSERT_NO_FATAL_FAILURE(
      run_python("optuna_peer.py", {"dump", journal, "evenrow", dump.string()}));
  const auto trials = nlohmann::json::parse(read_text(dump))["trials"];
  ASSERT_EQ(trials.size(), 6u);
  EXPECT_EQ(failed, std::ranges::count(trials, "FAIL", [](const auto& t) { return t["state"]; }));
}

TEST(TrainSearch, StoppedGoesOnAndBadInputIsRefused) {
  const TemporaryFolder folder;
  const TrainingSearch search = small_search(write_classes(folder));
  struct Stopper : SearchObserver {
    void on_trial(const Study&, const StudyTrial&) override { ++ended; }
    bool stop_requested() override { return ended >= 3; }
    int ended = 0;
  } stopper;
  SearchObserver silent;
  const SearchResult whole = tuning::search_training(search, folder / "whole", silent);
  EXPECT_TRUE(tuning::search_training(search, folder / "part", stopper).stopped);
  EXPECT_LT(read_study(folder / "part").trials.size(), 12u);
  expect_same_trials(whole.study, tuning::search_training(search, folder / "part", silent).study);

  TrainingSearch other = search;
  other.training.epochs = 3;
  EXPECT_THAT([&] { tuning::search_training(other, folder / "part", silent); },
              ThrowsError(ErrorKind::data, "belongs to another study: it has \"epochs = 9\""));
  EXPECT_THAT([&] { tuning::search_training(search, folder.path(), silent); },
              ThrowsError(ErrorKind::usage, "but no study (journal.log)"));
  other = search;
  other.metric = tuning::Metric::rmse;
  EXPECT_THAT([&] { tuning::search_training(other, folder / "new", silent); },
              ThrowsError(ErrorKind::usage, "metric rmse is of regression"));
  EXPECT_FALSE(std::filesystem::exists(folder / "new"));
  other = search;
  other.search.trials = 2;
  other.space = tuning::training_space("[batch_size]\nvalues = [1]\n", "test");
  other.training.norm = Norm::batch;
  EXPECT_THAT([&] { tuning::search_training(other, folder / "failed", silent); },
              ThrowsError(ErrorKind::training, "no trial came to its end, 2 of 2 failed"));
  EXPECT_EQ(read_study(folder / "failed").trials[1].state, TrialState::failed);
}

}  // namespace
}  // namespace evenrow
