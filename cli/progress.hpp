// What a training run shows while it goes on, on standard error.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "evenrow/train.hpp"
#include "report/terminal.hpp"

namespace evenrow::cli {

/// A summary first, then a line an epoch; on a terminal also a bar with the time left. Stops the
/// run when a stop signal was seen.
class TrainProgress : public TrainObserver {
 public:
  /// `options`: those of the run. `folder`: where it goes.
  TrainProgress(const TrainOptions& options, std::filesystem::path folder);

  void on_plan(const TrainPlan& plan) override;
  void on_step(const StepMetrics& metrics) override;
  void on_epoch(const EpochMetrics& metrics) override;
  void on_warning(const std::string& message) override;
  bool stop_requested() override;

  /// An empty line between the epochs and the result.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  const TrainOptions options_;
  const std::filesystem::path folder_;
  const report::Terminal terminal_;
  report::StatusLine status_;
  TrainPlan plan_;
  double learning_rate_ = 0;     // of the last step
  std::int64_t bar_epoch_ = -1;  // the epoch that the bar shows
  std::int64_t first_step_ = 0;  // of that epoch, in this process
  Clock::time_point epoch_start_{}, last_shown_{};
};

}  // namespace evenrow::cli
