// What the tests of the kernels share: every target, awkward sizes, misaligned buffers with guards.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "kernels/rows.hpp"
#include "support/elements.hpp"
#include "support/every_target.hpp"

namespace evenrow::kernels {

/// Empty, one, two; around one vector of 2, 4, 8 and 16 lanes, around 32 partial sums; primes;
/// around one leaf and several leaves.
inline const std::vector<std::int64_t>& awkward_sizes() {
  static const std::vector<std::int64_t> sizes = {
      0,  1,  2,  3,  4,  5,  7,   8,   9,   13,   15,   16,   17,   31,   32,   33,
      47, 61, 63, 64, 65, 97, 127, 128, 129, 1021, 1023, 1024, 1025, 2048, 3079, 5000};
  return sizes;
}

/// Values that start `misaligned` elements after the start of an allocation. What lies behind them
/// must never be written: see untouched().
template <class T>
class Buffer {
 public:
  Buffer(std::int64_t n, std::int64_t misaligned)
      : start_(static_cast<std::size_t>(misaligned)),
        size_(static_cast<std::size_t>(n)),
        storage_(start_ + size_ + kGuard, guard()) {}

  T* data() { return storage_.data() + start_; }
  const T* data() const { return storage_.data() + start_; }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }
  T& operator[](std::size_t i) { return storage_[start_ + i]; }
  T operator[](std::size_t i) const { return storage_[start_ + i]; }

  bool untouched() const {
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      if ((i < start_ || i >= start_ + size_) && !same_bits(storage_[i], guard())) {
        return false;
      }
    }
    return true;
  }
  static constexpr T guard() { return rounded<T>(-12345.5); }

 private:
  static constexpr std::size_t kGuard = 32;
  std::size_t start_, size_;
  std::vector<T> storage_;
};

/// offset + spread * standard normal numbers, a function of the seed.
template <class T>
void fill_normal(std::span<T> values, std::uint64_t seed, double offset = 0, double spread = 1) {
  const core::RandomStream stream(seed, core::Purpose::test, 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = rounded<T>(offset + spread * stream.normal(i));
  }
}

template <class T>
std::vector<long double> widened(std::span<const T> values) {
  std::vector<long double> result;
  for (const T value : values) result.push_back(as_real(value));
  return result;
}

/// The valid columns of `outer` segments, made as simply as possible: a column counts where its
/// weight is not 0.
class RunList {
 public:
  /// `leaf`: positions in a leaf. `weighted`: the weights count as such, otherwise each as 1.
  RunList(std::int64_t outer, std::int64_t segment, std::vector<float> weights, std::int64_t leaf,
          bool weighted = false)
      : segment_(segment), weighted_(weighted), weights_(std::move(weights)) {
    for (std::int64_t o = 0; o < outer; ++o) {
      for (std::int64_t i = 0; i < segment; ++i) {
        const std::int64_t column = o * segment + i;
        const float w = weights_[static_cast<std::size_t>(column)];
        if (w == 0) continue;
        const bool follows = i > 0 && !runs_.empty() && columns_.back() == column - 1;
        if (follows) {
          ++runs_.back().length;
        } else {
          runs_.push_back({column, 1, count(), o, i});
        }
        if (count() % leaf == 0) leaf_weights_.push_back(0);
        leaf_weights_.back() += weighted ? static_cast<double>(w) : 1.0;
        columns_.push_back(column);
      }
    }
  }
  RunList(const RunList&) = delete;
  RunList& operator=(const RunList&) = delete;

  Runs runs() const {
    return {runs_.data(), runs_.size(), segment_, weighted_ ? weights_.data() : nullptr,
            leaf_weights_.data()};
  }
  std::int64_t count() const { return static_cast<std::int64_t>(columns_.size()); }
  std::int64_t all() const { return static_cast<std::int64_t>(weights_.size()); }
  bool valid(std::int64_t column) const { return weights_[static_cast<std::size_t>(column)] != 0; }
  /// What the column counts.
  float weight(std::int64_t column) const {
    return weighted_ ? weights_[static_cast<std::size_t>(column)] : 1.0f;
  }
  /// The valid columns in order.
  const std::vector<std::int64_t>& columns() const { return columns_; }
  const std::vector<double>& leaf_weights() const { return leaf_weights_; }

 private:
  std::int64_t segment_;
  bool weighted_;
  std::vector<float> weights_;
  std::vector<Run> runs_;
  std::vector<std::int64_t> columns_;
  std::vector<double> leaf_weights_;
};

/// Weights of columns: about `part` of them are not 0, and these in (0, 2).
inline std::vector<float> random_weights(std::int64_t columns, std::uint64_t seed, double part) {
  const core::RandomStream stream(seed, core::Purpose::test, 3);
  std::vector<float> weights(static_cast<std::size_t>(columns));
  for (std::size_t j = 0; j < weights.size(); ++j) {
    const bool valid = stream.uniform(2 * j) < part;
    weights[j] = valid ? static_cast<float>(2 - 2 * stream.uniform(2 * j + 1)) : 0.0f;
  }
  return weights;
}

}  // namespace evenrow::kernels
