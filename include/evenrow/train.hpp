// Training from a data set to a model: one function, and what it tells while it runs.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
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
  std::int64_t observe = 0;     ///< Every so many steps, from the first on, look into the network
                                ///< and tell an Observation; 0: never. Changes no bit of a model.
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

/// Parts of one at which a Distribution has its quantiles.
inline constexpr std::array<double, 7> kObservedQuantiles{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};

/// How values are distributed. Mean and biased variance are of all of them, summed in double. The
/// rest is of a sample: all values where they are at most 4096, else 4096 at fixed positions that
/// are spread evenly (a multiple of the golden ratio, modulo one). Between two values of the sample
/// quantiles are interpolated, as NumPy does by default (Hyndman and Fan, 1996, type 7). Values
/// that are NaN have no place in the sample; a NaN here means that there was nothing else.
struct Distribution {
  std::int64_t count = 0;
  double mean = 0, variance = 0;
  double smallest = 0, largest = 0;
  std::array<double, 7> quantiles{};  ///< See kObservedQuantiles.
};

/// Batch norm of one block in one mini-batch, over its channels. The running statistics are those
/// that inference would use at this step: without this mini-batch; before any, mean 0, variance 1.
struct NormObservation {
  double mean_shift = 0;      ///< sqrt(mean((batch mean - running mean)^2 / (running var + eps)))
  double variance_ratio = 1;  ///< exp(mean(log((batch var + eps) / (running var + eps))))
  Distribution gamma, beta;
};

struct BlockObservation {
  std::int64_t block = 0;  ///< From 0.
  std::int64_t units = 0;
  Distribution input;             ///< What enters the block.
  Distribution activation_input;  ///< What enters its activation; see BlockView.
  std::optional<NormObservation> norm{};
  /// Euclidean norm of the gradient of each of its parameters, before any clipping.
  std::vector<std::pair<ParameterKind, double>> gradient_norms;
  /// Units whose activation is 0 for every example of the mini-batch; relu only.
  std::optional<std::int64_t> dead_units{};
};

/// What one step saw of a network, before its update; see TrainOptions::observe. A function of the
/// run alone, as the model is, apart from `seconds`.
struct Observation {
  std::int64_t step = 0;   ///< As in StepMetrics.
  std::int64_t epoch = 0;  ///< From 0.
  double seconds = 0;      ///< What computing it took.
  std::vector<BlockObservation> blocks;
};

/// Told of the progress of a run. All members are called from the training thread.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void on_plan(const TrainPlan&) {}
  virtual void on_observation(const Observation&) {}  ///< Before on_step() of its step.
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
  /// Wall time of its steps, and what of that went into observations: computing and telling them.
  double step_seconds = 0, observe_seconds = 0;
};

/// Trains on a data set in memory. Errors: see check(); data that does not fit the options;
/// ErrorKind::training after three steps in a row without finite loss and gradients.
TrainResult train(const Dataset& data, const TrainOptions& options, const Dataset* test = nullptr,
                  TrainObserver* observer = nullptr);

/// Trains what options.data names and keeps a run folder, which must not exist yet or be empty:
///   config.toml       the resolved options
///   steps.jsonl       StepMetrics, a line a step
///   epochs.jsonl      EpochMetrics, a line an epoch
///   observations.jsonl  Observation, a line each, where options.observe asks for them
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
