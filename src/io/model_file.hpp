// Models as safetensors files: what save_model and load_model share with checkpoints, which hold a
// model and more.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "evenrow/model.hpp"
#include "io/safetensors.hpp"

namespace evenrow::io {

/// The file of a model; the caller may add tensors and metadata. Errors (usage): see
/// check_model().
SafetensorsFile to_safetensors(const Model& model);

/// The model in a file that may hold other tensors and metadata too. Errors (data): no model,
/// another version, tensors missing or of another shape than the description says, parts that do
/// not fit together.
Model from_safetensors(const SafetensorsFile& file);

/// load_model() of the bytes of a file, with `source` as its name: a file that holds a model and
/// no other tensor.
Model parse_model(std::span<const std::byte> bytes, std::string source);

}  // namespace evenrow::io
