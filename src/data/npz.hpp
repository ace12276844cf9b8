// NumPy's archives of arrays: zip files of npy files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "evenrow/dataset.hpp"

namespace evenrow::data {

/// A data set from two arrays: the target, "y" or options.target, with one number a row; the
/// features, named like the target with x for y ("x_train" for "y_train"), or "x", or the only
/// other array: rows along the first axis, an image when there are three. Errors (data): no zip
/// file, a damaged or encrypted one, arrays that are missing (lists those that are there) or do not
/// fit each other, and those of read_npy_array().
Dataset read_npz_file(const std::filesystem::path& path, const ReadOptions& options);

/// The same on memory.
Dataset read_npz_memory(std::span<const std::uint8_t> bytes, const std::string& name,
                        const ReadOptions& options);

}  // namespace evenrow::data
