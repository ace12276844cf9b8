// The state of a run as one safetensors file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "train/session.hpp"

namespace evenrow::training {

/// What a checkpoint knows beside the session's state.
struct CheckpointContext {
  std::string data_fingerprint;
  std::int64_t steps_bytes = 0;   ///< Sizes of the metric files at this moment: what was written
  std::int64_t epochs_bytes = 0;  ///< after it is cut off when the run is resumed.
  std::int64_t observations_bytes = 0;
};

/// Atomic, as save_model. Errors (io): what the system refused.
void save_checkpoint(const SessionState& state, const CheckpointContext& context,
                     const std::filesystem::path& path);

/// Fills the state of a session that was made with the same options. Errors: io for a file that
/// cannot be read; data for one that is malformed or of another network.
CheckpointContext load_checkpoint(const std::filesystem::path& path, SessionState& state);

}  // namespace evenrow::training
