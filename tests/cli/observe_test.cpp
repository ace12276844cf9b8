// train --observe and --tensorboard, as the documentation tells it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "cli/program.hpp"
#include "support/python.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::string> observed_training(const std::string& out,
                                           std::vector<std::string> options = {}) {
  std::vector<std::string> words{"train",    "flowers.csv", "--out",        out,
                                 "--hidden", "16,8",        "--batch-size", "4",
                                 "--epochs", "40",          "--seed",       "3"};
  words.insert(words.end(), options.begin(), options.end());
  return words;
}

TEST(Observe, InspectShowsTheLastObservation) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const Outcome trained = place.run(observed_training("run", {"--observe", "100"}));
  ASSERT_EQ(trained.exit, 0) << trained.err;
  EXPECT_THAT(trained.out, testing::ContainsRegex("\nobserving took [0-9.]+ % of the steps' time"));
  EXPECT_EQ(line_count(place.read("run/observations.jsonl")), 22);  // of 40 x 54 steps
  const Outcome inspected = place.run({"inspect", "run"});
  EXPECT_EQ(inspected.exit, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("last observation: after 2,100 steps, in epoch 39\n"
                                       "block  units  dead  activation input  mean shift  "));
  EXPECT_THAT(inspected.out, HasSubstr("\n    1      8     "));

  // Without it nothing of it is there.
  const Outcome plain = place.run(observed_training("plain", {"--epochs", "1"}));
  EXPECT_THAT(plain.out, Not(HasSubstr("observing")));
  EXPECT_FALSE(place.has("plain/observations.jsonl"));
  EXPECT_THAT(place.run({"inspect", "plain"}).out, Not(HasSubstr("observation")));

  place.write("run/observations.jsonl", "{\"step\": 0, \"epoch\": 0, \"blocks\": [{}]}\n{\"ste");
  const Outcome damaged = place.run({"inspect", "run"});
  EXPECT_EQ(damaged.exit, 3);
  EXPECT_THAT(damaged.err, HasSubstr("run/observations.jsonl, last line: not an observation"));
}

TEST(TensorBoard, ShowsARunThatWasStoppedAndResumed) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const std::vector<std::string> options{"--observe", "10", "--tensorboard", "logs/run"};
  const pid_t child = place.start(observed_training("run", options));
  while (!place.has("run/epochs.jsonl") || line_count(place.read("run/epochs.jsonl")) < 2) {
    ASSERT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "too fast to be interrupted";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(child, SIGTERM);
  const Outcome stopped = place.wait(child);
  ASSERT_EQ(stopped.exit, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("evenrow train --resume run --tensorboard logs/run"));
  const Outcome resumed = place.run({"train", "--resume", "run", "--tensorboard", "logs/run"});
  ASSERT_EQ(resumed.exit, 0) << resumed.err;
  run_python("tensorboard_peer.py",
             {"run", (place / "logs/run").string(), (place / "run").string()});

  const Outcome again = place.run(observed_training("again", options));
  EXPECT_EQ(again.exit, 2);
  EXPECT_THAT(again.err, HasSubstr("--tensorboard logs/run: event files of another run"));
  EXPECT_FALSE(place.has("again"));
}

}  // namespace
}  // namespace evenrow::test
