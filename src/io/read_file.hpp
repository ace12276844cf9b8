// A whole file in memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

namespace evenrow::io {

/// All bytes of a regular file. Errors (io): names the path and the system's reason.
std::vector<std::byte> read_file(const std::filesystem::path& path);

}  // namespace evenrow::io
