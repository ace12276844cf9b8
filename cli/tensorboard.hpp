// A training run as TensorBoard shows it.
#pragma once

#include <filesystem>
#include <optional>

#include "evenrow/train.hpp"
#include "report/event_file.hpp"

namespace evenrow::cli {

/// Writes what it is told into an event file and passes everything on. Curves of steps have about
/// a thousand points, which is what TensorBoard keeps of one. Steps are counted from 0 over the
/// whole run, as in steps.jsonl; an epoch stands at its last step.
class TensorBoardLog : public TrainObserver {
 public:
  /// `next` must outlive this. Errors (usage): a new run in a folder that has another one's files.
  TensorBoardLog(std::filesystem::path folder, bool resumed, const TrainOptions& options,
                 TrainObserver& next);

  void on_plan(const TrainPlan& plan) override;
  void on_observation(const Observation& observation) override;
  void on_step(const StepMetrics& metrics) override;
  void on_epoch(const EpochMetrics& metrics) override;
  void on_warning(const std::string& message) override { next_.on_warning(message); }
  bool stop_requested() override { return next_.stop_requested(); }

 private:
  report::EventFile& file(std::int64_t step);

  std::filesystem::path folder_;
  std::int64_t epochs_;
  TrainObserver& next_;
  TrainPlan plan_;
  std::int64_t stride_ = 1;                // steps between two points of a curve
  std::optional<report::EventFile> file_;  // made at the first step
};

}  // namespace evenrow::cli
