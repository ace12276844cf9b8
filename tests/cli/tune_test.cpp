// evenrow tune as a user runs it: to its end, stopped and gone on with, and with bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/program.hpp"
#include "report/numbers.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;

class Tune : public testing::Test {
 protected:
  void SetUp() override { place_.write("flowers.csv", flowers_csv()); }

  std::vector<std::string> tune(const std::string& out, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"tune", "flowers.csv", "--out", out, "--epochs", "9"};
    if (std::ranges::find(more, "--trials") == more.end()) {
      more.insert(more.end(), {"--trials", "12"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  void expect_refused(const std::vector<std::string>& more, int exit, const std::string& message) {
    const Outcome outcome = place_.run(tune("refused", more));
    EXPECT_EQ(outcome.exit, exit) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_EQ(line_count(outcome.err), 1);
    EXPECT_FALSE(place_.has("refused"));
  }

  // The states and values of the trials, without times and names of processes.
  std::string results(const std::string& out) {
    std::string text;
    std::istringstream lines(place_.read(out + "/journal.log"));
    for (std::string line; std::getline(lines, line);) {
      const std::size_t id = line.find("\"trial_id\""), end = line.find(",\"datetime");
      if (line.starts_with("{\"op_code\":6")) text += line.substr(id, end - id) + "\n";
    }
    return text;
  }

  // The lines of the journal that do this: 4 begins a trial, 6 ends it, 8 notes something of it.
  std::vector<nlohmann::json> journal(const std::string& out, int op_code) {
    std::vector<nlohmann::json> found;
    std::istringstream lines(place_.read(out + "/journal.log"));
    for (std::string line; std::getline(lines, line);) {
      if (auto json = nlohmann::json::parse(line); json["op_code"] == op_code) {
        found.push_back(std::move(json));
      }
    }
    return found;
  }

  // Number and value of the trials that are complete, from the lowest value.
  std::vector<std::pair<double, int>> complete_trials(const std::string& out) {
    std::vector<std::pair<double, int>> trials;
    for (const auto& end : journal(out, 6)) {
      if (end["state"] == 1) trials.emplace_back(end["values"][0], end["trial_id"]);
    }
    std::ranges::sort(trials);
    return trials;
  }

  Workplace place_;
};

// Number and value of the trials in the table of the best.
std::vector<std::pair<int, std::string>> best_rows(const std::string& text) {
  std::vector<std::pair<int, std::string>> rows;
  std::istringstream lines(text.substr(text.find("\ntrial  ") + 1));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && !line.empty()) {
    std::istringstream words(line);
    words >> rows.emplace_back().first >> rows.back().second;
  }
  return rows;
}

TEST_F(Tune, EndsWithATableAndOptionsToTrainWith) {
  const Outcome late = place_.run(tune("study", {"--norm", "batch", "--timeout", "1e-9"}));
  EXPECT_EQ(late.exit, 5);
  EXPECT_THAT(late.err, HasSubstr("no trial was started within 1e-09 seconds"));
  const Outcome outcome = place_.run(tune("study", {"--retrain", "--norm", "batch"}));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("12 trials: "));
  EXPECT_THAT(outcome.out, HasSubstr("\ntrial  accuracy"));
  EXPECT_THAT(outcome.out, HasSubstr("What counted most: "));
  EXPECT_THAT(outcome.err, HasSubstr("12/12"));
  EXPECT_THAT(outcome.err, testing::Not(HasSubstr(" 1 epochs")));
  EXPECT_THAT(place_.read("study/best.toml"), HasSubstr("norm = \"batch\""));
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  EXPECT_EQ(place_.run({"train", "--config", "study/best.toml", "--out", "run"}).exit, 0);
  const std::size_t at = outcome.out.find("study/best-");
  ASSERT_NE(at, std::string::npos);
  const std::string model = outcome.out.substr(at, outcome.out.find('\n', at) - at);
  EXPECT_EQ(place_.run({"evaluate", model, "flowers.csv"}).exit, 0);
  // It saw all rows.
  const std::string folder = model.substr(0, model.rfind('/'));
  const auto result = nlohmann::json::parse(place_.read(folder + "/result.json"));
  EXPECT_EQ(result["training"]["rows"], 240);
  EXPECT_TRUE(result["validation"].is_null());
  EXPECT_THAT(place_.read(folder + "/config.toml"), HasSubstr("\nvalidation = 0.0\n"));
  // Nothing is left to do; more trials may be added.
  EXPECT_EQ(place_.run(tune("study", {"--norm", "batch"})).out.find("12 trials"), 1u);
  EXPECT_EQ(place_.run(tune("study", {"--norm", "batch", "--trials", "14"})).out.find("14 trials"),
            1u);
}

TEST_F(Tune, NeverLooksAtTestData) {
  ASSERT_EQ(place_.run(tune("without", {"--jobs", "1", "--trials", "6"})).exit, 0);
  place_.write("other.csv", flowers_csv({"virginica", "setosa", "\"Iris, blue\""}));
  for (const char* test : {"missing.csv", "other.csv"}) {
    const std::string out = std::string("with-") + test;
    const Outcome outcome = place_.run(tune(out, {"--jobs", "1", "--trials", "6", "--test", test}));
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_EQ(results(out), results("without")) << test;
  }
  // Nor is it another study.
  const Outcome same = place_.run(tune("without", {"--trials", "6", "--test", "missing.csv"}));
  EXPECT_EQ(same.exit, 0) << same.err;
  EXPECT_THAT(same.err, HasSubstr("6 of them finished before"));
}

TEST_F(Tune, WhatTheModelIsToBeMeasuredOnIsReadBeforeTheSearch) {
  const Outcome outcome = place_.run(tune("study", {"--retrain", "--test", "missing.csv"}));
  EXPECT_EQ(outcome.exit, 4) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("missing.csv"));
  EXPECT_FALSE(place_.has("study"));
}

TEST_F(Tune, RegressionHasTheLowestErrorOrTheHighestR2) {
  place_.write("houses.csv", houses_csv());
  for (const std::string metric : {"rmse", "r2"}) {
    std::vector<std::string> words{"tune",     "houses.csv", "--trials", "6",
                                   "--epochs", "3",          "--out",    metric};
    if (metric != "rmse") words.insert(words.end(), {"--metric", metric});
    const Outcome outcome = place_.run(words);
    ASSERT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("The best by validation " + metric + ":"));
    const auto trials = complete_trials(metric);
    ASSERT_GE(trials.size(), 2u);
    const auto& best = metric == "rmse" ? trials.front() : trials.back();
    EXPECT_EQ(best_rows(outcome.out).at(0), std::pair(best.second, report::number(best.first)));
  }
}

TEST_F(Tune, NormsAreSearchedOrFixed) {
  ASSERT_EQ(place_.run(tune("both", {"--norm", "batch,none"})).exit, 0);
  std::map<int, int> trials;  // by norm
  for (const auto& trial : journal("both", 4)) {
    const std::string norm = trial["distributions"]["norm"];
    EXPECT_EQ(nlohmann::json::parse(norm)["attributes"]["choices"].dump(), R"(["batch","none"])");
    const int choice = trial["params"]["norm"];
    ++trials[choice];
    EXPECT_EQ(trial["params"].contains("norm_new_weight"), choice == 0);
  }
  EXPECT_EQ(trials.size(), 2u);
  EXPECT_EQ(trials[0] + trials[1], 12);

  ASSERT_EQ(place_.run(tune("none", {"--norm", "none", "--trials", "6"})).exit, 0);
  for (const auto& trial : journal("none", 4)) {
    for (const auto& [name, value] : trial["params"].items()) {
      EXPECT_FALSE(name.starts_with("norm")) << name;
    }
  }
  EXPECT_THAT(place_.read("none/best.toml"), HasSubstr("\nnorm = \"none\"\n"));
}

TEST_F(Tune, TableHasTheTenBest) {
  const Outcome outcome = place_.run(tune("study", {"--pruner", "none"}));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  auto trials = complete_trials("study");
  ASSERT_EQ(trials.size(), 12u);
  // Of equals the first trial is the better one.
  std::ranges::stable_sort(trials, std::greater{}, [](const auto& trial) { return trial.first; });
  const auto rows = best_rows(outcome.out);
  ASSERT_EQ(rows.size(), 10u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].first, trials[i].second) << i;
    EXPECT_EQ(rows[i].second + " %", report::percent(trials[i].first)) << i;
  }
}

TEST_F(Tune, TimeoutEndsWithWhatThereIsAndTheSameCommandGoesOn) {
  const auto words = tune("study", {"--trials", "10000", "--timeout", "1"});
  std::size_t before = 0;
  for (int call = 0; call < 2; ++call) {
    const Outcome outcome = place_.run(words);
    ASSERT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_FALSE(best_rows(outcome.out).empty());
    EXPECT_THAT(place_.read("study/best.toml"), HasSubstr("\nlr = "));
    if (call > 0) {
      EXPECT_THAT(outcome.err, HasSubstr(std::to_string(before) + " of them finished before"));
    }
    const std::size_t ended = journal("study", 6).size();
    EXPECT_GT(ended, before);
    EXPECT_LT(ended, 10000u);
    before = ended;
  }
}

TEST_F(Tune, DivergedTrialsFailAndTheOthersEnd) {
  place_.write("rates.toml", "[lr]\nlow = 1e-3\nhigh = 1e30\n");
  const Outcome outcome = place_.run(tune("study", {"--space", "rates.toml", "--optimizer", "sgd",
                                                    "--norm", "none", "--pruner", "none"}));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  const std::size_t complete = complete_trials("study").size();
  const auto failures = journal("study", 8);
  EXPECT_GE(complete, 1u);
  EXPECT_GE(failures.size(), 1u);
  EXPECT_EQ(complete + failures.size(), 12u);
  for (const auto& failure : failures) {
    EXPECT_THAT(failure["user_attr"]["failure"].get<std::string>(),
                HasSubstr("loss or gradients were not finite"));
  }
  EXPECT_THAT(outcome.out, HasSubstr(std::to_string(failures.size()) + " failed."));
}

TEST_F(Tune, NoTrialThatEndsIsAnError) {
  place_.write("one.toml", "[batch_size]\nvalues = [1]\n");
  const auto words = tune("study", {"--space", "one.toml", "--norm", "batch", "--trials", "2"});
  for (int call = 0; call < 2; ++call) {  // there is nothing to go on with
    const Outcome outcome = place_.run(words);
    EXPECT_EQ(outcome.exit, 5);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(line_count(outcome.err), call == 0 ? 4 : 2) << outcome.err;  // plan, trials, error
    EXPECT_THAT(outcome.err, HasSubstr("\nevenrow: error: study: no trial came to its end, "
                                       "2 of 2 failed; the first: \"batch_size is 1"));
    EXPECT_FALSE(place_.has("study/best.toml"));
  }
}

TEST_F(Tune, RefinesAndSaysWhat) {
  const Outcome outcome = place_.run(tune("study", {"--refine", "--norm", "batch"}));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\nRefined, from trial 6 on:\n\nparameter"));
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  // The same command says the same again; more trials leave the first round as it was.
  EXPECT_EQ(place_.run(tune("study", {"--refine", "--norm", "batch"})).out, outcome.out);
  const Outcome more = place_.run(tune("study", {"--refine", "--norm", "batch", "--trials", "14"}));
  EXPECT_THAT(more.out, HasSubstr("\nRefined, from trial 6 on:\n"));
  const Outcome without = place_.run(tune("study", {"--norm", "batch"}));
  EXPECT_EQ(without.exit, 3);
  EXPECT_THAT(without.err, HasSubstr("a second round after 6 trials"));
  expect_refused({"--first-round", "3"}, 2, "--first-round is of --refine");
  expect_refused({"--refine", "--first-round", "12"}, 2, "expected less than trials, 12");
}

TEST_F(Tune, ScoresByFolds) {
  const Outcome outcome = place_.run(tune("study", {"--folds", "3", "--retrain"}));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("The best by validation accuracy, mean of 3 folds:"));
  EXPECT_EQ(place_.run({"train", "--config", "study/best.toml", "--out", "run"}).exit, 0);
  const Outcome other = place_.run(tune("study", {"--folds", "4"}));
  EXPECT_EQ(other.exit, 3);
  EXPECT_THAT(other.err, HasSubstr("it has \"folds = 3\", and now it is \"folds = 4\""));
  expect_refused({"--folds", "3", "--validation", "0.2"}, 2, "--folds and --validation are given");
  expect_refused({"--folds", "1"}, 2, "folds is 1, expected at least 2");
  expect_refused({"--folds", "-2"}, 2, "folds is -2");
  expect_refused({"--folds", "241"}, 3, "240 rows are not enough for 241 folds");
}

TEST_F(Tune, CtrlCStopsAndTheSameCommandGoesOn) {
  // So many trials that it is stopped before it has ended.
  const pid_t child = place_.start(tune("stopped", {"--jobs", "1", "--trials", "10000"}));
  while (!place_.has("stderr") || place_.read("stderr").find(" trial 1 ") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ::kill(child, SIGINT);
  const Outcome stopped = place_.wait(child);
  EXPECT_EQ(stopped.exit, 130);
  EXPECT_EQ(stopped.out, "");
  EXPECT_THAT(stopped.err, HasSubstr("the same command goes on from here"));
  const std::string trials = std::to_string(journal("stopped", 6).size() + 6);
  for (const char* out : {"stopped", "whole"}) {
    EXPECT_EQ(place_.run(tune(out, {"--jobs", "1", "--trials", trials})).exit, 0);
  }
  EXPECT_EQ(results("stopped"), results("whole"));
}

TEST_F(Tune, TruncatedJournalIsRecoveredAndSaid) {
  ASSERT_EQ(place_.run(tune("study")).exit, 0);
  const std::string journal = place_.read("study/journal.log");
  place_.write("study/journal.log", journal.substr(0, journal.size() - 30));
  const Outcome outcome = place_.run(tune("study"));
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("ended within a line, which was removed"));
  EXPECT_THAT(outcome.err, HasSubstr("11 of them finished before"));
}

TEST_F(Tune, BadInputIsRefusedInOneLine) {
  place_.write("unknown.toml", "[learning_rate]\nlow = 1\nhigh = 2\n");
  place_.write("empty.toml", "[lr]\nlow = 1.0\nhigh = 0.1\n");
  place_.write("zero.toml", "[lr]\nlow = 0.0\nhigh = 0.1\n");
  expect_refused({"--space", "unknown.toml"}, 2, "unknown.toml, line 1: learning_rate: unknown");
  expect_refused({"--space", "empty.toml"}, 2, "its range is empty: low is 1, high is 0.1");
  expect_refused({"--space", "zero.toml"}, 2, "a log scale cannot begin at 0");
  expect_refused({"--space", "zero.toml", "--lr", "1"}, 2, "no parameter to search");
  expect_refused({"--search", "tpa"}, 2, "did you mean 'tpe'?");
  expect_refused({"--norm", "bacth"}, 2, "did you mean 'batch'?");
  expect_refused({"--metric", "rmse"}, 2, "expected accuracy or loss");
  expect_refused({"--validation", "0"}, 2, "validation is 0");
  expect_refused({"--trials", "0"}, 2, "trials is 0");
  expect_refused({"--target", "specie"}, 3, "did you mean 'species'?");
  ASSERT_EQ(place_.run(tune("study")).exit, 0);
  const Outcome other = place_.run(tune("study", {"--seed", "2"}));
  EXPECT_EQ(other.exit, 3);
  EXPECT_THAT(other.err, HasSubstr("this journal belongs to another study"));
}

}  // namespace
}  // namespace evenrow::test
