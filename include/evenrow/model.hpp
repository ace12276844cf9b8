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
  std::string target;  ///< Name of the target column.
  /// classification: label names, as the training data spelled them. Output k of a cross_entropy
  /// network is class k; the one output of a binary_cross_entropy network is class 1 against 0.
  std::vector<std::string> classes;
  LossSpec loss{};
  /// regression: the network is trained on (target - mean) / scale.
  double target_mean = 0.0;
  double target_scale = 1.0;

  /// Row-major [rows, prediction_columns()]: the probability of every class, or the predicted value
  /// in the target's own units. A row's numbers do not depend on the number of threads.
  /// Errors: data, when the model is for other inputs than `data` has (says which column); usage,
  /// when task, loss, outputs and classes of the model do not fit together.
  std::vector<double> predict(const Dataset& data, int threads = 0) const;
  /// Columns of predict(): classes.size(), or 1.
  std::int64_t prediction_columns() const;
};

/// Writes one safetensors file: tensors "blocks.N.weight", ".bias", ".gamma", ".beta" (F32),
/// ".running_mean", ".running_variance", "inputs.mean", "inputs.variance" (F64); the description as
/// JSON under the metadata key "evenrow" (docs/model-file.md). The same model gives the same bytes.
/// Atomic: a temporary file, fsync, rename, fsync of the folder; on any error an older file is left
/// whole. Errors: usage for a model whose parts do not fit together or that holds numbers that are
/// not finite; io, with what the system refused.
void save_model(const Model& model, const std::filesystem::path& path);

/// Reads what save_model wrote. Errors: io for a file that cannot be read; data for anything that
/// the safetensors format does not allow, a file that is no Evenrow model or of another version of
/// it, and parts that do not fit together. Numbers and texts come back bit for bit.
Model load_model(const std::filesystem::path& path);

}  // namespace evenrow
