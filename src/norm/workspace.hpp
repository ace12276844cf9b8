// Scratch memory of the operator. One a thread that calls it, kept between calls and only ever
// growing, so that a call of a size seen before allocates nothing.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "kernels/rows.hpp"
#include "norm/valid_columns.hpp"

namespace evenrow::norm {

/// What the kernels apply, one of each a channel (coefficients.hpp): forward and backward.
template <class T>
struct ChannelCoefficients {
  T *center, *scale, *shift, *a, *b, *c;
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

  template <class T>
  ChannelCoefficients<T> coefficients(std::int64_t channels) {
    std::vector<T>& storage = std::get<std::vector<T>>(coefficients_);
    grow(storage, 6 * channels);
    T* const p = storage.data();
    return {
        p, p + channels, p + 2 * channels, p + 3 * channels, p + 4 * channels, p + 5 * channels};
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
};

}  // namespace evenrow::norm
