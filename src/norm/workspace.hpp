// Scratch memory of the operator. One a thread that calls it, kept between calls and only ever
// growing, so that a call of a size seen before allocates nothing.
#pragma once

#include <cstdint>
#include <tuple>

#include "core/sizes.hpp"
#include "evenrow/aligned.hpp"
#include "kernels/coefficients.hpp"
#include "kernels/rows.hpp"
#include "norm/valid_columns.hpp"

namespace evenrow::norm {

/// One of each a channel: what the kernels apply, forward and backward, the sums of the backward
/// pass, and 1 / sqrt(variance + eps) in inference.
template <class C>
struct ChannelValues {
  kernels::ChannelAffine<C> forward;
  kernels::ChannelGradient<C> backward;
  double *dbeta, *dgamma, *rstd;
};

class Workspace {
 public:
  ValidColumns columns;

  /// `count` values to write to and read until the next call with this type: double,
  /// kernels::Moments or kernels::GradientSums.
  template <class Node>
  Node* partial(std::int64_t count) {
    AlignedVector<Node>& storage = std::get<AlignedVector<Node>>(partial_);
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
    // Each begins with a line, and not a multiple of 4 KiB behind another one: lines that far apart
    // share the few places of L1 that a column of the tensor needs, too.
    constexpr std::int64_t kLine = 64 / sizeof(C);
    const std::int64_t step = (core::block_count(channels, kLine) + 1) * kLine;
    AlignedVector<C>& storage = std::get<AlignedVector<C>>(coefficients_);
    grow(storage, 7 * step);
    grow(sums_, 3 * channels);
    C* const k = storage.data();
    return {{k, k + step, k + 2 * step},
            {k + 3 * step, k + 4 * step, k + 5 * step, k + 6 * step},
            sums_.data(),
            sums_.data() + channels,
            sums_.data() + 2 * channels};
  }

  /// This thread's own.
  static Workspace& here() {
    thread_local Workspace workspace;
    return workspace;
  }

 private:
  template <class T>
  static void grow(AlignedVector<T>& storage, std::int64_t count) {
    if (static_cast<std::int64_t>(storage.size()) < count) {
      storage.resize(static_cast<std::size_t>(count));
    }
  }

  std::tuple<AlignedVector<double>, AlignedVector<kernels::Moments>,
             AlignedVector<kernels::GradientSums>>
      partial_;
  std::tuple<AlignedVector<float>, AlignedVector<double>> coefficients_;
  AlignedVector<double> sums_, leaf_records_;
};

}  // namespace evenrow::norm
