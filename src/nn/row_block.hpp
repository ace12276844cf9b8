// How the rows of a dense block are cut into tasks.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace evenrow::nn {

/// Rows a task, from the number of rows alone, so that bits do not depend on the threads. Every
/// task packs the other operand of its product anew: 64 rows of it cost a fifth of the time where
/// layers are 1024 wide. More rows make it less, but leave fewer tasks: eight are the least.
constexpr std::int64_t row_block(std::int64_t rows) noexcept {
  const auto eighth =
      static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(rows) / 8));
  return std::clamp<std::int64_t>(eighth, 64, 256);
}

}  // namespace evenrow::nn
