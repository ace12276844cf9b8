// The operator's results beside the reference: within the derived bounds, value by value.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "norm_cases.hpp"

namespace evenrow {

/// What many comparisons saw.
struct Tally {
  std::int64_t values = 0;
  Real share = 0;  // largest error, as a part of its bound
  // Largest error of y and dx, in ULP of the largest term of the sum (of its sums, too), in rows
  // whose mean is at most 8 deviations. Farther out the bound says it all: what is left of x - mean
  // decides then, not the rounding of y. For double, the mean is made of values of the row, and
  // the largest of them times scale is a term; for the other types the mean is as good as exact.
  Real ulp_y = 0, ulp_dx = 0;
  void add(const Tally& other) {
    values += other.values;
    share = std::max(share, other.share);
    ulp_y = std::max(ulp_y, other.ulp_y);
    ulp_dx = std::max(ulp_dx, other.ulp_dx);
  }
};

/// The largest finite T.
template <class T>
Real largest_of() {
  if constexpr (std::same_as<T, bfloat16>) return 0x1.fep127L;
  if constexpr (std::same_as<T, float16>) return 65504;
  if constexpr (!kIsHalf<T>) return std::numeric_limits<T>::max();
}

template <class T>
class Comparison {
 public:
  explicit Comparison(const NormCase<T>& k)
      : k_(k), tensor_(k.tensor()), parameters_(k.parameters()) {}

  /// Training forward and backward. Everything within the bounds, 0 in padding.
  Tally train(const NormResults<T>& results) {
    tally_ = {};
    auto linear = parameters_;
    linear.relu = false;
    const auto exact = kernels::reference::statistics(tensor_);
    u_ = normalized(exact, linear);
    for (std::int64_t c = 0; c < k_.shape.channels; ++c) channel(c, results);
    padding_is_zero(results.y);
    padding_is_zero(results.dx);
    padding_is_zero(results.dresidual);
    return tally_;
  }

  /// Inference with the running statistics of the case.
  Tally infer(const std::vector<T>& y) {
    tally_ = {};
    const auto& mean = k_.running_mean;
    const auto& variance = k_.running_variance;
    const auto exact =
        normalized({{mean.begin(), mean.end()}, {variance.begin(), variance.end()}}, parameters_);
    for (std::int64_t c = 0; c < k_.shape.channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const Real gamma = parameters_.gamma[i], beta = parameters_.beta[i], eps = parameters_.eps;
      for (std::int64_t j = 0; j < k_.shape.columns(); ++j) {
        if (!k_.counts(j)) continue;
        const std::size_t at = k_.at(j, c);
        const Real x = tensor_.values[at];
        const Real scale = variance[i] + eps > 0 ? gamma / std::sqrt(variance[i] + eps) : 0;
        const bool near = is_near(mean[i], variance[i]);
        const Terms terms{mean[i],
                          near ? 0 : rounded_mean(mean[i]),
                          scale,
                          beta,
                          std::same_as<T, double> ? std::abs(mean[i]) : 0,
                          near};
        const Real error =
            oracle::inference_error<T>(x, mean[i], variance[i], gamma, beta, eps, residual(at));
        tensor_value("y of inference", c, j, y[at], exact[at], error, largest_term(terms, at),
                     tally_.ulp_y);
      }
    }
    padding_is_zero(y);
    return tally_;
  }

 private:
  using Bounds = oracle::MomentBounds;
  static constexpr Real kInfinity = std::numeric_limits<Real>::infinity();

  const Real* residual(std::size_t at) const {
    return parameters_.residual.empty() ? nullptr : &parameters_.residual[at];
  }
  static Real rounded_mean(Real mean) { return static_cast<NormParameter<T>>(mean); }
  // The largest value that a mean is made of, where T is as wide as what the mean is known in.
  Real part_of_mean(std::int64_t c) const {
    Real largest = 0;
    for (std::int64_t j = 0; std::same_as<T, double> && j < k_.shape.columns(); ++j) {
      if (k_.counts(j)) largest = std::max(largest, std::abs(tensor_.values[k_.at(j, c)]));
    }
    return largest;
  }
  static bool is_near(Real mean, Real variance) {
    return std::abs(mean) <= 8 * std::sqrt(variance);
  }
  // Of (x - center) * scale + (beta - (mean - center) * scale) + residual.
  struct Terms {
    Real mean, center, scale, beta, part_of_mean;
    bool near;
  };
  Real largest_term(const Terms& k, std::size_t at) const {
    if (!k.near) return kInfinity;
    const Real added = residual(at) == nullptr ? 0 : *residual(at);
    return std::max({std::abs((tensor_.values[at] - k.center) * k.scale),
                     std::abs(k.beta - (k.mean - k.center) * k.scale), std::abs(added),
                     k.part_of_mean * std::abs(k.scale)});
  }

  // What the operator's formula gives, with xhat 0 where a row has no variance and eps is 0.
  kernels::reference::Values normalized(const kernels::reference::Statistics& with,
                                        const kernels::reference::Parameters& parameters) const {
    auto own = parameters;
    auto statistics = with;
    for (std::size_t c = 0; c < with.variance.size(); ++c) {
      if (with.variance[c] + parameters.eps > 0) continue;
      statistics.variance[c] = 1;
      own.gamma[c] = 0;
    }
    return kernels::reference::normalize(tensor_, statistics, own);
  }

  void channel(std::int64_t c, const NormResults<T>& results) {
    const auto i = static_cast<std::size_t>(c);
    const std::vector<Real> row = k_.row(k_.x, c);
    const Bounds bounds = oracle::moment_bounds(row, leaf_shape<T>(k_.shape), k_.row_weights());
    const Real n = std::max(bounds.n, Real{1e-300L}), u = oracle::kDoubleUnit;
    value("weight", c, 0, results.weight, bounds.n, bounds.weight_error * bounds.n);
    value("mean", c, 0, results.mean[i], bounds.mean, bounds.mean_error);
    value("variance", c, 0, results.variance[i], bounds.variance(),
          bounds.m2_error / n + (bounds.weight_error + u) * bounds.variance());
    const std::vector<Real> dy = gated(c, bounds, results);
    const auto sums = oracle::gradient_bounds(bounds, row, dy, parameters_.eps);
    if (k_.dparameters) {
      using C = NormParameter<T>;
      const auto stored = [](Real sum, Real error) {
        return error + oracle::kUnit<C> * (std::abs(sum) + error) +
               std::numeric_limits<C>::denorm_min() / Real{2};
      };
      value("dbeta", c, 0, results.dbeta[i], sums.dbeta, stored(sums.dbeta, sums.dbeta_error));
      value("dgamma", c, 0, results.dgamma[i], sums.dgamma, stored(sums.dgamma, sums.dgamma_error));
    }
    outputs(c, bounds, results);
    input_gradients(c, bounds, sums, dy, results);
  }

  // The gradient of one row as it enters the normalization. Where u may lie on either side of the
  // kink, that is within the error of u, the side is the one that the operator took.
  std::vector<Real> gated(std::int64_t c, const Bounds& bounds, const NormResults<T>& results) {
    const auto i = static_cast<std::size_t>(c);
    std::vector<Real> dy;
    for (std::int64_t j = 0; j < k_.shape.columns(); ++j) {
      if (!k_.counts(j)) continue;
      const std::size_t at = k_.at(j, c);
      const Real outside = as_real(k_.dy[at]);
      bool through = true;
      if (parameters_.relu) {
        const Real error =
            oracle::training_output<T>(bounds, tensor_.values[at], parameters_.gamma[i],
                                       parameters_.beta[i], parameters_.eps, residual(at))
                .error;
        through = as_real(results.through[at]) == 1;
        if (std::abs(u_[at]) > error) value("relu's side", c, j, through, u_[at] > 0, 0);
        if (!through) value("y that relu stopped", c, j, as_real(results.y[at]), 0, 0);
      }
      dy.push_back(through ? outside : 0);
      if (k_.dresidual) value("dresidual", c, j, as_real(results.dresidual[at]), dy.back(), 0);
    }
    return dy;
  }

  void outputs(std::int64_t c, const Bounds& bounds, const NormResults<T>& results) {
    const auto i = static_cast<std::size_t>(c);
    const Real gamma = parameters_.gamma[i], beta = parameters_.beta[i], eps = parameters_.eps;
    const Real square = bounds.variance() + eps;
    const Terms terms{
        bounds.mean, rounded_mean(bounds.mean), square > 0 ? gamma / std::sqrt(square) : 0,
        beta,        part_of_mean(c),           is_near(bounds.mean, bounds.variance())};
    for (std::int64_t j = 0; j < k_.shape.columns(); ++j) {
      if (!k_.counts(j)) continue;
      const std::size_t at = k_.at(j, c);
      tensor_value(
          "y", c, j, results.y[at], parameters_.relu && u_[at] <= 0 ? 0 : u_[at],
          oracle::output_error<T>(bounds, tensor_.values[at], gamma, beta, eps, residual(at)),
          largest_term(terms, at), tally_.ulp_y);
    }
  }

  void input_gradients(std::int64_t c, const Bounds& bounds, const oracle::GradientBounds& sums,
                       const std::vector<Real>& dy, const NormResults<T>& results) {
    const Real gamma = k_.gamma_of(c), eps = parameters_.eps;
    const Real square = bounds.variance() + eps;
    const Real rstd = square > 0 ? 1 / std::sqrt(square) : 0;
    const std::vector<Real> row = k_.row(k_.x, c);
    Real average = 0, average_product = 0;  // of absolute values
    for (std::size_t j = 0; j < dy.size(); ++j) {
      average += std::abs(dy[j]) / bounds.n;
      average_product += std::abs(dy[j] * (row[j] - bounds.mean) * rstd) / bounds.n;
    }
    const bool near = is_near(bounds.mean, bounds.variance());
    const Real moved = part_of_mean(c) * rstd;
    std::size_t position = 0;
    for (std::int64_t j = 0; j < k_.shape.columns(); ++j) {
      if (!k_.counts(j)) continue;
      const std::size_t at = k_.at(j, c);
      const Real x = tensor_.values[at], w = tensor_.weights[static_cast<std::size_t>(j)];
      const Real own = dy[position++], xhat = (x - bounds.mean) * rstd;
      const Real largest =
          std::max({std::abs(own), w * average,
                    w * (std::abs(xhat) + moved) * (average_product + moved * average),
                    near ? 0 : kInfinity});
      tensor_value("dx", c, j, results.dx[at],
                   gamma * rstd * (own - w * (sums.dbeta + xhat * sums.dgamma) / bounds.n),
                   oracle::input_gradient_error<T>(bounds, sums, x, own, gamma, eps, w),
                   std::abs(gamma * rstd) * largest, tally_.ulp_dx);
    }
  }

  void padding_is_zero(const std::vector<T>& values) {
    if (values.empty()) return;
    for (std::int64_t j = 0; j < k_.shape.columns(); ++j) {
      for (std::int64_t c = 0; !k_.counts(j) && c < k_.shape.channels; ++c) {
        value("padding", c, j, as_real(values[k_.at(j, c)]), 0, 0);
      }
    }
  }

  // A value of y or dx; `largest`: the largest of its terms. Nothing is promised of what does not
  // fit in T.
  void tensor_value(const char* what, std::int64_t c, std::int64_t j, T computed, Real exact,
                    Real error, Real largest, Real& worst_ulp) {
    if (std::abs(exact) + error >= largest_of<T>()) return;
    if (!value(what, c, j, as_real(computed), exact, error)) return;
    if (!(largest < kInfinity)) return;
    const Real unit = ulp<T>(std::max(largest, std::abs(exact)));
    worst_ulp = std::max(worst_ulp, std::abs(as_real(computed) - exact) / unit);
  }

  bool value(const char* what, std::int64_t c, std::int64_t j, Real computed, Real exact,
             Real error) {
    ++tally_.values;
    const Real difference = std::abs(computed - exact);
    if (difference <= error) {
      if (error > 0) tally_.share = std::max(tally_.share, difference / error);
      return true;
    }
    if (failures_++ == 0) {  // one line a case says enough
      ADD_FAILURE() << what << " in channel " << c << ", column " << j << " of "
                    << shape_text(k_.shape) << " in " << Format<T>::name << ": " << computed
                    << ", expected " << exact << " within " << error;
    }
    return false;
  }

  const NormCase<T>& k_;
  kernels::reference::Tensor tensor_;
  kernels::reference::Parameters parameters_;
  kernels::reference::Values u_;
  Tally tally_;
  int failures_ = 0;
};

/// Everything within the bounds of docs/numerics.md, and 0 in padding.
template <class T>
Tally expect_matches_reference(const NormCase<T>& k, const NormResults<T>& results) {
  Comparison<T> comparison(k);
  Tally tally = comparison.train(results);
  if (!results.inferred.empty()) tally.add(comparison.infer(results.inferred));
  return tally;
}

}  // namespace evenrow
