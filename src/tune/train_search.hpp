// The search for the best options of training: what `evenrow tune` does.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "evenrow/train.hpp"
#include "evenrow/tune.hpp"

namespace evenrow::tuning {

/// What trials are compared by: of the validation data, after the last epoch (with early stopping,
/// of the model that it kept).
enum class Metric { accuracy, loss, rmse, mae, r2 };

Direction direction_of(Metric metric);

struct TrainingSearch {
  TrainOptions training{};         ///< Of all trials; the parameters of a trial replace its own.
  Space space{};                   ///< As training_space() makes it.
  std::optional<Metric> metric{};  ///< Empty: accuracy, or rmse for regression.
  TuneOptions
      search{};  ///< jobs 0: one a processor; unused: journal, direction, context, last_step.
  /// Cross-validation: a trial trains so many networks, each without another part of the training
  /// data, by which it is scored, and its score is their mean; see train_trial(). 0: one network,
  /// scored by training.validation of the data, which folds do not look at.
  std::int64_t folds = 0;
  double timeout = 0;  ///< Seconds after which no trial is started; 0: none.
  std::chrono::duration<double> checkpoint_interval{2};  ///< Of trials that are running.
};

/// Told of the progress of a search, in the calling thread.
class SearchObserver {
 public:
  virtual ~SearchObserver() = default;
  virtual void on_plan(Metric /*metric*/, std::int64_t /*finished*/, bool /*recovered*/) {}
  virtual void on_trial(const Study&, const StudyTrial&) {}
  /// `part` of the trials of this call is done, counted by epochs.
  virtual void on_progress(double /*part*/) {}
  virtual bool stop_requested() { return false; }
};

struct SearchResult {
  Study study{};
  Metric metric = Metric::accuracy;
  std::int64_t folds = 0;
  bool stopped = false;  ///< The observer said so.
  /// Of the second round, see TuneOptions::refine; empty: it has not begun, or there is none.
  std::optional<Space> refined{};
  std::int64_t first_round = 0;  ///< Its first trial.
  TrainOptions best{};           ///< Options of the best trial: best.toml.
};

/// Runs trials in processes of their own, on data that is read once, and keeps in `folder`, which
/// is made or gone on with:
///   journal.log  the study, as an Optuna journal
///   study.toml   the options that all trials share
///   best.toml    the best options, once a trial is complete
///   checkpoints/ of trials that are running or were cut off, which go on from there
/// A trial sees the training part of the data and is scored by the validation part, the same for
/// all (or by folds, the same for all); test data is not read. Errors: those of Tuner and of
/// reading the data; (usage) no validation data, a metric of another task, something else in the
/// folder; (training) all trials failed, with the reason of the first.
SearchResult search_training(const TrainingSearch& search, const std::filesystem::path& folder,
                             SearchObserver& observer);

}  // namespace evenrow::tuning
