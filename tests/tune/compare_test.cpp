#include "evenrow/compare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"
#include "train/toy_data.hpp"

namespace evenrow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Log : CompareObserver {
  std::int64_t total = 0, finished = 0;
  std::vector<std::string> runs;
  double part = 0;
  std::int64_t stop_after = -1;
  bool kill_a_job = false;
  void on_plan(std::int64_t all, std::int64_t before) override {
    total = all;
    finished = before;
  }
  void on_run(const ComparedRun& run, double done) override {
    runs.push_back(run.folder);
    EXPECT_GE(done, part);
    part = done;
  }
  void on_progress(double done) override {
    EXPECT_GE(done, part);
    part = done;
    if (!kill_a_job) return;
    pid_t job = 0;
    std::ifstream("/proc/self/task/" + std::to_string(::getpid()) + "/children") >> job;
    ASSERT_GT(job, 0);
    ::kill(job, SIGKILL);
    kill_a_job = false;
  }
  bool stop_requested() override { return std::ssize(runs) == stop_after; }
};

class Compare : public testing::Test {
 protected:
  Compare() {
    std::string text = "a,b,colour\n";
    const Dataset clouds = three_clouds(120);
    const auto& values = std::get<std::vector<double>>(clouds.values);
    for (std::size_t row = 0; row < 120; ++row) {
      text += std::to_string(values[2 * row]) + "," + std::to_string(values[2 * row + 1]) + "," +
              clouds.target->spellings[row % 3] + "\n";
    }
    options_.training.data = folder_.write("clouds.csv", text);
    options_.training.hidden = {8, 4};
    options_.training.epochs = 3;
    options_.training.batch_size = 16;
    options_.training.validation = 0.25;
    options_.training.optimizer.kind = OptimizerKind::sgd;
    options_.values = {0.1, 1e30};
    options_.seeds = 2;
    options_.jobs = 2;
  }

  std::string read(const std::string& name) const { return read_text(folder_ / ("out/" + name)); }

  Comparison run(Log& log) const { return compare(options_, folder_ / "out", &log); }

  TemporaryFolder folder_;
  CompareOptions options_;
};

TEST_F(Compare, TrainsEachRunAsTrainRunDoesAndOnlyOnce) {
  Log log;
  const Comparison comparison = run(log);
  EXPECT_EQ(log.total, 8);
  EXPECT_EQ(log.runs.size(), 8u);
  EXPECT_DOUBLE_EQ(log.part, 1.0);
  ASSERT_EQ(comparison.runs.size(), 8u);
  EXPECT_EQ(comparison.seeds, (std::vector<std::uint64_t>{1, 2}));
  // Without a norm 1e30 diverges; with batch norm the loss may stay finite.
  EXPECT_TRUE(comparison.runs[2].diverged() && comparison.runs[3].diverged());
  EXPECT_THAT(read("runs/none-1e+30-1/diverged.txt"), HasSubstr("not finite"));
  const ComparedRun& first = comparison.runs[0];
  EXPECT_EQ(first.folder, "runs/none-0.1-1");
  ASSERT_TRUE(first.score && first.training_score);

  TrainOptions alone = options_.training;
  alone.norm = Norm::none;
  alone.learning_rate = 0.1;
  const TrainResult result = train_run(alone, folder_ / "alone");
  EXPECT_EQ(result.validation->accuracy, *first.score);
  EXPECT_EQ(result.training->accuracy, *first.training_score);
  EXPECT_TRUE(read("runs/none-0.1-1/model.safetensors") ==
              read_text(folder_ / "alone/model.safetensors"));

  const std::string json = read("compare.json");
  for (const char* part :
       {R"("format": "evenrow comparison")", R"("vary": "lr")", R"("metric": "accuracy")",
        R"("folder": "runs/batch-0.1-2")", R"("unit": "decades")", R"("score": null)"}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
  Log again;
  run(again);
  EXPECT_EQ(again.finished, 8);
  EXPECT_THAT(again.runs, ElementsAre());
  EXPECT_EQ(read("compare.json"), json);

  // More of it: only what is new is trained.
  options_.seeds = 3;
  options_.values = {0.1};
  Log more;
  run(more);
  EXPECT_EQ(more.finished, 4);
  EXPECT_EQ(more.runs.size(), 2u);
}

TEST_F(Compare, GoesOnAfterAStopAKillAndAnAbandonedFolder) {
  options_.values = {0.01, 0.1};
  Log stopped;
  stopped.stop_after = 2;
  EXPECT_TRUE(run(stopped).stopped);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/compare.json"));

  Log killed;
  killed.kill_a_job = true;
  EXPECT_THAT([&] { run(killed); }, ThrowsError(ErrorKind::io, "killed by signal 9 (Killed)"));
  EXPECT_GE(killed.finished, 2);

  // A process that was killed before its run began leaves a temporary file.
  std::filesystem::remove_all(folder_ / "out/runs/batch-0.1-2");
  folder_.write("out/runs/batch-0.1-2/.config.toml.tmp", "a part");
  Log last;
  const Comparison comparison = run(last);
  EXPECT_EQ(last.finished + std::ssize(last.runs), 8);
  EXPECT_LE(last.runs.size(), 3u);  // the killed one, the abandoned one, and perhaps one more
  for (const ComparedRun& r : comparison.runs) EXPECT_FALSE(r.diverged()) << r.folder;
}

TEST_F(Compare, RefusesFoldersThatAreNotItsOwn) {
  Log log;
  folder_.write("out/notes.txt", "mine");
  EXPECT_THAT([&] { run(log); }, ThrowsError(ErrorKind::usage, "comparison.toml is missing"));
  std::filesystem::remove(folder_ / "out/notes.txt");
  options_.values = {0.1};
  options_.norms = {Norm::batch};
  run(log);
  options_.training.epochs = 4;
  EXPECT_THAT([&] { run(log); },
              ThrowsError(ErrorKind::usage, "there: epochs = 3; now: epochs = 4"));
  options_.training.epochs = 3;
  options_.vary = Vary::init_scale;
  EXPECT_THAT([&] { run(log); },
              ThrowsError(ErrorKind::usage, "now: # evenrow compare --vary init"));
}

TEST_F(Compare, VariesWhatItIsAskedTo) {
  options_.norms = {Norm::batch};
  options_.seeds = 1;
  const auto config = [&](Vary vary, double value, const std::string& name) {
    options_.vary = vary;
    options_.values = {value};
    compare(options_, folder_ / name);
    return read_text(folder_ / (name + "/runs/batch-" + name + "-1/config.toml"));
  };
  EXPECT_THAT(config(Vary::depth, 3, "3"), HasSubstr("hidden = [8, 8, 8]\n"));
  EXPECT_THAT(config(Vary::batch_size, 20, "20"), HasSubstr("batch_size = 20\n"));
  EXPECT_THAT(config(Vary::init_scale, 0.5, "0.5"), HasSubstr("init_scale = 0.5\n"));
  EXPECT_THAT(config(Vary::input_scale, 2.5, "2.5"), HasSubstr("input_scale = 2.5\n"));
  options_.vary = Vary::seed;
  options_.values = {7};
  const Comparison seeds = compare(options_, folder_ / "seeds");
  EXPECT_THAT(read_text(folder_ / "seeds/runs/batch-7-7/config.toml"), HasSubstr("seed = 7\n"));
  EXPECT_TRUE(seeds.seeds.empty());
  EXPECT_EQ(seeds.usable[0].size, 1.0);
}

TEST_F(Compare, MistakesAreNamedBeforeAnythingIsWritten) {
  const auto expect = [&](const std::string& message) {
    EXPECT_THAT([&] { compare(options_, folder_ / "out"); },
                ThrowsError(ErrorKind::usage, message));
  };
  const CompareOptions good = options_;
  options_.values = {1, 1};
  expect("1 after 1, expected ascending");
  options_.values = {-1};
  expect("-1 is no lr");
  options_ = good;
  options_.vary = Vary::batch_size;
  options_.values = {1};
  expect("batch_size is 1, expected at least 2 with batch norm");
  options_.values = {2.5};
  expect("2.5 is no batch-size, expected a whole number");
  options_ = good;
  options_.training.validation = 0;
  expect("validation is 0");
  options_ = good;
  options_.norms = {Norm::batch, Norm::batch};
  expect("norms has batch twice");
  options_.norms = {};
  expect("norms is empty");
  options_ = good;
  options_.vary = Vary::depth;
  options_.training.hidden = {};
  expect("hidden is empty");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

// What every run would meet ends the comparison at once, with the run's own message.
TEST_F(Compare, AnErrorOfTheDataIsToldOnce) {
  options_.training.batch_size = 1000;
  options_.training.last_batch = LastBatch::drop;
  EXPECT_THAT([&] { compare(options_, folder_ / "out"); },
              ThrowsError(ErrorKind::usage, "last_batch drop would leave nothing"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/compare.json"));
}

TEST(CompareDefaults, AreRoundNumbersThatCanBeTrained) {
  for (const Vary vary : {Vary::learning_rate, Vary::depth, Vary::batch_size, Vary::init_scale,
                          Vary::input_scale, Vary::seed}) {
    CompareOptions options{.vary = vary};
    options.training.optimizer.kind = OptimizerKind::sgd;
    EXPECT_NO_THROW(check(options));
  }
  EXPECT_THAT(default_values({.vary = Vary::learning_rate}),
              ElementsAre(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1));
}

}  // namespace
}  // namespace evenrow
