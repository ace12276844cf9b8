// Where the next trial is: positions in [0, 1]^d, functions of (seed, trial) and of earlier trials.
#pragma once

#include <cstdint>
#include <vector>

#include "evenrow/study.hpp"

namespace evenrow::tuning {

std::vector<double> random_position(std::size_t dimensions, std::uint64_t seed, std::int64_t trial);

inline constexpr std::size_t kSobolDimensions = 21;

/// The binary fraction, 32 bits, of one of kSobolDimensions of a point of the Sobol sequence, not
/// scrambled. Points are in binary order: that of Gray codes, in which others give them, has point
/// n ^ (n >> 1) at place n.
std::uint32_t sobol_bits(std::size_t dimension, std::uint64_t point);

/// Point `trial` of the Sobol sequence with the direction numbers of Joe and Kuo ("Constructing
/// Sobol sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30, 2008),
/// scrambled by Burley's hash ("Practical hash-based Owen scrambling", JCGT 9(4), 2020). Dimensions
/// beyond the 21st are those of random_position.
std::vector<double> sobol_position(std::size_t dimensions, std::uint64_t seed, std::int64_t trial);

/// The tree-structured Parzen estimator: of 24 draws from the density of the better observations,
/// the one that is likeliest there compared with the density of the others (Bergstra et al., 2011).
/// `ranked`: values of earlier trials, the best first. Sobol's point with fewer than 10 of them.
std::vector<double> tpe_position(const Space& space,
                                 const std::vector<std::vector<std::optional<double>>>& ranked,
                                 std::uint64_t seed, std::int64_t trial);

}  // namespace evenrow::tuning
