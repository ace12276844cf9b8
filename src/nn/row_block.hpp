// How the rows of a dense block are cut into tasks.
#pragma once

#include <cstdint>

namespace evenrow::nn {

/// Rows a task; fixed, so that bits are too.
inline constexpr std::int64_t kRowBlock = 64;

}  // namespace evenrow::nn
