// Batch normalization of some neighbouring rows of a matrix that has an example a column: each row
// is a channel, and whoever has its values at hand normalizes it alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/coefficients.hpp"
#include "kernels/rows.hpp"

namespace evenrow::nn {

/// Neighbouring rows that are taken through everything together: so many values that they stay in
/// L1, and enough rows for what their norm computes a row to be computed side by side.
struct Rows {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
inline constexpr std::int64_t kMostRows = 64;
inline constexpr std::int64_t kValuesTogether = 4096;

/// visit(rows) for the rows [first, last) of n values.
template <class Visit>
void for_rows(std::int64_t first, std::int64_t last, std::int64_t n, const Visit& visit) {
  const std::int64_t step = std::clamp<std::int64_t>(kValuesTogether / n, 1, kMostRows);
  for (; first < last; first += step) visit(Rows{first, std::min(step, last - first)});
}

/// Of `T` float or double, in double where it sums. Matrices are given from their first row on,
/// what there is one of a row from the first one of `rows` on. In place: an output may be an input.
template <class T>
class RowNorm {
 public:
  RowNorm(Rows rows, std::int64_t examples) noexcept
      : count_(rows.count), examples_(examples), offset_(rows.first * examples) {}

  /// The statistics of each row over the examples.
  void statistics(const T* x, double* mean, double* biased_variance) const noexcept {
    kernels::Moments moments[kMostRows];
    if (one_leaf()) {
      kernels::channel_moments<T>(channels(x), runs(), 0, examples_, count_, moments, 1);
    } else {
      for (std::int64_t i = 0; i < count_; ++i) {
        moments[i] = kernels::row_moments(x + offset_ + i * examples_, examples_);
      }
    }
    for (std::int64_t i = 0; i < count_; ++i) {
      mean[i] = moments[i].mean;
      biased_variance[i] = moments[i].m2 / moments[i].count;
    }
  }

  /// y = act(gamma * xhat + beta), act none or relu; makes with.rstd on the way.
  void normalize(const T* x, T* y, const kernels::Deviations& deviations,
                 const kernels::Normalization<T>& with, bool relu) const noexcept {
    T k[3 * kMostRows];
    const kernels::ChannelAffine<T> forward = affine(k);
    kernels::train_coefficients<T>(count_, deviations, with, forward);
    kernels::channel_normalize<T>(channels(x), {}, channels(y), runs(), {0, examples_, false},
                                  count_, forward, relu, {});
  }

  /// From g, the gradient of that y (with the same relu), to that of x, in its place; dgamma and
  /// dbeta on the way.
  void gradient(const T* x, T* g, const kernels::Normalization<T>& with, bool relu, T* dgamma,
                T* dbeta) const noexcept {
    T k[7 * kMostRows];
    kernels::ChannelAffine<T> forward{};
    kernels::ReluGate<T> gate;
    if (relu) {
      forward = affine(k);
      kernels::train_coefficients<T>(count_, with, forward);
      gate.forward = &forward;
    }
    kernels::GradientSums sums[kMostRows];
    if (one_leaf()) {
      kernels::channel_gradient_sums<T>(channels<const T>(x), channels<const T>(g), runs(), 0,
                                        examples_, count_, with, gate, sums, 1);
    } else {
      for (std::int64_t i = 0; i < count_; ++i) {
        const std::int64_t at = offset_ + i * examples_;
        kernels::Affine<T> undone;
        if (relu) undone = {forward.center[i], forward.scale[i], forward.shift[i]};
        sums[i] = kernels::row_gradient_sums(x + at, g + at, examples_, with.mean[i], with.rstd[i],
                                             relu ? &undone : nullptr);
      }
    }
    double dy[kMostRows], dy_xhat[kMostRows];
    for (std::int64_t i = 0; i < count_; ++i) {
      dbeta[i] = static_cast<T>(dy[i] = sums[i].dy);
      dgamma[i] = static_cast<T>(dy_xhat[i] = sums[i].dy_xhat);
    }
    T* const own = k + 3 * kMostRows;
    const kernels::ChannelGradient<T> backward{own, own + kMostRows, own + 2 * kMostRows,
                                               own + 3 * kMostRows};
    kernels::gradient_coefficients<T>(count_, with, dy, dy_xhat, static_cast<double>(examples_),
                                      backward);
    kernels::channel_input_gradient<T>(channels<const T>(x), channels<const T>(g), channels(g), {},
                                       runs(), {0, examples_, false}, count_, backward, gate);
  }

 private:
  bool one_leaf() const noexcept { return examples_ <= kernels::kLeaf; }

  // The rows as the channels of a tensor that has each of them in one run.
  kernels::Runs runs() const noexcept { return {&run_, 1, examples_, nullptr, nullptr}; }
  template <class U>
  kernels::Rows<U> channels(U* matrix) const noexcept {
    return {matrix + offset_, 0, examples_};
  }

  static kernels::ChannelAffine<T> affine(T* k) noexcept {
    return {k, k + kMostRows, k + 2 * kMostRows};
  }

  std::int64_t count_, examples_, offset_;
  kernels::Run run_{0, examples_, 0, 0, 0};
};

}  // namespace evenrow::nn
