// Ctrl-C, SIGTERM and SIGKILL in the middle of training, then --resume: the same bits as without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cli/program.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kEpochs = 60;

// Long enough to be caught in the middle: 60 epochs of 54 steps.
std::vector<std::string> training(const std::string& out) {
  return {"train",        "flowers.csv", "--out",      out,
          "--hidden",     "64,32",       "--epochs",   std::to_string(kEpochs),
          "--batch-size", "4",           "--dropout",  "0.1",
          "--optimizer",  "adamw",       "--schedule", "cosine"};
}

// Waits until the run has finished `epochs` epochs. False when the process ended before.
bool wait_for_epochs(const Workplace& place, const std::string& run, pid_t child,
                     std::int64_t epochs) {
  const std::string file = run + "/epochs.jsonl";
  while (true) {
    siginfo_t ended{};
    if (waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        ended.si_pid == child) {
      return false;
    }
    if (epochs == 0 ? place.has(run + "/config.toml")
                    : place.has(file) && line_count(place.read(file)) >= epochs) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

class Interrupt : public testing::Test {
 protected:
  void SetUp() override {
    place_.write("flowers.csv", flowers_csv());
    const Outcome whole = place_.run(training("whole"));
    ASSERT_EQ(whole.exit, 0) << whole.err;
    model_ = place_.read("whole/model.safetensors");
    steps_ = place_.read("whole/steps.jsonl");
  }

  void expect_the_same(const std::string& run) {
    EXPECT_TRUE(place_.read(run + "/model.safetensors") == model_) << run << ": another model";
    EXPECT_TRUE(place_.read(run + "/steps.jsonl") == steps_) << run << ": other steps";
    EXPECT_EQ(line_count(place_.read(run + "/epochs.jsonl")), kEpochs);
    EXPECT_FALSE(place_.has(run + "/checkpoint.safetensors"));
  }

  void stop_and_resume(int signal_number) {
    const pid_t child = place_.start(training("stopped"));
    ASSERT_TRUE(wait_for_epochs(place_, "stopped", child, 2)) << "too fast to be interrupted";
    kill(child, signal_number);
    const Outcome stopped = place_.wait(child);
    EXPECT_EQ(stopped.exit, 130) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("evenrow train --resume stopped"));
    EXPECT_EQ(stopped.out, "");
    EXPECT_FALSE(place_.has("stopped/model.safetensors"));
    // Until it is finished: no model to use, no table of results.
    EXPECT_THAT(place_.run({"evaluate", "stopped", "flowers.csv"}).err,
                HasSubstr("evenrow train --resume stopped"));
    EXPECT_THAT(place_.run({"inspect", "stopped"}).out, HasSubstr("stopped at "));

    const Outcome resumed = place_.run({"train", "--resume", "stopped"});
    EXPECT_EQ(resumed.exit, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("goes on with epoch "));
    expect_the_same("stopped");
  }

  Workplace place_;
  std::string model_, steps_;
};

TEST_F(Interrupt, CtrlCThenResumeGivesTheSameBits) {
  stop_and_resume(SIGINT);
}

TEST_F(Interrupt, TerminationThenResumeGivesTheSameBits) {
  stop_and_resume(SIGTERM);
}

TEST_F(Interrupt, KillsAtRandomMomentsThenResumeGiveTheSameBits) {
  const unsigned seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  int killed = 0;
  for (int i = 0; i < 6; ++i) {
    const std::string run = "killed" + std::to_string(i);
    // Killed, resumed, killed again and resumed to the end.
    std::vector<std::string> words = training(run);
    std::int64_t epochs = 0;
    for (int round = 0; round < 2; ++round) {
      const pid_t child = place_.start(words);
      epochs = std::uniform_int_distribution<std::int64_t>(epochs, kEpochs - 2)(random);
      if (wait_for_epochs(place_, run, child, epochs)) {
        usleep(std::uniform_int_distribution<useconds_t>(0, 20000)(random));
        kill(child, SIGKILL);
      }
      if (place_.wait(child).signal == SIGKILL) ++killed;
      words = {"train", "--resume", run};
      if (place_.has(run + "/model.safetensors")) break;  // it was faster than the kill
    }
    if (!place_.has(run + "/result.json")) {
      const Outcome resumed = place_.run(words);
      EXPECT_EQ(resumed.exit, 0) << resumed.err;
    }
    expect_the_same(run);
  }
  EXPECT_GE(killed, 6) << "most runs ended before they were killed";
}

TEST_F(Interrupt, ASecondSignalEndsTheProcess) {
  // Stopped in its tracks, so that both signals are there before it can act on the first.
  const pid_t child = place_.start(training("twice"));
  ASSERT_TRUE(wait_for_epochs(place_, "twice", child, 2));
  kill(child, SIGSTOP);
  kill(child, SIGINT);
  kill(child, SIGTERM);
  kill(child, SIGCONT);
  const Outcome outcome = place_.wait(child);
  EXPECT_TRUE(outcome.signal == SIGINT || outcome.signal == SIGTERM) << outcome.exit;
  EXPECT_EQ(place_.run({"train", "--resume", "twice"}).exit, 0);
  expect_the_same("twice");
}

// Nobody reads the output any more: no message, no failure, and a run is not lost.
TEST_F(Interrupt, AClosedPipeIsQuiet) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const std::string out = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(ends[1]);
  const Outcome outcome = place_.run({"predict", "whole", "flowers.csv"}, out);
  EXPECT_EQ(outcome.exit, 0);
  EXPECT_EQ(outcome.err, "");
  close(ends[1]);
}

}  // namespace
}  // namespace evenrow::test
