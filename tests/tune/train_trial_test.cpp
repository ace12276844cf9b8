// A trial of a search: one network or one a fold, side by side.
#include "tune/train_trial.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/temporary_folder.hpp"
#include "support/throws_error.hpp"
#include "tune/small_searches.hpp"
#include "tune/train_space.hpp"

namespace evenrow {
namespace {

using tuning::Metric;

struct Trial {
  explicit Trial(std::int64_t folds, std::int64_t early_stop = 0) {
    options.learning_rate = 0.03;
    options.epochs = 7;
    options.batch_size = 16;
    options.early_stop = early_stop;
    options.data = write_classes(folder);
    options.hidden = {8};
    options.threads = 1;
    data = read_dataset(options.data);
    splits = folds > 0 ? training::fold_rows(data, folds, options.seed)
                       : std::vector{training::split_rows(data, options.validation, options.seed)};
  }

  std::optional<double> run(const std::function<bool(std::int64_t, double)>& on_epoch) const {
    return tuning::train_trial(data, options, splits, Metric::loss,
                               {.on_epoch = on_epoch, .stop_requested = [] { return false; }});
  }

  TemporaryFolder folder;
  TrainOptions options;
  Dataset data;
  std::vector<training::Split> splits;
};

TEST(TrainTrial, OfOneNetworkIsTraining) {
  for (const std::int64_t early_stop : {0, 1}) {
    const Trial trial(0, early_stop);
    const TrainResult alone = train(trial.data, trial.options);
    std::vector<double> scores;
    const auto result = trial.run([&](std::int64_t epoch, double score) {
      scores.push_back(score);
      EXPECT_EQ(epoch, std::ssize(scores));
      return true;
    });
    ASSERT_EQ(scores.size(), alone.epochs.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      EXPECT_EQ(scores[i], alone.epochs[i].validation->loss);
    }
    EXPECT_EQ(result, alone.validation->loss);
  }
}

// Folds as trials of their own, trained alone: the mean of what they say, epoch by epoch.
TEST(TrainTrial, OfFoldsIsTheirMean) {
  for (const std::int64_t early_stop : {0, 1}) {
    const Trial trial(3, early_stop);
    std::vector<double> means(7);
    double mean_of_results = 0;
    std::vector<std::size_t> lengths;
    for (const training::Split& split : trial.splits) {
      Trial alone(0, early_stop);
      alone.splits = {split};
      std::vector<double> scores;
      mean_of_results += *alone.run([&](std::int64_t, double score) {
        scores.push_back(score);
        return true;
      }) / 3;
      lengths.push_back(scores.size());
      scores.resize(7, scores.back());  // one that stopped early keeps its score
      for (std::size_t i = 0; i < 7; ++i) means[i] += scores[i] / 3;
    }
    std::vector<double> scores;
    const auto result = trial.run([&](std::int64_t, double score) {
      scores.push_back(score);
      return true;
    });
    EXPECT_EQ(scores.size(), *std::ranges::max_element(lengths));
    if (early_stop > 0) {  // or it would not be tested
      EXPECT_LT(*std::ranges::min_element(lengths), scores.size());
    }
    for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(scores[i], means[i], 1e-12);
    EXPECT_NEAR(*result, mean_of_results, 1e-12);
  }
}

TEST(TrainTrial, EndsWhenItIsTold) {
  const Trial trial(3);
  std::int64_t last = 0;
  EXPECT_FALSE(trial.run([&](std::int64_t epoch, double) {
    last = epoch;
    return epoch < 3;
  }));
  EXPECT_EQ(last, 3);
  int asked = 0;
  EXPECT_FALSE(tuning::train_trial(trial.data, trial.options, trial.splits, Metric::loss,
                                   {.on_epoch = [](std::int64_t, double) { return true; },
                                    .stop_requested = [&] { return ++asked == 5; }}));
  EXPECT_EQ(asked, 5);
}

// Cut off anywhere, a trial says the same, and takes no step twice.
TEST(TrainTrial, GoesOnFromItsCheckpoint) {
  for (const auto& [folds, early_stop] : {std::pair{0, 0}, {3, 0}, {3, 1}}) {
    Trial trial(folds, early_stop);
    tuning::TrialCheckpoints kept{.path = trial.folder / "trial", .data_fingerprint = "d"};
    std::vector<double> scores;
    // Steps taken, until `stop`.
    const auto run = [&](int stop, const tuning::TrialCheckpoints& checkpoints) {
      int steps = 0;
      scores.clear();
      const auto result = tuning::train_trial(trial.data, trial.options, trial.splits, Metric::loss,
                                              {.on_epoch =
                                                   [&](std::int64_t, double score) {
                                                     scores.push_back(score);
                                                     return true;
                                                   },
                                               .stop_requested = [&] { return ++steps == stop; }},
                                              checkpoints);
      return std::pair(result, steps);
    };
    const auto [result, steps] = run(0, {});
    const std::vector<double> whole = scores;
    int taken = 0;
    for (const int more : {1, 8, 11, 20}) {  // within an epoch and at its end
      EXPECT_FALSE(run(more, kept).first);
      EXPECT_LE(scores.size(), whole.size());
      taken += more;
    }
    trial.options.threads = 2;
    const auto [last, rest] = run(0, kept);
    EXPECT_EQ(last, result);
    EXPECT_EQ(scores, whole);
    EXPECT_EQ(taken + rest, steps);
    // Not from those of other data or other options, nor from a file that is none.
    EXPECT_FALSE(run(20, kept).first);
    kept.data_fingerprint = "e";
    EXPECT_EQ(run(0, kept), std::pair(result, steps));
    kept.data_fingerprint = "d";
    trial.options.learning_rate = 0.02;
    EXPECT_EQ(run(0, kept).second, run(0, {}).second);
    trial.folder.write("trial-0.safetensors", "no checkpoint");
    trial.options.learning_rate = 0.03;
    EXPECT_EQ(run(0, kept).first, result);
    EXPECT_EQ(scores, whole);
  }
}

TEST(TrainSearchFolds, ScoresAreMeansOverTheSameFolds) {
  const Trial trial(4);
  tuning::TrainingSearch search;
  search.training = trial.options;
  search.training.validation = 0;
  search.folds = 4;
  search.metric = Metric::loss;
  search.space = tuning::training_space("[lr]\nlow = 1e-2\nhigh = 1.0\n", "test");
  search.search = {.trials = 8, .pruner = Pruner::asha, .jobs = 2};
  tuning::SearchObserver silent;
  const auto result = tuning::search_training(search, trial.folder / "study", silent);
  const StudyTrial& best = *best_trial(result.study);
  const auto again = tuning::train_trial(trial.data, result.best, trial.splits, Metric::loss,
                                         {.on_epoch =
                                              [&](std::int64_t epoch, double score) {
                                                EXPECT_EQ(best.intermediate.at(epoch), score);
                                                return true;
                                              },
                                          .stop_requested = [] { return false; }});
  EXPECT_EQ(again, best.value);

  const auto refused = [&](const tuning::TrainingSearch& other, const std::string& to,
                           ErrorKind kind, const std::string& message) {
    EXPECT_THAT([&] { tuning::search_training(other, trial.folder / to, silent); },
                ThrowsError(kind, message));
  };
  search.folds = 5;
  refused(search, "study", ErrorKind::data, "it has \"folds = 4\", and now it is \"folds = 5\"");
  search.folds = 0;
  search.training.validation = 0.1;
  refused(search, "study", ErrorKind::data, "now it is \"folds = 0\"");
  search.folds = 151;
  refused(search, "new", ErrorKind::data, "150 rows are not enough for 151 folds");
  search.folds = 1;
  refused(search, "new", ErrorKind::usage, "folds is 1, expected at least 2");
  EXPECT_FALSE(std::filesystem::exists(trial.folder / "new"));
}

}  // namespace
}  // namespace evenrow
