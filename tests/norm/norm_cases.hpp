// What the tests of the operator share: a case (shape, values, valid columns), the operator's
// results for it, and the comparison with the reference.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "evenrow/batch_norm.hpp"
#include "kernels/reference.hpp"
#include "support/norm_oracle.hpp"

namespace evenrow {

using oracle::Real;

template <class T>
std::vector<T> normal_values(std::int64_t n, std::uint64_t seed, double offset = 0,
                             double spread = 1) {
  const core::RandomStream stream(seed, core::Purpose::test, 1);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(offset + spread * stream.normal(i));
  }
  return values;
}

/// Which columns count: about this part, the first and the last among them.
inline std::vector<std::uint8_t> random_mask(std::int64_t columns, std::uint64_t seed,
                                             double valid_part = 0.6) {
  const core::RandomStream stream(seed, core::Purpose::test, 2);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(columns));
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const bool valid = i == 0 || i + 1 == mask.size() || stream.uniform(i) < valid_part;
    mask[i] = valid ? 7 : 0;
  }
  return mask;
}

template <class T>
struct NormCase {
  NormShape shape;
  std::vector<T> x, dy, gamma, beta;
  std::vector<std::uint8_t> mask{};     // empty: all columns
  std::vector<std::int64_t> lengths{};  // instead of a mask
  NormOptions options{};

  explicit NormCase(NormShape s, std::uint64_t seed = 1, double offset = 0, double spread = 1)
      : shape(s),
        x(normal_values<T>(s.size(), seed, offset, spread)),
        dy(normal_values<T>(s.size(), seed + 100)),
        gamma(normal_values<T>(s.channels, seed + 200, 1, 0.3)),
        beta(normal_values<T>(s.channels, seed + 300)) {}

  Validity valid() const { return {.mask = mask, .lengths = lengths}; }

  bool counts(std::int64_t column) const {
    if (!mask.empty()) return mask[static_cast<std::size_t>(column)] != 0;
    if (lengths.empty()) return true;
    const std::int64_t padded = shape.columns() / static_cast<std::int64_t>(lengths.size());
    return column % padded < lengths[static_cast<std::size_t>(column / padded)];
  }

  std::size_t at(std::int64_t column, std::int64_t channel) const {
    const std::int64_t o = column / shape.inner, i = column % shape.inner;
    return static_cast<std::size_t>((o * shape.channels + channel) * shape.inner + i);
  }

  /// NaN in x and dy wherever a column does not count.
  void poison_padding() {
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      if (counts(j)) continue;
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        x[at(j, c)] = dy[at(j, c)] = std::numeric_limits<T>::quiet_NaN();
      }
    }
  }

  /// The values of one channel in the columns that count.
  std::vector<Real> row(const std::vector<T>& values, std::int64_t channel) const {
    std::vector<Real> result;
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      if (counts(j)) result.push_back(values[at(j, channel)]);
    }
    return result;
  }

  kernels::reference::Tensor tensor() const {
    kernels::reference::Tensor result{shape, {x.begin(), x.end()}, {}};
    for (std::int64_t j = 0; j < shape.columns(); ++j) result.valid.push_back(counts(j));
    return result;
  }
  kernels::reference::Parameters parameters() const {
    return {{gamma.begin(), gamma.end()},
            {beta.begin(), beta.end()},
            options.eps,
            options.activation == Activation::relu};
  }
};

template <class T>
struct NormResults {
  std::vector<double> mean, variance;
  std::vector<T> y, dx, dgamma, dbeta;
  friend bool operator==(const NormResults&, const NormResults&) = default;
};

struct RunOptions {
  int threads = 1;
  bool in_place = false;       // y over a copy of x, dx over a copy of dy
  std::size_t misaligned = 0;  // every tensor starts so many values into its allocation
};

/// Train forward and backward of the case.
template <class T>
NormResults<T> run(const NormCase<T>& k, const RunOptions& how = {}) {
  const std::size_t size = k.x.size(), first = how.misaligned;
  const auto copy = [&](const std::vector<T>& values) {
    std::vector<T> shifted(first + size);
    std::copy(values.begin(), values.end(), shifted.begin() + static_cast<std::ptrdiff_t>(first));
    return shifted;
  };
  const std::vector<T> x_store = copy(k.x), dy_store = copy(k.dy);
  std::vector<T> y_store = how.in_place ? x_store : std::vector<T>(first + size, T{77});
  std::vector<T> dx_store = how.in_place ? dy_store : std::vector<T>(first + size, T{77});
  const auto part = [&](auto& store) { return std::span(store).subspan(first); };

  NormResults<T> results;
  NormOptions options = k.options;
  options.threads = how.threads;
  const auto saved = batch_norm_train<T>({.x = how.in_place ? part(y_store) : part(x_store),
                                          .gamma = k.gamma,
                                          .beta = k.beta,
                                          .y = part(y_store),
                                          .shape = k.shape,
                                          .valid = k.valid()},
                                         options);
  results.mean.assign(saved.mean().begin(), saved.mean().end());
  results.variance.assign(saved.biased_variance().begin(), saved.biased_variance().end());
  results.dgamma.resize(k.gamma.size());
  results.dbeta.resize(k.gamma.size());
  batch_norm_backward<T>({.x = part(x_store),
                          .dy = how.in_place ? part(dx_store) : part(dy_store),
                          .gamma = k.gamma,
                          .beta = k.beta,
                          .dx = part(dx_store),
                          .dgamma = results.dgamma,
                          .dbeta = results.dbeta,
                          .valid = k.valid()},
                         saved, how.threads);
  results.y.assign(part(y_store).begin(), part(y_store).end());
  results.dx.assign(part(dx_store).begin(), part(dx_store).end());
  return results;
}

inline oracle::LeafShape leaf_shape(const NormShape& shape) {
  return shape.inner == 1 && shape.channels > 1 ? oracle::kChannelLeaf : oracle::kRowLeaf;
}

/// Everything within the bounds of docs/numerics.md, and 0 in padding.
template <class T>
void expect_matches_reference(const NormCase<T>& k, const NormResults<T>& results) {
  const auto tensor = k.tensor();
  const auto parameters = k.parameters();
  const auto exact = kernels::reference::statistics(tensor);
  auto linear = parameters;
  linear.relu = false;
  const auto u = kernels::reference::normalize(tensor, exact, linear);
  const auto y = kernels::reference::normalize(tensor, exact, parameters);
  const Real eps = parameters.eps;
  for (std::int64_t c = 0; c < k.shape.channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const std::vector<Real> row = k.row(k.x, c);
    const auto bounds = oracle::moment_bounds(row, leaf_shape(k.shape));
    const std::string where =
        "channel " + std::to_string(c) + " of [" + std::to_string(k.shape.outer) + ", " +
        std::to_string(k.shape.channels) + ", " + std::to_string(k.shape.inner) + "]";
    EXPECT_LE(std::abs(results.mean[i] - bounds.mean), bounds.mean_error) << where;
    EXPECT_LE(
        std::abs(results.variance[i] - bounds.variance()),
        bounds.m2_error / std::max(bounds.n, Real{1}) + oracle::kDoubleUnit * bounds.variance())
        << where;
    // The gradient as it enters the normalization. Where u may lie on either side of the kink, take
    // the side that the operator took: either is within the error of u.
    std::vector<Real> dy;
    for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
      if (!k.counts(j)) continue;
      const std::size_t at = k.at(j, c);
      bool through = !parameters.relu || u[at] > 0;
      const Real error =
          oracle::output_error<T>(bounds, k.x[at], parameters.gamma[i], parameters.beta[i], eps);
      if (parameters.relu && std::abs(u[at]) <= error) through = results.y[at] > 0;
      dy.push_back(through ? static_cast<Real>(k.dy[at]) : 0);
    }
    const auto sums = oracle::gradient_bounds(bounds, row, dy, eps);
    const Real unit = oracle::kUnit<T>;
    EXPECT_LE(std::abs(results.dbeta[i] - sums.dbeta),
              sums.dbeta_error + unit * (std::abs(sums.dbeta) + sums.dbeta_error))
        << where;
    EXPECT_LE(std::abs(results.dgamma[i] - sums.dgamma),
              sums.dgamma_error + unit * (std::abs(sums.dgamma) + sums.dgamma_error))
        << where;
    std::size_t position = 0;
    for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
      const std::size_t at = k.at(j, c);
      if (!k.counts(j)) {
        ASSERT_EQ(results.y[at], 0) << where;
        ASSERT_EQ(results.dx[at], 0) << where;
        continue;
      }
      const Real x = k.x[at], gamma = parameters.gamma[i];
      ASSERT_LE(std::abs(results.y[at] - y[at]),
                oracle::output_error<T>(bounds, x, gamma, parameters.beta[i], eps))
          << where << " column " << j;
      const Real square = bounds.variance() + eps;
      const Real rstd = square > 0 ? 1 / std::sqrt(square) : 0;
      const Real xhat = (x - bounds.mean) * rstd;
      const Real dx =
          gamma * rstd * (dy[position] - sums.dbeta / bounds.n - xhat * sums.dgamma / bounds.n);
      ASSERT_LE(std::abs(results.dx[at] - dx),
                oracle::input_gradient_error<T>(bounds, sums, x, dy[position], gamma, eps))
          << where << " column " << j;
      ++position;
    }
  }
}

/// The case with its padding removed: feature-major, or row-major where the case is channels-last.
template <class T>
NormCase<T> compacted(const NormCase<T>& k) {
  const bool channels_last = leaf_shape(k.shape).leaf == oracle::kChannelLeaf.leaf;
  std::int64_t n = 0;
  for (std::int64_t j = 0; j < k.shape.columns(); ++j) n += k.counts(j) ? 1 : 0;
  NormCase<T> result(channels_last ? NormShape::row_major(n, k.shape.channels)
                                   : NormShape::feature_major(k.shape.channels, n));
  result.options = k.options;
  result.gamma = k.gamma;
  result.beta = k.beta;
  std::int64_t position = 0;
  for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
    if (!k.counts(j)) continue;
    for (std::int64_t c = 0; c < k.shape.channels; ++c) {
      result.x[result.at(position, c)] = k.x[k.at(j, c)];
      result.dy[result.at(position, c)] = k.dy[k.at(j, c)];
    }
    ++position;
  }
  return result;
}

/// Results of a padded case, brought to the layout of its compacted() case.
template <class T>
NormResults<T> compacted(const NormCase<T>& k, const NormCase<T>& compact,
                         const NormResults<T>& results) {
  NormResults<T> moved = results;
  moved.y.resize(compact.x.size());
  moved.dx.resize(compact.x.size());
  std::int64_t position = 0;
  for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
    if (!k.counts(j)) continue;
    for (std::int64_t c = 0; c < k.shape.channels; ++c) {
      moved.y[compact.at(position, c)] = results.y[k.at(j, c)];
      moved.dx[compact.at(position, c)] = results.dx[k.at(j, c)];
    }
    ++position;
  }
  return moved;
}

}  // namespace evenrow
