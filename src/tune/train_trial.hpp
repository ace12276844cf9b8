// One trial of a search for options of training: a network, or one a fold, and its score.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "train/examples.hpp"
#include "tune/train_search.hpp"

namespace evenrow::tuning {

struct TrialWatch {
  /// After every epoch, from 1: the score so far, the mean over the networks. False: end the trial.
  std::function<bool(std::int64_t epoch, double score)> on_epoch;
  std::function<bool()> stop_requested;  ///< Asked after every step.
};

/// Where a trial that is cut off can be gone on with.
struct TrialCheckpoints {
  /// The file of network n of the trial has this path with "-n.safetensors" added. Empty: none.
  std::filesystem::path path{};
  std::string data_fingerprint{};
  std::chrono::duration<double> interval{2};  ///< Of training that a kill may cost.
};

/// Trains a network on each of `splits`, all of them epoch by epoch, so that a score after any
/// epoch is of the same rows for every trial. One that early stopping ends keeps its last score.
/// The mean score of the final models; empty: the trial was ended, or stopped. Errors: see train().
///
/// Goes on from checkpoints of the same data and options (on any number of threads) with the same
/// bits: epochs that they have are told to on_epoch again, and not trained again.
std::optional<double> train_trial(const Dataset& data, const TrainOptions& options,
                                  const std::vector<training::Split>& splits, Metric metric,
                                  const TrialWatch& watch,
                                  const TrialCheckpoints& checkpoints = {});

}  // namespace evenrow::tuning
