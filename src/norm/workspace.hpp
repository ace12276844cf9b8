// Scratch memory of the operator. One a thread that calls it, kept between calls and only ever
// growing, so that a call of a size seen before allocates nothing.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "kernels/coefficients.hpp"
#include "kernels/rows.hpp"
#include "norm/valid_columns.hpp"

namespace evenrow::norm {

/// One of each a channel: what the kernels apply, forward and backward, and the sums of the
/// backward pass.
template <class C>
struct ChannelValues {
  kernels::ChannelAffine<C> forward;
  kernels::ChannelGradient<C> backward;
  double *dbeta, *dgamma;
};

class Workspace {
 public:
  ValidColumns columns;

  /// `count` values to write to and read until the next call with this type: double,
  /// kernels::Moments or kernels::GradientSums.
  template <class Node>
  Node* partial(std::int64_t count) {
    std::vector<Node>& storage = std::get<std::vector<Node>>(partial_);
    grow(storage, count);
    return storage.data();
  }

  /// The same of double, for leaves that a thread merges at once.
  double* leaf_records(std::int64_t count) {
    grow(leaf_records_, count);
    return leaf_records_.data();
  }

  /// C: float or double.
  template <class C>
  ChannelValues<C> channel_values(std::int64_t channels) {
    std::vector<C>& storage = std::get<std::vector<C>>(coefficients_);
    grow(storage, 7 * channels);
    grow(sums_, 2 * channels);
    C* const k = storage.data();
    return {{k, k + channels, k + 2 * channels},
            {k + 3 * channels, k + 4 * channels, k + 5 * channels, k + 6 * channels},
            sums_.data(),
            sums_.data() + channels};
  }

  /// This thread's own.
  static Workspace& here() {
    thread_local Workspace workspace;
    return workspace;
  }

 private:
  template <class T>
  static void grow(std::vector<T>& storage, std::int64_t count) {
    if (static_cast<std::int64_t>(storage.size()) < count) {
      storage.resize(static_cast<std::size_t>(count));
    }
  }

  std::tuple<std::vector<double>, std::vector<kernels::Moments>, std::vector<kernels::GradientSums>>
      partial_;
  std::tuple<std::vector<float>, std::vector<double>> coefficients_;
  std::vector<double> sums_, leaf_records_;
};

}  // namespace evenrow::norm
