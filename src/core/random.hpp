// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC'11). A number is a pure function of (seed, stream, index), so
// shuffles, initial weights and dropout masks are the same whoever computes them, in any order.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace evenrow::core {

/// One Philox4x32-10 block: ten rounds over a 128-bit counter with a 64-bit key.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) noexcept;

/// What a stream of random numbers is for; streams with different purposes never overlap.
enum class Purpose : std::uint32_t {
  weights = 1,
  shuffle = 2,
  dropout = 3,
  split = 4,
  test = 5,
  bootstrap = 6,
  search = 7
};

/// The random numbers of one purpose and one `instance` (a layer, an epoch, a step).
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t instance) noexcept
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        purpose_(static_cast<std::uint32_t>(purpose)),
        instance_(instance) {}

  /// Four independent 32-bit numbers; `block` < 2^32.
  std::array<std::uint32_t, 4> bits(std::uint32_t block) const noexcept {
    return philox4x32({block, purpose_, static_cast<std::uint32_t>(instance_),
                       static_cast<std::uint32_t>(instance_ >> 32)},
                      key_);
  }
  /// Number `index` of the stream, uniform over 32 bits.
  std::uint32_t word(std::uint64_t index) const noexcept {
    return bits(static_cast<std::uint32_t>(index / 4))[index % 4];
  }
  /// Uniform in [0, 1), 53 bits; index < 2^33.
  double uniform(std::uint64_t index) const noexcept;
  /// Standard normal (Box-Muller); index < 2^33.
  double normal(std::uint64_t index) const noexcept;

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint32_t purpose_;
  std::uint64_t instance_;
};

/// A uniformly random permutation of 0 .. count-1 (Fisher-Yates), a function of the stream alone.
/// count < 2^32.
std::vector<std::uint32_t> random_permutation(const RandomStream& stream, std::uint32_t count);

}  // namespace evenrow::core
