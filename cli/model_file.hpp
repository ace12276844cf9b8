// The model and the data that evaluate, predict and inspect are given.
#pragma once

#include <filesystem>
#include <string>

#include "evenrow/model.hpp"

namespace evenrow::cli {

/// Help text of these arguments.
inline constexpr const char* kModelHelp = "A model file, or the folder of a finished run.";
inline constexpr const char* kDataHelp =
    "A CSV, npy, npz or IDX file, fashion-mnist (its training part) or fashion-mnist:test.";

/// `argument` itself, or the model inside when it is a run folder. Errors (io): a folder without a
/// model; says how to finish the run.
std::filesystem::path model_path(const std::string& argument);

/// Reads data for `model`: its columns and target as in training. Errors: as read_dataset.
Dataset read_data_for(const Model& model, const std::string& source);

}  // namespace evenrow::cli
