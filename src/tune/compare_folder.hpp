// What a comparison leaves in its folder.
#pragma once

#include <filesystem>
#include <string>

#include "evenrow/compare.hpp"

namespace evenrow::tuning {

/// Whether a run of a comparison has ended: with a result, or with the message of its divergence.
bool has_ended(const std::filesystem::path& run_folder);
std::filesystem::path divergence_file(const std::filesystem::path& run_folder);

/// Fills in what the ended run in `run_folder` came to. Errors (io, data): its result cannot be
/// read.
void read_outcome(const std::filesystem::path& run_folder, Task task, ComparedRun& run);

/// The content of compare.json; docs/compare.md says what it holds.
std::string to_json(const Comparison& comparison);

/// Makes the folder with its comparison.toml, or makes sure that what is there is a comparison of
/// the same data and options; see compare().
void open_folder(const CompareOptions& options, const std::string& data_fingerprint,
                 const std::filesystem::path& folder);

}  // namespace evenrow::tuning
