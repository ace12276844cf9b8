// A trained model: network, input normalization and what its outputs mean; one file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "evenrow/dataset.hpp"
#include "evenrow/input_normalization.hpp"
#include "evenrow/network.hpp"
#include "evenrow/training_pass.hpp"

namespace evenrow {

enum class Task { automatic, classification, regression };

/// A value. `const` members are thread-safe.
struct Model {
  Network<float> network;
  InputNormalization inputs;
  Task task = Task::classification;
  std::string target;                ///< Name of the target column.
  std::vector<std::string> classes;  ///< classification: label names, as the training data spelled them.
  LossSpec loss{};
  /// regression: the network is trained on (target - mean) / scale.
  double target_mean = 0.0;
  double target_scale = 1.0;

  /// Row-major [rows, outputs]: class probabilities, or predicted values in the target's own units
  /// (one column). A binary_cross_entropy network gives both classes' probabilities.
  /// Errors (data): the model is for other inputs than `data` has (says which columns).
  std::vector<double> predict(const Dataset& data, int threads = 0) const;
  /// Columns of predict(): classes.size(), or 1.
  std::int64_t prediction_columns() const;
};

/// Writes one safetensors file: tensors "blocks.N.weight", ".bias", ".gamma", ".beta",
/// ".running_mean", ".running_variance" and those of the input normalization; the description as
/// JSON under the metadata key "evenrow". Atomic: a temporary file, fsync, rename, fsync of the folder; on
/// any error an older file is left whole. Errors (io): says what the system refused.
void save_model(const Model& model, const std::filesystem::path& path);

/// Reads what save_model wrote. Errors: io for a missing file; data for anything malformed, as the
/// safetensors format requires, or not an Evenrow model. Numbers round-trip bit for bit.
Model load_model(const std::filesystem::path& path);

}  // namespace evenrow
