// Densities on [0, 1]^d by Parzen windows, as the tree-structured Parzen estimator uses them.
#pragma once

#include <optional>
#include <vector>

#include "core/random.hpp"
#include "evenrow/study.hpp"

namespace evenrow::tuning {

/// A mixture of one kernel an observation and one uniform prior, all of equal weight. A kernel is
/// a product over the parameters: a normal of one width, cut off outside of [0, 1], around a
/// number's position; for a choice, its own probability and a share of the uniform one; uniform
/// where the observation has no value (Bergstra et al., "Algorithms for hyper-parameter
/// optimization", NeurIPS 2011; all parameters together as in Falkner, Klein and Hutter, "BOHB",
/// ICML 2018).
class ParzenEstimator {
 public:
  using Observation = std::vector<std::optional<double>>;  // values, as the space has them

  ParzenEstimator(const Space& space, const std::vector<Observation>& observations);

  /// Positions drawn from it; uses numbers [first, first + d + 1) of the stream.
  std::vector<double> draw(const core::RandomStream& stream, std::uint64_t first) const;

  /// Logarithm of the density at `values`, of the parameters that they have.
  double log_density(const Observation& values) const;

 private:
  double kernel(std::size_t parameter, const std::optional<double>& observed, double value) const;

  const Space& space_;
  std::vector<Observation> observations_;
  double width_;
};

}  // namespace evenrow::tuning
