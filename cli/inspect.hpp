// What evenrow inspect shows of each kind of thing.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "evenrow/dataset.hpp"
#include "evenrow/model.hpp"

namespace evenrow::cli {

/// What the model is for, and a table of its layers.
std::string model_text(const Model& model, const std::string& name);

/// A table of columns; for images a summary.
std::string dataset_text(const Dataset& data);

/// Runs side by side, read from their folders. Errors: io for a folder that is no run, data for
/// files that training did not write.
std::string runs_text(const std::vector<std::filesystem::path>& folders);

/// A table of the blocks in the last observation of a run; empty where there is none. Errors: as
/// runs_text.
std::string last_observation_text(const std::filesystem::path& run);

}  // namespace evenrow::cli
