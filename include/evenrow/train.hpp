// Training from a data set to a model: one function, and what it tells while it runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "evenrow/evaluate.hpp"
#include "evenrow/model.hpp"
#include "evenrow/optimizer.hpp"

namespace evenrow {

/// What happens with the last mini-batch of an epoch when it is smaller than the others.
/// merge: its examples join the mini-batch before it when it holds a single one, which batch norm
/// cannot normalize; otherwise it is kept. keep: used as it is (an error with batch norm when it
/// would hold a single example). drop: left out of this epoch.
enum class LastBatch { keep, drop, merge };

/// Everything that decides a training run. Two runs with equal options on equal data write equal
/// models, bit for bit, whatever `threads` is.
struct TrainOptions {
  std::string data;    ///< As read_dataset takes it.
  std::string test{};  ///< Evaluated once, at the end; empty: none. "fashion-mnist" brings its own.
  std::string target{};         ///< Target column; empty: the last.
  Task task = Task::automatic;  ///< automatic: regression for a numeric target that has a
                                ///< fraction or more than 20 distinct values.
  std::vector<std::int64_t> hidden{256, 128};  ///< Units of the hidden dense blocks.
  /// The network of Gorishniy et al. (2021, section 3.2): a linear layer of the first of `hidden`,
  /// a residual block for each further one, which has so many units inside, and an output layer
  /// that reads act(norm(x)); see append_residual_blocks.
  bool residual = false;
  Norm norm = Norm::batch;  ///< Of the hidden blocks.
  /// before_linear: of all blocks but the first, which reads inputs that are normalized already;
  /// the output layer has one too. With `residual` it is before_linear.
  NormPlacement norm_placement = NormPlacement::before_activation;
  double norm_eps = 1e-5;
  double norm_new_weight = 0.1;
  Activation activation = Activation::relu;
  double dropout = 0.0;
  Initialization initialization = Initialization::automatic;
  double init_scale = 1.0;   ///< Factor of all initial weights.
  double input_scale = 1.0;  ///< Standard deviation of the normalized inputs; part of the model,
                             ///< whose InputNormalization has variance / input_scale^2.
  /// Empty: cross_entropy for classification, squared_error for regression.
  std::optional<LossKind> loss{};
  double label_smoothing = 0.0;
  double huber_delta = 1.0;
  OptimizerSpec optimizer{};
  double learning_rate = 0.0;  ///< 0: default_learning_rate of the optimizer.
  ScheduleSpec schedule{};
  std::int64_t batch_size = 128;
  LastBatch last_batch = LastBatch::merge;
  std::int64_t epochs = 10;
  std::int64_t early_stop = 0;  ///< Stop after so many epochs without a better validation loss, and
                                ///< keep the best epoch's model; 0: never.
  double validation = 0.1;      ///< Part of the rows that is held out; [0, 1).
  std::uint64_t seed = 1;
  Precision precision = Precision::f32;  ///< Of the training pass's products.
  int threads = 0;
};

/// Throws (usage) and names the option when a value is out of range.
void check(const TrainOptions& options);

/// Options as a TOML document: every option, with its value; and back. Unknown keys, wrong types
/// and values out of range are errors (usage) that name the key, its line and the nearest known
/// key.
std::string to_toml(const TrainOptions& options);
TrainOptions options_from_toml(const std::string& text,
                               const std::string& source = "configuration");

/// What is about to be trained.
struct TrainPlan {
  NetworkSpec network;
  Task task = Task::classification;
  std::int64_t training_rows = 0, validation_rows = 0, test_rows = 0;
  std::int64_t features = 0;  ///< Columns of the data; network.inputs counts one-hot inputs.
  std::int64_t parameters = 0;
  std::int64_t steps_per_epoch = 0;
  std::int64_t first_epoch = 0;  ///< > 0 when a run is resumed.
};

struct StepMetrics {
  std::int64_t step = 0;   ///< From 0, over the whole run.
  std::int64_t epoch = 0;  ///< From 0.
  double loss = 0;
  double learning_rate = 0;
  double gradient_norm = 0;
  bool skipped = false;  ///< Loss or gradient was not finite: nothing was updated.
};

struct EpochMetrics {
  std::int64_t epoch = 0;        ///< From 0.
  double training_loss = 0;      ///< Mean over the epoch's mini-batches, as trained.
  double training_accuracy = 0;  ///< classification only.
  std::optional<Evaluation> validation;
  std::int64_t skipped_steps = 0;  ///< In this epoch.
  double seconds = 0;  ///< Wall time of this epoch; the only numbers that differ between
                       ///< equal runs are times.
};

/// Told of the progress of a run. All members are called from the training thread.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void on_plan(const TrainPlan&) {}
  virtual void on_step(const StepMetrics&) {}
  virtual void on_epoch(const EpochMetrics&) {}
  virtual void on_warning(const std::string&) {}
  /// Asked after every step: true stops the run at once, with its state saved.
  virtual bool stop_requested() { return false; }
};

struct TrainResult {
  Model model;
  std::vector<EpochMetrics> epochs;
  std::optional<Evaluation> training;  ///< Of the final model, with running statistics.
  std::optional<Evaluation> validation, test;
  std::int64_t skipped_steps = 0;
  bool stopped = false;  ///< stop_requested() said so; the run can be resumed.
  double seconds = 0;    ///< Wall time of training, reading data excluded.
};

/// Trains on a data set in memory. Errors: see check(); data that does not fit the options;
/// ErrorKind::training after three steps in a row without finite loss and gradients.
TrainResult train(const Dataset& data, const TrainOptions& options, const Dataset* test = nullptr,
                  TrainObserver* observer = nullptr);

/// Trains what options.data names and keeps a run folder, which must not exist yet or be empty:
///   config.toml       the resolved options
///   steps.jsonl       StepMetrics, a line a step
///   epochs.jsonl      EpochMetrics, a line an epoch
///   result.json       the final evaluation, written at the end
///   model.safetensors the model
///   checkpoint.safetensors  the state to resume from, while the run is not finished
TrainResult train_run(const TrainOptions& options, const std::filesystem::path& folder,
                      TrainObserver* observer = nullptr);

/// Goes on with an unfinished run (stopped, killed, crashed) and ends with the same model, bit for
/// bit, as if it had never stopped. Errors: no run there; the run is finished; the data has
/// changed.
TrainResult resume_run(const std::filesystem::path& folder, TrainObserver* observer = nullptr,
                       int threads = 0);

}  // namespace evenrow
