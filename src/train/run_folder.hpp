// Run folders on data that is in memory already: for many runs on the same data.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "evenrow/train.hpp"

namespace evenrow::training {

/// What TrainOptions::data and ::test name.
struct RunData {
  Dataset training;
  std::optional<Dataset> test;
  /// Tells whether a run is resumed on the data that it began with; not a defence against forgery.
  std::string fingerprint;
};

/// Errors: see read_dataset; test data without the target column.
RunData read_run_data(const TrainOptions& options);

/// `source`, absolute where it is a file: relative paths would mean another file when a run is
/// resumed from another folder.
std::string absolute_if_file(const std::string& source);

/// train_run() and resume_run() without reading the data. `data` must be what read_run_data gives
/// for the options of the run.
TrainResult train_run(const RunData& data, const TrainOptions& options,
                      const std::filesystem::path& folder, TrainObserver* observer);
TrainResult resume_run(const RunData& data, const TrainOptions& options,
                       const std::filesystem::path& folder, TrainObserver* observer);

}  // namespace evenrow::training
