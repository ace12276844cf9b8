// Sizes are std::int64_t; products of sizes that come from a file or a user are checked here.
#pragma once

#include <cstdint>
#include <optional>

namespace evenrow::core {

/// a * b for a, b >= 0, or nothing when it does not fit in std::int64_t (or an operand is
/// negative).
inline std::optional<std::int64_t> checked_product(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// Number of blocks of `block` items that cover `items`.
constexpr std::int64_t block_count(std::int64_t items, std::int64_t block) noexcept {
  return (items + block - 1) / block;
}

}  // namespace evenrow::core
