// Journals as Optuna has them: read by it, written by it, cut off, and not journals at all.
#include "tune/journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "evenrow/tune.hpp"
#include "support/python.hpp"
#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"
#include "tune/small_searches.hpp"

namespace evenrow {
namespace {

using testing::HasSubstr;

// A trial of every state: complete, pruned, failed by an exception, diverged.
double every_state(RunningTrial& trial) {
  const double lr = trial.real("lr");
  if (trial.number() == 5) throw std::runtime_error("a \"reason\"\nof two lines \xff");
  if (trial.number() == 6) {
    EXPECT_TRUE(trial.report(1, std::nan("")));
    return 0;
  }
  for (int step = 1; step <= 3; ++step) {
    if (trial.report(step, lr + step)) return 0;
  }
  return lr;
}

TEST(JournalOptuna, ReadsWhatWeWrite) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  const Study ours = tune(small_space(0.9), every_state,
                          {.trials = 24, .pruner = Pruner::asha, .lag = 2, .journal = journal});
  ASSERT_NO_FATAL_FAILURE(run_python(
      "optuna_peer.py", {"dump", journal.string(), "evenrow", (folder / "out.json").string()}));
  const auto theirs = nlohmann::json::parse(read_text(folder / "out.json"), nullptr, true, true);
  EXPECT_EQ(theirs["direction"], "MINIMIZE");
  ASSERT_EQ(theirs["trials"].size(), 24u);
  EXPECT_EQ(theirs["best"], best_trial(ours)->number);
  int pruned = 0;
  for (std::size_t i = 0; i < 24; ++i) {
    const auto& trial = theirs["trials"][i];
    const StudyTrial& own = ours.trials[i];
    EXPECT_EQ(trial["number"], own.number);
    EXPECT_TRUE(trial["has_duration"]);
    const char* names[]{"RUNNING", "COMPLETE", "PRUNED", "FAIL"};
    EXPECT_EQ(trial["state"], names[static_cast<int>(own.state)]);
    pruned += own.state == TrialState::pruned ? 1 : 0;
    if (own.value) {
      EXPECT_EQ(trial["value"].get<double>(), *own.value);
    }
    EXPECT_EQ(trial["params"]["lr"].get<double>(), *own.parameters[0]);
    EXPECT_EQ(trial["params"]["units"].get<double>(), *own.parameters[1]);
    EXPECT_EQ(trial["params"]["norm"], value_text(ours.space[2], *own.parameters[2]));
    EXPECT_EQ(trial["params"].contains("beta2"), trial["params"]["norm"] == "batch");
    nlohmann::json intermediate = nlohmann::json::object();
    for (const auto& [step, value] : own.intermediate) {  // NaN is null in both
      intermediate[std::to_string(step)] =
          std::isnan(value) ? nlohmann::json() : nlohmann::json(value);
    }
    EXPECT_EQ(trial["intermediate"], intermediate);
    // Optuna has no one_minus_log.
    nlohmann::json distributions{
        {"lr", "FloatDistribution(high=1.0, log=True, low=0.0001, step=None)"},
        {"units", "IntDistribution(high=64, log=False, low=8, step=1)"},
        {"norm", "CategoricalDistribution(choices=('none', 'batch'))"}};
    if (own.parameters[3]) {
      distributions["beta2"] = "FloatDistribution(high=0.9999, log=False, low=0.9, step=None)";
      EXPECT_EQ(trial["params"]["beta2"].get<double>(), *own.parameters[3]);
    }
    EXPECT_EQ(trial["distributions"], distributions);
  }
  EXPECT_GT(pruned, 0);
  EXPECT_THAT(theirs["trials"][5]["user_attrs"]["failure"].get<std::string>(),
              HasSubstr("a \"reason\"\nof two lines"));
  EXPECT_EQ(theirs["trials"][6]["state"], "FAIL");
}

TEST(JournalOptuna, DashboardShowsOurs) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  const Study ours = tune(small_space(0.9), every_state,
                          {.trials = 24, .pruner = Pruner::asha, .lag = 2, .journal = journal});
  ASSERT_NO_FATAL_FAILURE(run_python(
      "optuna_peer.py", {"dashboard", journal.string(), (folder / "out.json").string()}));
  const auto shown = nlohmann::json::parse(read_text(folder / "out.json"));
  ASSERT_EQ(shown["trials"].size(), 24u);
  EXPECT_EQ(shown["best_trials"][0]["number"], best_trial(ours)->number);
  EXPECT_EQ(shown["union_search_space"].size(), ours.space.size());
  EXPECT_TRUE(shown["has_intermediate_values"].get<bool>());
  for (std::size_t i = 0; i < 24; ++i) {
    const char* states[]{"Running", "Complete", "Pruned", "Fail"};
    EXPECT_EQ(shown["trials"][i]["state"], states[static_cast<int>(ours.trials[i].state)]);
    EXPECT_EQ(shown["trials"][i]["intermediate_values"].size(), ours.trials[i].intermediate.size());
  }
}

TEST(Journal, KeepsTheScalesThatOptunaLacks) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  const Study ours = tune(small_space(0.9), every_state, {.trials = 24, .journal = journal});
  const Study read = read_study(journal);
  const std::vector<double> importance = parameter_importance(ours);
  const std::vector<double> as_read = parameter_importance(read);
  ASSERT_EQ(as_read.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto own = std::ranges::find(ours.space, read.space[i].name, &Parameter::name);
    EXPECT_EQ(read.space[i].scale, own->scale) << own->name;
    EXPECT_NEAR(as_read[i], importance[static_cast<std::size_t>(own - ours.space.begin())], 1e-9);
  }
}

TEST(JournalOptuna, WritesWhatWeRead) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  ASSERT_NO_FATAL_FAILURE(run_python("optuna_peer.py", {"add", journal.string(), "theirs", "5"}));
  const Study study = read_study(journal);
  EXPECT_EQ(study.name, "theirs");
  EXPECT_EQ(study.direction, Direction::minimize);
  ASSERT_EQ(study.trials.size(), 5u);
  ASSERT_EQ(study.space.size(), 3u);
  EXPECT_EQ(study.space[0].scale, Scale::log);
  EXPECT_EQ(study.space[1].type, ParameterType::integer);
  EXPECT_THAT(study.space[2].choices, testing::ElementsAre("none", "batch"));
  EXPECT_EQ(study.trials[0].state, TrialState::complete);
  EXPECT_EQ(study.trials[1].state, TrialState::pruned);
  EXPECT_TRUE(std::isnan(study.trials[1].intermediate.at(2)));
  EXPECT_EQ(study.trials[2].state, TrialState::failed);
  EXPECT_TRUE(std::isinf(*study.trials[3].value));
  EXPECT_EQ(study.trials[0].attributes.at("who"), R"("Optuna, \\ \"quoted\" NaN é")");
  EXPECT_GE(*study.trials[0].seconds, 0);
}

TEST(JournalOptuna, TrialsOfBothInOneStudy) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  const TuneOptions options{.trials = 6, .journal = journal};
  Space space = small_space(0.9);
  space.resize(3);
  tune(space, every_state, {.trials = 3, .journal = journal});
  ASSERT_NO_FATAL_FAILURE(run_python("optuna_peer.py", {"add", journal.string(), "evenrow", "2"}));
  const Study own = tune(space, every_state, options);
  ASSERT_EQ(own.trials.size(), 6u);
  EXPECT_EQ(own.trials[2].number, 2);
  EXPECT_EQ(own.trials[3].number, 5);  // after theirs
  EXPECT_EQ(read_study(journal).trials.size(), 8u);
  // Theirs change nothing about ours.
  const Study alone = tune(space, every_state, {.trials = 6});
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(own.trials[i].parameters, alone.trials[i].parameters) << i;
  }
}

TEST(JournalOptuna, WritesWhileWeDo) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log", enough = folder / "enough";
  Space space = small_space(0.9);
  space.resize(3);
  tune(space, every_state, {.trials = 1, .journal = journal});
  const pid_t writer = ::fork();
  if (writer == 0) {
    Tuner tuner(space, {.trials = 100000, .journal = journal});
    while (!std::filesystem::exists(enough)) {
      tuner.tell(tuner.ask().trial.number, 1.0);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ::_exit(0);
  }
  run_python("optuna_peer.py", {"add", journal.string(), "evenrow", "40"});
  folder.write("enough", "");
  int status = 0;
  ::waitpid(writer, &status, 0);
  EXPECT_EQ(status, 0);

  const Study study = read_study(journal);
  std::vector<std::size_t> theirs;
  for (std::size_t i = 0; i < study.trials.size(); ++i) {
    EXPECT_EQ(study.trials[i].number, static_cast<std::int64_t>(i));
    EXPECT_NE(study.trials[i].state, TrialState::running) << i;
    if (study.trials[i].value != 1.0 && i > 0) theirs.push_back(i);
  }
  ASSERT_EQ(theirs.size(), 40u);
  EXPECT_GT(theirs.back() - theirs.front(), 39u) << "the two never wrote at once";
  run_python("optuna_peer.py", {"dump", journal.string(), "evenrow", (folder / "dump").string()});
  const std::string last = "\"number\": " + std::to_string(study.trials.size() - 1);
  EXPECT_THAT(read_text(folder / "dump"), HasSubstr(last));
}

TEST(Journal, TruncatedLastLineIsRecoveredAndSaid) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  const TuneOptions options{.trials = 4, .journal = journal};
  tune(small_space(0.9), every_state, options);
  const std::string whole = read_text(journal);
  // The end of the last trial is lost, and that trial is run again.
  folder.write("journal.log", whole.substr(0, whole.size() - 20));
  const Study cut = read_study(journal);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.trials.back().state, TrialState::running);
  Tuner tuner(small_space(0.9), options);
  EXPECT_TRUE(tuner.recovered());
  EXPECT_EQ(tuner.finished(), 3);
  const Tuner::Answer answer = tuner.ask();
  ASSERT_EQ(answer.kind, Tuner::Answer::Kind::trial);
  EXPECT_EQ(answer.trial.number, 3);
  tuner.tell(3, 1.0);
  EXPECT_EQ(tuner.ask().kind, Tuner::Answer::Kind::end);
  EXPECT_FALSE(read_study(journal).truncated);
  EXPECT_EQ(read_study(journal).trials.size(), 4u);
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "journal.log.lock"));
}

TEST(Journal, OfAnotherStudyIsRefused) {
  const TemporaryFolder folder;
  const auto journal = folder / "journal.log";
  tune(small_space(0.9), every_state, {.trials = 2, .journal = journal});
  Space other = small_space(0.9);
  other[0].high = 10;
  EXPECT_THAT([&] { Tuner(other, {.journal = journal}); },
              ThrowsError(ErrorKind::data,
                          "belongs to another study: it has \"lr = real log "
                          "0.0001 1\", and now it is \"lr = real log 0.0001 10\""));
  EXPECT_THAT([&] { Tuner(small_space(0.9), {.seed = 2, .journal = journal}); },
              ThrowsError(ErrorKind::data, "seed = 1"));
  EXPECT_THAT(
      [&] { read_study(journal, "elsewhere"); },
      ThrowsError(ErrorKind::data, "no study is named elsewhere; its studies are: evenrow"));
}

TEST(Journal, MalformedLinesAreNamed) {
  const TemporaryFolder folder;
  const std::string first = R"({"op_code":0,"worker_id":"w","study_name":"s","directions":[1]})";
  const auto refused = [&](const std::string& line, const std::string& message) {
    const std::string path = folder.write("journal.log", first + "\n" + line + "\n");
    EXPECT_THAT([&] { read_study(path); }, ThrowsError(ErrorKind::data, path + ", line 2"));
    EXPECT_THAT([&] { read_study(path); }, ThrowsError(ErrorKind::data, message));
  };
  refused("garbage", "JSON");
  refused("[1]", "expected a JSON object");
  refused(R"({"op_code":17})", "op_code 17 is unknown");
  refused(R"({"op_code":4,"study_id":0,"datetime_start":"yesterday"})", "is not a time");
  refused(R"({"op_code":4,"study_id":0,"datetime_start":null,"state":9})", "which is no state");
  refused(R"({"op_code":5,"trial_id":"0"})", "trial_id is not a whole number");
  const std::string empty = folder.write("empty.log", "");
  EXPECT_THAT([&] { read_study(empty); }, ThrowsError(ErrorKind::data, "there is no study in it"));
  EXPECT_THAT([&] { read_study(folder / "none.log"); }, ThrowsError(ErrorKind::io, "none.log"));
}

TEST(Journal, LockOfAKilledProcessIsNotWaitedFor) {
  const TemporaryFolder folder;
  const auto path = folder / "journal.log";
  const pid_t child = ::fork();
  if (child == 0) {
    tuning::Journal(path).append([]() -> std::string { ::raise(SIGKILL), ::_exit(1); });
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "journal.log.lock"));
  const auto start = std::chrono::steady_clock::now();
  tuning::Journal(path).append([] { return tuning::create_study_line("w", "s", {}); });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(read_study(path).name, "s");
}

TEST(Journal, ManyWritersLoseNothing) {
  const TemporaryFolder folder;
  const auto path = folder / "journal.log";
  {
    tuning::Journal(path).append([] { return tuning::create_study_line("w", "s", {}); });
  }
  constexpr int kWriters = 4, kLines = 25;
  for (int writer = 0; writer < kWriters; ++writer) {
    if (::fork() == 0) {
      tuning::Journal journal(path);
      for (int i = 0; i < kLines; ++i) {
        journal.append([&] {
          const std::int64_t id = std::ssize(journal.content().trials());
          return tuning::create_trial_line(journal.worker(), {}) +
                 tuning::state_line(journal.worker(), id, TrialState::complete,
                                    static_cast<double>(id));
        });
      }
      ::_exit(0);
    }
  }
  for (int i = 0; i < kWriters; ++i) {
    int status = 0;
    ::wait(&status);
    EXPECT_EQ(status, 0);
  }
  const Study study = read_study(path);
  ASSERT_EQ(study.trials.size(), std::size_t{kWriters * kLines});
  for (const StudyTrial& trial : study.trials) EXPECT_EQ(trial.value, trial.number);
}

}  // namespace
}  // namespace evenrow
