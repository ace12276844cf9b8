// What a report is made from, as plain numbers and text: training runs, comparisons, studies.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/page.hpp"

namespace evenrow::report {

inline constexpr double kNone =
    std::numeric_limits<double>::quiet_NaN();  ///< There is no such number.

struct RunEpoch {
  std::int64_t epoch = 0;  ///< From 1.
  double training_loss = kNone, training_accuracy = kNone;
  double validation_loss = kNone, validation_accuracy = kNone;
  double seconds = kNone;
};

/// What was seen inside one block at one step.
struct BlockState {
  Quantiles activation_input{};    ///< What enters the block's activation.
  double variance = kNone;         ///< Of the same.
  double weight_gradient = kNone;  ///< Euclidean norm.
  double units = kNone, dead_units = kNone;
};

struct RunObservation {
  std::int64_t step = 0;
  std::vector<BlockState> blocks{};
};

/// The final model on one part of the data.
struct RunScore {
  std::string part{};  ///< "training", "validation", "test".
  double rows = kNone, loss = kNone, accuracy = kNone, rmse = kNone, mae = kNone, r2 = kNone;
};

/// A row that the model got wrong.
struct Mistake {
  std::int64_t row = 0;  ///< From 1, in its file.
  std::string truth{}, predicted{};
  double probability = kNone;          ///< Of the predicted class.
  std::vector<std::string> cells{};    ///< Values of `columns`.
  std::vector<std::uint8_t> pixels{};  ///< Where rows are images.
};

/// Where a model errs, on data that its run names.
struct RunErrors {
  std::string part{};  ///< "test" or "validation".
  std::string data{};  ///< Its name.
  std::int64_t rows = 0;
  // classification
  std::vector<std::string> classes{};
  std::vector<std::int64_t> confusion{};  ///< Row-major; rows are true classes.
  // regression: a sample of rows
  std::vector<double> truths{}, predictions{};
  std::vector<double> absolute_errors{};  ///< Of all rows, ascending.
  std::string target{};
  // examples
  std::int64_t image_height = 0, image_width = 0;
  std::vector<std::string> columns{};
  std::vector<Mistake> mistakes{};  ///< The worst first.
  std::string without_examples{};   ///< Why there are none; empty: there are, or nothing is wrong.
};

struct RunData {
  std::string folder{};
  std::vector<std::pair<std::string, std::string>> config{};  ///< Key, value; in a reader's order.
  bool batch_norm = false, regression = false, finished = false;
  std::int64_t hidden_blocks = 0, planned_epochs = 0;
  std::vector<RunEpoch> epochs{};
  std::vector<RunObservation> observations{};
  std::vector<RunScore> scores{};
  double seconds = kNone, observe_seconds = kNone, observe_fraction = kNone;
  std::string version{};  ///< Of Evenrow, that trained it; empty when it is not known.
  std::optional<RunErrors> errors{};
  // Filled by label_runs():
  std::string label{};
  int colour = 0;
};

struct ComparedRun {
  std::string norm{};
  double value = 0;
  std::int64_t seed = 0;
  double score = kNone, training_score = kNone;  ///< Validation and training; NaN: diverged.
  double seconds = kNone;
  std::string folder{};
};

/// The values within a margin of the best result.
struct UsableRange {
  std::string norm{};
  double best = kNone, low = kNone, high = kNone;  ///< NaN low, high: no value.
  double size = kNone, interval_low = kNone, interval_high = kNone;
  std::string unit{};                        ///< Of size: "decades".
  bool open_low = false, open_high = false;  ///< It goes on beyond the values that were tried.
};

struct ComparisonData {
  std::string folder{};
  std::string vary{};     ///< "lr", "depth", "batch-size", "init-scale", "input-scale", "seed".
  std::string metric{};   ///< "accuracy" or "r2": larger is better.
  double best = kNone;    ///< Of all scores, averaged over the seeds.
  double margin = kNone;  ///< A score is usable when it is at most so much worse than `best`.
  std::vector<double> values{};
  std::vector<std::string> norms{};
  std::vector<ComparedRun> runs{};
  std::vector<UsableRange> ranges{};
  double shown_value = kNone;    ///< The value that serves norms.front() best.
  std::vector<RunData> shown{};  ///< A run a norm with that value, all with one seed.
};

/// A value of a parameter, and how it is shown. NaN: it is not part of a trial.
struct StudyValue {
  double value = kNone;
  std::string text = "-";
};

struct StudyParameter {
  std::string name{};
  bool logarithmic = false, one_minus_logarithmic = false;
  StudyValue low{}, high{};               ///< Of the space that was searched; of numbers.
  std::vector<std::string> categories{};  ///< Values are indices of it; empty: numbers.
  double importance = kNone;              ///< In [0, 1], all together 1; NaN: unknown.
  /// What a second round searched of it, low and high or some categories; empty: all.
  std::vector<StudyValue> refined{};
};

struct StudyTrial {
  std::int64_t number = 0;
  std::string state{};  ///< "complete", "pruned", "failed".
  double value = kNone;
  double seconds = kNone;
  std::vector<StudyValue> parameters{};  ///< One a StudyParameter.
};

struct StudyData {
  std::string folder{};
  std::string metric{};
  bool maximize = true;
  std::vector<StudyParameter> parameters{};
  std::vector<StudyTrial> trials{};
  std::int64_t second_round = 0;  ///< The first trial of a refined search; 0: there is none.
};

struct Sources {
  std::vector<RunData> runs{};
  std::vector<ComparisonData> comparisons{};
  std::vector<StudyData> studies{};
};

}  // namespace evenrow::report
