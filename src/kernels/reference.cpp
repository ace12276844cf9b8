#include "kernels/reference.hpp"

#include <cmath>

namespace evenrow::kernels::reference {
namespace {

// visit(channel, index of the value, whether its column is valid), in memory order.
template <class Visit>
void for_each_value(const Tensor& x, const Visit& visit) {
  const NormShape& s = x.shape;
  for (std::int64_t o = 0; o < s.outer; ++o) {
    for (std::int64_t c = 0; c < s.channels; ++c) {
      for (std::int64_t i = 0; i < s.inner; ++i) {
        visit(static_cast<std::size_t>(c),
              static_cast<std::size_t>((o * s.channels + c) * s.inner + i),
              static_cast<bool>(x.valid[static_cast<std::size_t>(o * s.inner + i)]));
      }
    }
  }
}

long double count_valid(const Tensor& x) {
  long double n = 0;
  for (const bool valid : x.valid) n += valid ? 1 : 0;
  return n;
}

}  // namespace

Statistics statistics(const Tensor& x) {
  const auto channels = static_cast<std::size_t>(x.shape.channels);
  const long double n = count_valid(x);
  Statistics result{Values(channels), Values(channels)};
  if (n == 0) return result;
  // Differences to one value of the channel: long double, too, rounds a mean that is far from zero.
  Values origin(channels), mean(channels);
  for_each_value(x, [&](std::size_t c, std::size_t at, bool valid) {
    if (valid) origin[c] = x.values[at];
  });
  for_each_value(x, [&](std::size_t c, std::size_t at, bool valid) {
    if (valid) mean[c] += (x.values[at] - origin[c]) / n;
  });
  for_each_value(x, [&](std::size_t c, std::size_t at, bool valid) {
    const long double difference = (x.values[at] - origin[c]) - mean[c];
    if (valid) result.variance[c] += difference * difference / n;
  });
  for (std::size_t c = 0; c < channels; ++c) result.mean[c] = origin[c] + mean[c];
  return result;
}

Values normalize(const Tensor& x, const Statistics& with, const Parameters& parameters) {
  Values y(x.values.size());
  for_each_value(x, [&](std::size_t c, std::size_t at, bool valid) {
    if (!valid) return;
    const long double xhat =
        (x.values[at] - with.mean[c]) / std::sqrt(with.variance[c] + parameters.eps);
    const long double u = parameters.gamma[c] * xhat + parameters.beta[c];
    y[at] = parameters.relu && u <= 0 ? 0 : u;
  });
  return y;
}

}  // namespace evenrow::kernels::reference
