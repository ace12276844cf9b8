// Runs that live in a folder: what they leave, and that stopping and resuming changes no bit.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/random.hpp"
#include "evenrow/train.hpp"
#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"
#include "train/checkpoint.hpp"
#include "train/toy_data.hpp"

namespace evenrow {
namespace {

namespace fs = std::filesystem;

std::string csv_of(const Dataset& data) {
  std::string text = "a,b,colour\n";
  const auto& values = std::get<std::vector<double>>(data.values);
  for (std::size_t row = 0; row < static_cast<std::size_t>(data.rows); ++row) {
    text += fmt::format("{},{},{}\n", values[row * 2], values[row * 2 + 1],
                        data.target->spellings[static_cast<std::size_t>(data.target->codes[row])]);
  }
  return text;
}

class RunFolder : public testing::Test {
 protected:
  TemporaryFolder folder;
  std::string data = folder.write("clouds.csv", csv_of(three_clouds(200)));

  TrainOptions options() const {
    TrainOptions o;
    o.data = data;
    o.hidden = {16, 8};
    o.batch_size = 16;
    o.epochs = 4;
    o.dropout = 0.1;
    o.early_stop = 3;
    return o;
  }
};

struct StopAfter : TrainObserver {
  std::int64_t left;
  explicit StopAfter(std::int64_t steps) : left(steps) {}
  bool stop_requested() override { return --left <= 0; }
};

TEST_F(RunFolder, LeavesConfigurationMetricsResultAndModel) {
  const TrainResult result = train_run(options(), folder / "run");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder / "run")) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"config.toml", "epochs.jsonl", "model.safetensors",
                                             "result.json", "steps.jsonl"}));
  const std::string steps = read_text(folder / "run/steps.jsonl");
  EXPECT_EQ(std::ranges::count(steps, '\n'), 4 * 12);  // 180 rows: 11 of 16 and one of 4
  const std::string epochs = read_text(folder / "run/epochs.jsonl");
  EXPECT_EQ(std::ranges::count(epochs, '\n'), std::ssize(result.epochs));
  const auto first = nlohmann::json::parse(epochs.substr(0, epochs.find('\n')));
  EXPECT_EQ(first["epoch"], 0);
  EXPECT_EQ(first["training_loss"], result.epochs[0].training_loss);
  EXPECT_EQ(first["validation"]["accuracy"], result.epochs[0].validation->accuracy);
  const auto written = nlohmann::json::parse(read_text(folder / "run/result.json"));
  EXPECT_EQ(written["task"], "classification");
  EXPECT_EQ(written["training"]["accuracy"], result.training->accuracy);
  EXPECT_TRUE(written["test"].is_null());
  const Model model = load_model(folder / "run/model.safetensors");
  const Dataset again = read_dataset(data);
  EXPECT_EQ(model.predict(again), result.model.predict(again));
}

TEST_F(RunFolder, TheResolvedConfigurationRepeatsTheRunBitForBit) {
  train_run(options(), folder / "run");
  const TrainOptions resolved = options_from_toml(read_text(folder / "run/config.toml"));
  EXPECT_EQ(resolved.learning_rate, 1e-3);
  EXPECT_EQ(resolved.task, Task::classification);
  EXPECT_EQ(resolved.loss, LossKind::cross_entropy);
  EXPECT_EQ(resolved.target, "colour");
  train_run(resolved, folder / "again");
  EXPECT_EQ(read_text(folder / "run/model.safetensors"),
            read_text(folder / "again/model.safetensors"));
  EXPECT_EQ(read_text(folder / "run/steps.jsonl"), read_text(folder / "again/steps.jsonl"));
  EXPECT_EQ(read_text(folder / "run/config.toml"), read_text(folder / "again/config.toml"));
}

// Stops at every kind of place: the first step, inside an epoch, at its end, several times in a
// run.
TEST_F(RunFolder, StoppingAndResumingChangesNoBit) {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::momentum}) {
    TrainOptions o = options();
    o.optimizer.kind = kind;
    const std::string name(kind == OptimizerKind::adam ? "adam" : "momentum");
    train_run(o, folder / name);
    for (const std::int64_t stop : {1, 7, 12, 13, 24, 47}) {
      const fs::path run = folder / fmt::format("{}-{}", name, stop);
      StopAfter observer(stop);
      EXPECT_TRUE(train_run(o, run, &observer).stopped);
      EXPECT_FALSE(fs::exists(run / "model.safetensors"));
      StopAfter once_more(5);
      const TrainResult second = resume_run(run, &once_more, 2);
      if (second.stopped) resume_run(run);
      EXPECT_EQ(read_text(run / "model.safetensors"),
                read_text(folder / name / "model.safetensors"));
      EXPECT_EQ(read_text(run / "steps.jsonl"), read_text(folder / name / "steps.jsonl"));
      EXPECT_FALSE(fs::exists(run / "checkpoint.safetensors"));
    }
  }
}

// What a killed process leaves: a checkpoint, and metrics written after it.
TEST_F(RunFolder, MetricsWrittenAfterTheCheckpointAreCutOff) {
  train_run(options(), folder / "whole");
  StopAfter observer(7);
  train_run(options(), folder / "run", &observer);
  std::ofstream(folder / "run/steps.jsonl", std::ios::app) << "{\"step\": 7, \"los";
  resume_run(folder / "run");
  EXPECT_EQ(read_text(folder / "run/steps.jsonl"), read_text(folder / "whole/steps.jsonl"));
}

// The lines of observations.jsonl without what they cost.
std::string observations_in(const fs::path& run) {
  std::string text = read_text(run / "observations.jsonl"), rest;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    auto line = nlohmann::json::parse(text.substr(at, end - at));
    EXPECT_GT(line.at("seconds"), 0.0);
    line.erase("seconds");
    rest += line.dump() + "\n";
  }
  EXPECT_TRUE(text.ends_with('\n'));
  return rest;
}

TEST_F(RunFolder, ObservationsAreKeptAndResumingChangesNoneOfThem) {
  train_run(options(), folder / "plain");
  TrainOptions o = options();
  o.observe = 5;
  train_run(o, folder / "whole");
  EXPECT_EQ(read_text(folder / "whole/model.safetensors"),
            read_text(folder / "plain/model.safetensors"));
  const std::string whole = observations_in(folder / "whole");
  EXPECT_EQ(std::ranges::count(whole, '\n'), 10);  // of 48 steps: 0, 5, ... 45
  const auto first = nlohmann::json::parse(whole.substr(0, whole.find('\n')));
  ASSERT_EQ(first["blocks"].size(), 3u);
  EXPECT_EQ(first["blocks"][1]["units"], 8);
  EXPECT_EQ(first["blocks"][1]["norm"]["gamma"], std::vector<double>(7, 1.0));
  EXPECT_EQ(first["blocks"][1]["gradient_norm"].size(), 3u);  // no bias
  EXPECT_FALSE(first["blocks"][2].contains("norm"));
  EXPECT_TRUE(first["blocks"][2]["dead_units"].is_null());
  const auto result = nlohmann::json::parse(read_text(folder / "whole/result.json"));
  EXPECT_GT(result["observe_seconds"], 0.0);
  EXPECT_LT(result["observe_fraction"], 1.0);

  StopAfter observer(16);
  train_run(o, folder / "run", &observer);
  // What a killed process leaves: lines after its last checkpoint, one of them not whole.
  std::ofstream(folder / "run/observations.jsonl", std::ios::app) << "{\"step\":20}\n{\"st";
  resume_run(folder / "run");
  EXPECT_EQ(observations_in(folder / "run"), whole);
  EXPECT_EQ(read_text(folder / "run/model.safetensors"),
            read_text(folder / "plain/model.safetensors"));
}

TEST_F(RunFolder, KilledBeforeTheFirstCheckpointStartsAnew) {
  train_run(options(), folder / "whole");
  StopAfter observer(7);
  train_run(options(), folder / "run", &observer);
  fs::remove(folder / "run/checkpoint.safetensors");
  resume_run(folder / "run");
  EXPECT_EQ(read_text(folder / "run/model.safetensors"),
            read_text(folder / "whole/model.safetensors"));
}

TEST_F(RunFolder, MistakesAreNamedAndNothingIsWritten) {
  EXPECT_THAT([&] { resume_run(folder / "nowhere"); },
              ThrowsError(ErrorKind::io, "no run to resume there"));
  TrainOptions bad = options();
  bad.target = "color";
  EXPECT_THAT([&] { train_run(bad, folder / "run"); }, ThrowsError(ErrorKind::data, "colour"));
  EXPECT_FALSE(fs::exists(folder / "run"));
  bad = options();
  bad.test = folder.write("test.csv", "a,b,colour\n1,2,violet\n");
  EXPECT_THAT([&] { train_run(bad, folder / "run"); }, ThrowsError(ErrorKind::data, "violet"));
  EXPECT_FALSE(fs::exists(folder / "run"));

  train_run(options(), folder / "run");
  EXPECT_THAT([&] { train_run(options(), folder / "run"); },
              ThrowsError(ErrorKind::usage, "the run folder is not empty"));
  EXPECT_THAT([&] { resume_run(folder / "run"); },
              ThrowsError(ErrorKind::usage, "the run is finished"));
  folder.write("file", "");
  EXPECT_THAT([&] { train_run(options(), folder / "file/run"); },
              ThrowsError(ErrorKind::io, "cannot make the run folder"));
}

TEST_F(RunFolder, ResumingOnOtherDataIsRefused) {
  StopAfter observer(7);
  train_run(options(), folder / "run", &observer);
  folder.write("clouds.csv", csv_of(three_clouds(200, 2)));
  EXPECT_THAT([&] { resume_run(folder / "run"); },
              ThrowsError(ErrorKind::data, "the data is not what the run began with"));
}

TEST_F(RunFolder, TwoProcessesAtATimeAreRefused) {
  StopAfter observer(7);
  train_run(options(), folder / "run", &observer);
  const int descriptor = ::open((folder / "run").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(descriptor, LOCK_EX), 0);
  EXPECT_THAT([&] { resume_run(folder / "run"); },
              ThrowsError(ErrorKind::io, "another process is training"));
  ::close(descriptor);
  EXPECT_NO_THROW(resume_run(folder / "run"));
}

TEST_F(RunFolder, ADamagedCheckpointIsNamed) {
  StopAfter observer(7);
  train_run(options(), folder / "run", &observer);
  const fs::path path = folder / "run/checkpoint.safetensors";
  const std::string whole = read_text(path);
  folder.write("run/checkpoint.safetensors", whole.substr(0, whole.size() / 2));
  EXPECT_THAT([&] { resume_run(folder / "run"); },
              ThrowsError(ErrorKind::data, "checkpoint.safetensors"));
  folder.write("run/checkpoint.safetensors", std::string("\x10\0\0\0\0\0\0\0{}              ", 24));
  EXPECT_THAT([&] { resume_run(folder / "run"); },
              ThrowsError(ErrorKind::data, "not a checkpoint of Evenrow"));
}

// A child process trains and is killed at a random moment, again and again, until it has ended by
// itself; the model must be that of the run that was never touched.
TEST_F(RunFolder, KilledAtRandomMomentsEndsWithTheSameBits) {
  TrainOptions o = options();
  // ThreadSanitizer ends a child that starts threads after its parent has.
  o.threads = 1;
  o.epochs = 40;
  o.early_stop = 0;
  train_run(o, folder / "whole");
  const core::RandomStream stream(static_cast<std::uint64_t>(::getpid()), core::Purpose::test, 0);
  RecordProperty("seed", ::getpid());
  int kills = 0;
  for (std::uint64_t attempt = 0; !fs::exists(folder / "run/result.json"); ++attempt) {
    ASSERT_LT(attempt, 1000u);
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        if (fs::exists(folder / "run/config.toml")) {
          resume_run(folder / "run", nullptr, 1);
        } else {
          fs::remove_all(folder / "run");
          train_run(o, folder / "run");
        }
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ::_exit(1);
      }
      ::_exit(0);
    }
    // Later attempts live longer, so that the run does end.
    ::usleep(static_cast<useconds_t>(stream.uniform(attempt) * 4000.0 *
                                     static_cast<double>(attempt + 1)));
    kills += ::kill(child, SIGKILL) == 0 ? 1 : 0;
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0);
  }
  EXPECT_GE(kills, 1);
  EXPECT_EQ(read_text(folder / "run/model.safetensors"),
            read_text(folder / "whole/model.safetensors"));
  EXPECT_EQ(read_text(folder / "run/steps.jsonl"), read_text(folder / "whole/steps.jsonl"));
}

}  // namespace
}  // namespace evenrow
