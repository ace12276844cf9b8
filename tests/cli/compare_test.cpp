// lr-find and compare, as a user runs them; and compare killed again and again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <random>
#include <regex>
#include <string>
#include <vector>

#include "cli/program.hpp"
#include "report/text.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

Words compare(const std::string& out, const Words& more = {}) {
  Words words{"compare",      "flowers.csv", "--hidden",    "16,8", "--batch-size", "8",
              "--validation", "0.25",        "--optimizer", "sgd",  "--values",     "1e30,0.1,0.01",
              "--seeds",      "2",           "--out",       out};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// What differs between equal comparisons: times.
std::string without_times(const std::string& json) {
  return std::regex_replace(json, std::regex("\"seconds\": [-+.e0-9]+"), "");
}

TEST(LrFind, ShowsACurveAndASuggestion) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const Outcome outcome =
      place.run({"lr-find", "flowers.csv", "--hidden", "16", "--batch-size", "32", "--from", "1e-4",
                 "--to", "10", "--steps", "60", "--out", "curve.csv"});
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("learning rate      loss\n     1.00e-04"));
  EXPECT_THAT(outcome.out, HasSubstr("Suggested: --lr 0.0"));
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(report::display_width(line), 80) << line;
  }
  const std::string curve = place.read("curve.csv");
  EXPECT_THAT(curve, HasSubstr("step,learning_rate,loss,smoothed_loss,gradient_norm\n0,0.0001,"));
  EXPECT_GT(line_count(curve), 20);
  EXPECT_LE(line_count(curve), 61);

  EXPECT_EQ(place.run({"lr-find", "flowers.csv", "--lr", "1"}).exit, 2);
  const Outcome none = place.run({"lr-find", "flowers.csv", "--from", "2", "--to", "1"});
  EXPECT_EQ(none.exit, 2);
  EXPECT_THAT(none.err, HasSubstr("expected 0 < from < to"));
}

TEST(Compare, TellsTheUsableRange) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const Outcome outcome = place.run(compare("rates"));
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("comparing in rates: 12 runs\n"));
  EXPECT_THAT(outcome.err, HasSubstr("12/12"));
  EXPECT_THAT(outcome.out, HasSubstr("Validation accuracy, average of 2 seeds"));
  EXPECT_THAT(outcome.out, HasSubstr("diverged"));
  EXPECT_THAT(outcome.out, HasSubstr(" decades"));
  EXPECT_THAT(outcome.out, HasSubstr("comparison: rates/compare.json"));
  EXPECT_THAT(place.read("rates/report.html"), HasSubstr("<!doctype html>"));
  std::istringstream lines(outcome.out + outcome.err);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(report::display_width(line), 80) << line;
  }
  // Its runs are ordinary ones.
  EXPECT_EQ(place.run({"evaluate", "rates/runs/batch-0.1-1", "flowers.csv"}).exit, 0);
  const Outcome again = place.run(compare("rates"));
  EXPECT_THAT(again.err, HasSubstr("12 runs, 12 of them finished before\n"));
  EXPECT_EQ(again.out, outcome.out);

  place.write("houses.csv", houses_csv());
  const Outcome numbers =
      place.run({"compare", "houses.csv", "--vary", "depth", "--values", "1,2", "--hidden", "8",
                 "--epochs", "3", "--seeds", "1", "--norms", "batch", "--out", "depths"});
  EXPECT_EQ(numbers.exit, 0) << numbers.err;
  EXPECT_THAT(numbers.out, HasSubstr("Validation R2, one run each"));
  EXPECT_THAT(numbers.out, HasSubstr(" blocks"));
}

TEST(Compare, MistakesAreNamed) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const auto expect = [&](const Words& more, const std::string& message) {
    const Outcome outcome = place.run(compare("out", more));
    EXPECT_EQ(outcome.exit, 2);
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_FALSE(place.has("out"));
  };
  expect({"--vary", "deph"}, "--vary is 'deph'");
  expect({"--vary", "deph"}, "did you mean 'depth'?");
  expect({"--norms", "none,bath"}, "did you mean 'batch'?");
  expect({"--lr", "1"}, "--lr is what --vary lr varies");
  expect({"--vary", "batch-size"}, "--batch-size is what --vary batch-size varies");
  expect({"--vary", "seed"}, "--seeds: with --vary seed the values are the seeds");
  expect({"--norm", "batch"}, "unknown option '--norm'");
  EXPECT_THAT(place.run({"compare", "flowers.csv"}).err, HasSubstr("--out is missing"));
}

TEST(Compare, CtrlCLeavesWhatTheSameCommandGoesOnWith) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const Words words = compare("rates", {"--epochs", "400"});
  const pid_t child = place.start(words);
  while (!place.has("rates/runs/none-0.01-1/epochs.jsonl")) usleep(1000);
  kill(child, SIGINT);
  const Outcome stopped = place.wait(child);
  EXPECT_EQ(stopped.exit, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("the same command goes on from here"));
  EXPECT_TRUE(place.has("rates/runs/none-0.01-1/checkpoint.safetensors"));
  EXPECT_FALSE(place.has("rates/compare.json"));
}

// However often and wherever it is killed, it ends with the numbers of one that was not.
TEST(Compare, KillsAtRandomMomentsLoseNothing) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  ASSERT_EQ(place.run(compare("whole")).exit, 0);
  const unsigned seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  int killed = 0;
  for (int round = 0; round < 8; ++round) {
    const pid_t child = place.start(compare("killed"));
    usleep(std::uniform_int_distribution<useconds_t>(1000, 150000)(random));
    kill(child, SIGKILL);
    killed += place.wait(child).signal == SIGKILL ? 1 : 0;
  }
  EXPECT_GE(killed, 1);
  const Outcome last = place.run(compare("killed"));
  EXPECT_EQ(last.exit, 0) << last.err;
  EXPECT_EQ(without_times(place.read("killed/compare.json")),
            without_times(place.read("whole/compare.json")));
  for (const char* run : {"none-0.01-1", "batch-0.1-2"}) {
    const std::string model = std::string("/runs/") + run + "/model.safetensors";
    EXPECT_TRUE(place.read("killed" + model) == place.read("whole" + model)) << run;
  }
}

}  // namespace
}  // namespace evenrow::test
