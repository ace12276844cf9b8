#include "model_file.hpp"

#include "core/fail.hpp"

namespace evenrow::cli {

namespace fs = std::filesystem;

fs::path model_path(const std::string& argument) {
  const fs::path path = argument;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  const fs::path model = path / "model.safetensors";
  if (fs::exists(model, ignored)) return model;
  if (fs::exists(path / "config.toml", ignored)) {
    core::fail(ErrorKind::io,
               "{}: this run is not finished and has no model yet; evenrow train --resume {} "
               "finishes it",
               argument, argument);
  }
  core::fail(ErrorKind::io,
             "{}: a folder without model.safetensors; expected a model file or the folder of a "
             "finished run",
             argument);
}

Dataset read_data_for(const Model& model, const std::string& source) {
  return read_dataset(source, {.target = model.target, .expected = model.inputs.columns()});
}

}  // namespace evenrow::cli
