#include "tune/samplers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/random.hpp"
#include "tune/parzen.hpp"
#include "tune/space.hpp"

namespace evenrow::tuning {
namespace {

constexpr std::size_t kStartup = 10;  // trials, or one a parameter, before the estimators speak
constexpr std::uint64_t kCandidates = 24;  // candidates of the estimator
constexpr double kBetterPart = 0.1;        // of the observations
constexpr std::size_t kMostBetter = 25;    // observations

// Degree, coefficients and initial direction numbers m_1.. of dimensions 2 to 21: the head of
// new-joe-kuo-6.21201.
struct Polynomial {
  unsigned degree, coefficients;
  std::array<std::uint32_t, 7> initial;
};
constexpr std::array<Polynomial, kSobolDimensions - 1> kPolynomials{{
    {1, 0, {1}},
    {2, 1, {1, 3}},
    {3, 1, {1, 3, 1}},
    {3, 2, {1, 1, 1}},
    {4, 1, {1, 1, 3, 3}},
    {4, 4, {1, 3, 5, 13}},
    {5, 2, {1, 1, 5, 5, 17}},
    {5, 4, {1, 1, 5, 5, 5}},
    {5, 7, {1, 1, 7, 11, 19}},
    {5, 11, {1, 1, 5, 1, 1}},
    {5, 13, {1, 1, 1, 3, 11}},
    {5, 14, {1, 3, 5, 5, 31}},
    {6, 1, {1, 3, 3, 9, 7, 49}},
    {6, 13, {1, 1, 1, 15, 21, 21}},
    {6, 16, {1, 3, 1, 13, 27, 49}},
    {6, 19, {1, 1, 1, 15, 7, 5}},
    {6, 22, {1, 3, 1, 15, 13, 25}},
    {6, 25, {1, 1, 5, 5, 19, 61}},
    {7, 1, {1, 3, 7, 11, 23, 15, 103}},
    {7, 4, {1, 3, 7, 13, 13, 15, 69}},
}};

using Directions = std::array<std::uint32_t, 32>;

Directions directions_of(std::size_t dimension) {
  Directions v{};
  if (dimension == 0) {
    for (std::size_t k = 0; k < v.size(); ++k) v[k] = 1u << (31 - k);
    return v;
  }
  const Polynomial& p = kPolynomials[dimension - 1];
  for (std::size_t k = 0; k < v.size(); ++k) {
    if (k < p.degree) {
      v[k] = p.initial[k] << (31 - k);
      continue;
    }
    v[k] = v[k - p.degree] ^ (v[k - p.degree] >> p.degree);
    for (unsigned j = 1; j < p.degree; ++j) {
      if ((p.coefficients >> (p.degree - 1 - j)) & 1u) v[k] ^= v[k - j];
    }
  }
  return v;
}

std::uint32_t reversed_bits(std::uint32_t x) {
  std::uint32_t result = 0;
  for (int i = 0; i < 32; ++i, x >>= 1) result = (result << 1) | (x & 1u);
  return result;
}

// Nested uniform scrambling: every bit is flipped or not by a hash of the bits above it.
std::uint32_t scrambled(std::uint32_t x, std::uint32_t seed) {
  x = reversed_bits(x);
  x += seed;
  x ^= x * 0x6c50b47cu;
  x ^= x * 0xb82f1e52u;
  x ^= x * 0xc7afe638u;
  x ^= x * 0x8d22f6e6u;
  return reversed_bits(x);
}

core::RandomStream stream_of(std::uint64_t seed, std::int64_t trial) {
  return {seed, core::Purpose::search, static_cast<std::uint64_t>(trial)};
}

}  // namespace

std::vector<double> random_position(std::size_t dimensions, std::uint64_t seed,
                                    std::int64_t trial) {
  std::vector<double> position(dimensions);
  for (std::size_t i = 0; i < dimensions; ++i) position[i] = stream_of(seed, trial).uniform(i);
  return position;
}

std::uint32_t sobol_bits(std::size_t dimension, std::uint64_t point) {
  const Directions v = directions_of(dimension);
  std::uint32_t x = 0;
  for (std::size_t k = 0; k < v.size(); ++k) {
    if ((point >> k) & 1u) x ^= v[k];
  }
  return x;
}

std::vector<double> sobol_position(std::size_t dimensions, std::uint64_t seed, std::int64_t trial) {
  std::vector<double> position = random_position(dimensions, seed, trial);
  const core::RandomStream scrambling = stream_of(seed, -1);
  for (std::size_t i = 0; i < std::min(dimensions, kSobolDimensions); ++i) {
    const std::uint32_t x = sobol_bits(i, static_cast<std::uint64_t>(trial));
    position[i] = (scrambled(x, scrambling.word(i)) + 0.5) * 0x1p-32;
  }
  return position;
}

std::vector<double> tpe_position(const Space& space,
                                 const std::vector<std::vector<std::optional<double>>>& ranked,
                                 std::uint64_t seed, std::int64_t trial) {
  if (ranked.size() < std::max(kStartup, space.size()))
    return sobol_position(space.size(), seed, trial);
  const auto better = std::min(
      kMostBetter,
      static_cast<std::size_t>(std::ceil(kBetterPart * static_cast<double>(ranked.size()))));
  const auto middle = ranked.begin() + static_cast<std::ptrdiff_t>(better);
  const ParzenEstimator good(space, {ranked.begin(), middle});
  const ParzenEstimator others(space, {middle, ranked.end()});
  std::vector<double> best;
  double best_score = -std::numeric_limits<double>::infinity();
  for (std::uint64_t draw = 0; draw < kCandidates; ++draw) {
    const std::vector<double> position =
        good.draw(stream_of(seed, trial), draw * (space.size() + 1));
    const auto values = values_at(space, position);
    const double score = good.log_density(values) - others.log_density(values);
    if (best.empty() || score > best_score) {
      best = position;
      best_score = score;
    }
  }
  return best;
}

}  // namespace evenrow::tuning
