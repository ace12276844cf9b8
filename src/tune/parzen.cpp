#include "tune/parzen.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tune/space.hpp"

namespace evenrow::tuning {
namespace {

double normal_distribution(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

// The inverse, by bisection: 60 halvings of [-9, 9] leave nothing to be wanted, and it needs no
// table of coefficients. Only a few thousand are drawn in a search.
double normal_quantile(double p) {
  double low = -9, high = 9;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (normal_distribution(middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

// The width of the kernels. Scott's rule for the standard deviation 0.2, and not narrower than the
// share of one observation.
double kernel_width(std::size_t observations, std::size_t dimensions) {
  const double n = static_cast<double>(std::max<std::size_t>(observations, 1));
  const double scott = 0.2 * std::pow(n, -1.0 / (static_cast<double>(dimensions) + 4.0));
  return std::max(scott, 1.0 / std::min(100.0, n + 2.0));
}

}  // namespace

ParzenEstimator::ParzenEstimator(const Space& space, const std::vector<Observation>& observations)
    : space_(space),
      observations_(observations),
      width_(kernel_width(observations.size(), space.size())) {}

std::vector<double> ParzenEstimator::draw(const core::RandomStream& stream,
                                          std::uint64_t first) const {
  const std::size_t kernels = observations_.size() + 1;
  const auto chosen =
      static_cast<std::size_t>(stream.uniform(first) * static_cast<double>(kernels));
  std::vector<double> units(space_.size());
  for (std::size_t i = 0; i < units.size(); ++i) {
    const double uniform = stream.uniform(first + 1 + i);
    units[i] = uniform;
    if (chosen >= observations_.size() || !observations_[chosen][i]) continue;
    const double value = *observations_[chosen][i];
    if (space_[i].type == ParameterType::categorical) {
      // The prior's part of the kernel first, then the choice itself.
      const double prior = 1.0 / static_cast<double>(kernels + 1);
      units[i] = uniform < prior ? uniform / prior : to_unit(space_[i], value);
    } else {
      const double middle = to_unit(space_[i], value);
      const double below = normal_distribution(-middle / width_);
      const double above = normal_distribution((1.0 - middle) / width_);
      units[i] = std::clamp(middle + width_ * normal_quantile(below + uniform * (above - below)),
                            0.0, 1.0);
    }
  }
  return units;
}

double ParzenEstimator::kernel(std::size_t parameter, const std::optional<double>& observed,
                               double value) const {
  const Parameter& p = space_[parameter];
  if (p.type == ParameterType::categorical) {
    const double uniform = 1.0 / static_cast<double>(p.choices.size());
    if (!observed) return uniform;
    const double prior = 1.0 / static_cast<double>(observations_.size() + 2);
    return prior * uniform + (*observed == value ? 1.0 - prior : 0.0);
  }
  if (!observed) return 1.0;
  const double middle = to_unit(p, *observed), x = (to_unit(p, value) - middle) / width_;
  const double inside =
      normal_distribution((1.0 - middle) / width_) - normal_distribution(-middle / width_);
  return std::exp(-0.5 * x * x) / (width_ * std::sqrt(2.0 * std::numbers::pi) * inside);
}

double ParzenEstimator::log_density(const Observation& values) const {
  const auto product = [&](const Observation* observed) {
    double density = 1.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i]) continue;
      density *= kernel(i, observed != nullptr ? (*observed)[i] : std::nullopt, *values[i]);
    }
    return density;
  };
  double sum = product(nullptr);
  for (const Observation& observed : observations_) sum += product(&observed);
  return std::log(sum / static_cast<double>(observations_.size() + 1));
}

}  // namespace evenrow::tuning
