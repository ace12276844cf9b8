// Tensors in memory as a caller may give them: dense or a view of a larger buffer, misaligned, up
// to the first or the last byte that may be touched. What lies between and around their values must
// not be read (it is NaN) and never be written.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "evenrow/batch_norm.hpp"
#include "support/elements.hpp"
#include "support/fenced_memory.hpp"

namespace evenrow {

/// How segments follow each other: without gaps; with gaps, in the order of a dense tensor; with
/// gaps, all segments of a channel before those of the next one.
enum class Spacing { dense, outer_first, channel_first };

/// Strides, and how many values they reach.
struct Placement {
  NormStrides given{};  // as the operator gets them: zeros where the tensor is dense
  NormStrides steps{};
  std::int64_t reach = 0;

  Placement(const NormShape& s, Spacing spacing, std::int64_t gap) {
    const bool channels_last = s.inner == 1 && s.channels > 1;
    if (spacing == Spacing::dense) gap = 0;
    if (channels_last) {
      steps = {s.channels + gap, 1};
    } else if (s.inner == 1) {
      steps = {1, 1 + gap};  // one channel of single values is one row
    } else if (spacing == Spacing::channel_first) {
      steps.outer = s.inner + gap;
      steps.channel = std::max<std::int64_t>(1, s.outer) * steps.outer + gap / 2;
    } else {
      steps.channel = s.inner + gap;
      steps.outer = std::max<std::int64_t>(1, s.channels) * steps.channel + gap / 2;
    }
    if (spacing != Spacing::dense) given = steps;
    if (s.size() > 0) {
      reach = (s.outer - 1) * steps.outer + (s.channels - 1) * steps.channel + s.inner;
    }
  }
};

/// `n` values; where there is no fence, they start `misaligned` values into an allocation and more
/// follow.
template <class V>
class Memory {
 public:
  Memory(std::int64_t n, std::int64_t misaligned, std::optional<Fence> fence)
      : first_(fence ? 0 : static_cast<std::size_t>(misaligned)),
        size_(static_cast<std::size_t>(n)) {
    if (fence) {
      fenced_.emplace(n, *fence);
    } else {
      plain_.resize(first_ + size_ + kBehind);
    }
  }
  /// All there is, what lies around the values included.
  std::span<V> all() { return fenced_ ? fenced_->span() : std::span<V>(plain_); }
  std::span<V> span() { return all().subspan(first_, size_); }

 private:
  static constexpr std::size_t kBehind = 17;
  std::size_t first_, size_;
  std::vector<V> plain_;
  std::optional<Fenced<V>> fenced_;
};

/// A copy of plain values: parameters, masks, lengths, weights, statistics.
template <class V>
Memory<V> copied(const std::vector<V>& values, std::optional<Fence> fence) {
  Memory<V> memory(static_cast<std::int64_t>(values.size()), 1, fence);
  std::ranges::copy(values, memory.span().begin());
  return memory;
}

template <class T>
class TensorMemory {
 public:
  TensorMemory(const NormShape& shape, const Placement& place, std::int64_t misaligned,
               std::optional<Fence> fence)
      : shape_(shape), place_(place), memory_(place.reach, misaligned, fence) {
    std::ranges::fill(memory_.all(), guard());
  }

  /// Takes and gives dense values.
  void put(const std::vector<T>& values) {
    for_each([&](std::size_t dense, std::size_t here) { memory_.span()[here] = values[dense]; });
  }
  std::vector<T> dense() {
    std::vector<T> values(static_cast<std::size_t>(shape_.size()));
    for_each([&](std::size_t dense, std::size_t here) { values[dense] = memory_.span()[here]; });
    return values;
  }

  NormTensor<const T> input() { return {std::span<const T>(memory_.span()), place_.given}; }
  NormTensor<T> output() { return {memory_.span(), place_.given}; }

  /// Whether everything but the tensor's values is as it was.
  bool untouched() {
    std::vector<T> expected(memory_.all().begin(), memory_.all().end());
    const std::size_t before =
        static_cast<std::size_t>(memory_.span().data() - memory_.all().data());
    std::ranges::fill(expected, guard());
    for_each(
        [&](std::size_t, std::size_t here) { expected[before + here] = memory_.span()[here]; });
    return same_bits<T>(std::span<const T>(expected), std::span<const T>(memory_.all()));
  }

 private:
  static T guard() { return rounded<T>(std::numeric_limits<double>::quiet_NaN()); }

  // visit(index in a dense tensor, index here) for every value.
  template <class Visit>
  void for_each(const Visit& visit) const {
    std::size_t dense = 0;
    for (std::int64_t o = 0; o < shape_.outer; ++o) {
      for (std::int64_t c = 0; c < shape_.channels; ++c) {
        const std::int64_t at = o * place_.steps.outer + c * place_.steps.channel;
        for (std::int64_t i = 0; i < shape_.inner; ++i) {
          visit(dense++, static_cast<std::size_t>(at + i));
        }
      }
    }
  }

  NormShape shape_;
  Placement place_;
  Memory<T> memory_;
};

}  // namespace evenrow
