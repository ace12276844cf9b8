#include "kernels/reference.hpp"

#include <cmath>

namespace evenrow::kernels::reference {
namespace {

// visit(channel, index of the value, weight of its column), in memory order.
template <class Visit>
void for_each_value(const Tensor& x, const Visit& visit) {
  const NormShape& s = x.shape;
  for (std::int64_t o = 0; o < s.outer; ++o) {
    for (std::int64_t c = 0; c < s.channels; ++c) {
      for (std::int64_t i = 0; i < s.inner; ++i) {
        visit(static_cast<std::size_t>(c),
              static_cast<std::size_t>((o * s.channels + c) * s.inner + i),
              x.weights[static_cast<std::size_t>(o * s.inner + i)]);
      }
    }
  }
}

long double weight_of_all(const Tensor& x) {
  long double n = 0;
  for (const long double weight : x.weights) n += weight;
  return n;
}

}  // namespace

Statistics statistics(const Tensor& x) {
  const auto channels = static_cast<std::size_t>(x.shape.channels);
  const long double n = weight_of_all(x);
  Statistics result{Values(channels), Values(channels)};
  if (n == 0) return result;
  // Differences to one value of the channel: long double, too, rounds a mean that is far from zero.
  Values origin(channels), mean(channels);
  for_each_value(x, [&](std::size_t c, std::size_t at, long double weight) {
    if (weight > 0) origin[c] = x.values[at];
  });
  for_each_value(x, [&](std::size_t c, std::size_t at, long double weight) {
    if (weight > 0) mean[c] += weight * (x.values[at] - origin[c]) / n;
  });
  for_each_value(x, [&](std::size_t c, std::size_t at, long double weight) {
    const long double difference = (x.values[at] - origin[c]) - mean[c];
    if (weight > 0) result.variance[c] += weight * difference * difference / n;
  });
  for (std::size_t c = 0; c < channels; ++c) result.mean[c] = origin[c] + mean[c];
  return result;
}

Values normalize(const Tensor& x, const Statistics& with, const Parameters& parameters) {
  Values y(x.values.size());
  for_each_value(x, [&](std::size_t c, std::size_t at, long double weight) {
    if (weight == 0) return;
    const long double xhat =
        (x.values[at] - with.mean[c]) / std::sqrt(with.variance[c] + parameters.eps);
    const long double residual = parameters.residual.empty() ? 0 : parameters.residual[at];
    const long double u = parameters.gamma[c] * xhat + parameters.beta[c] + residual;
    y[at] = parameters.relu && u <= 0 ? 0 : u;
  });
  return y;
}

}  // namespace evenrow::kernels::reference
