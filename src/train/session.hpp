// A training run in memory: what it works on, and a state that can be saved between any two steps.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "evenrow/aligned.hpp"
#include "evenrow/train.hpp"
#include "train/examples.hpp"

namespace evenrow::training {

/// Everything that changes from step to step. Restoring it and going on gives the same bits as
/// never having stopped.
struct SessionState {
  Network<float> network;
  Optimizer<float> optimizer;
  std::int64_t step = 0;  ///< Steps done, over the whole run.
  // Of the epoch that is under way:
  double loss_sum = 0;  ///< Of mean losses times examples.
  std::int64_t correct = 0, examples = 0, skipped_in_epoch = 0;
  double epoch_seconds = 0;
  // Of the run:
  std::int64_t skipped = 0, skipped_in_a_row = 0;
  double seconds = 0, step_seconds = 0, observe_seconds = 0;
  std::vector<EpochMetrics> epochs;  ///< Finished ones.
  // Early stopping:
  std::optional<Network<float>> best;
  double best_loss = 0;
  std::int64_t best_epoch = -1;
};

class Session {
 public:
  /// Everything is allocated and checked here. `options` must be checked; the data sets outlive the
  /// session.
  Session(const Dataset& data, const TrainOptions& options, const Dataset* test);
  /// On rows of the caller's: options.validation is not looked at.
  Session(const Dataset& data, const TrainOptions& options, const Split& split,
          const Dataset* test);

  /// Options with nothing left to be decided: task, loss and learning rate are filled in.
  const TrainOptions& options() const noexcept { return options_; }
  const TrainPlan& plan() const noexcept { return plan_; }
  SessionState& state() noexcept { return state_; }
  const SessionState& state() const noexcept { return state_; }

  /// Trains until the end or until the observer asks to stop; calls `between_steps` after every
  /// step. False when it was stopped: another call goes on.
  bool run(TrainObserver& observer, const std::function<void()>& between_steps);

  /// Whether there is nothing left to train.
  bool finished() const noexcept;

  /// One step alone, with a learning rate of the caller's; not for sessions that run().
  void one_step(double learning_rate, TrainObserver& observer);

  /// Evaluates the final network. Call once, last.
  TrainResult finish(bool stopped);

 private:
  void tell_observation(TrainObserver& observer, std::span<const float> x, std::int64_t epoch);
  void end_epoch(TrainObserver& observer);
  [[noreturn]] void fail_not_finite(std::int64_t batch_examples, double learning_rate) const;

  TrainOptions options_;
  TrainPlan plan_;
  Model model_;  // without its network while training
  Examples training_, validation_, test_;
  std::optional<TrainingPass<float>> pass_;  // made when the sizes are known
  SessionState state_;
  std::vector<std::uint32_t> order_;  // of the epoch's examples
  std::int64_t order_epoch_ = -1;
  AlignedVector<float> batch_x_;
  std::vector<float> batch_values_;
  std::vector<std::int32_t> batch_classes_;
};

}  // namespace evenrow::training
