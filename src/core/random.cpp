#include "core/random.hpp"

#include <cmath>
#include <numbers>
#include <numeric>

namespace evenrow::core {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9u;  // golden ratio
    key[1] += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return counter;
}

double RandomStream::uniform(std::uint64_t index) const noexcept {
  const auto words = bits(static_cast<std::uint32_t>(index / 2));
  const std::size_t at = (index % 2) * 2;
  const std::uint64_t wide = (std::uint64_t{words[at]} << 32) | words[at + 1];
  return static_cast<double>(wide >> 11) * 0x1.0p-53;
}

double RandomStream::normal(std::uint64_t index) const noexcept {
  const std::uint64_t pair = index / 2 * 2;
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform(pair)));
  const double angle = 2.0 * std::numbers::pi * uniform(pair + 1);
  return radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

std::vector<std::uint32_t> random_permutation(const RandomStream& stream, std::uint32_t count) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (std::uint32_t i = count; i > 1; --i) {
    // 53 random bits times i: the bias is below i / 2^53, and the product never rounds up to i.
    const auto pick = static_cast<std::uint32_t>(stream.uniform(count - i) * i);
    std::swap(order[i - 1], order[pick]);
  }
  return order;
}

}  // namespace evenrow::core
