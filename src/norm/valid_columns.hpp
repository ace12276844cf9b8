// Which columns of a tensor count, as runs of neighbours: what both loops of the operator walk
// over.
#pragma once

#include <cstdint>
#include <vector>

#include "evenrow/batch_norm.hpp"
#include "kernels/rows.hpp"

namespace evenrow::norm {

/// The sizes `[outer, channels, inner]` as the loops see them: channels_last where a column's
/// channels are contiguous, otherwise segments of `inner` columns are, in each channel. One channel
/// of single values is one segment.
struct View {
  std::int64_t outer = 0;
  std::int64_t channels = 0;
  std::int64_t inner = 0;
  bool channels_last = false;

  explicit View(const NormShape& shape) noexcept;
  std::int64_t columns() const noexcept { return outer * inner; }
  std::int64_t size() const noexcept { return outer * channels * inner; }
};

/// The valid columns of a tensor. They have positions 0 .. count() - 1, as if the other columns did
/// not exist; statistics are defined on positions, so padding cannot change a bit.
class ValidColumns {
 public:
  /// Replaces what was there; refers to `valid` afterwards, which has been checked against the
  /// view. Storage is used again; a mask reserves for as many runs as a mask of this size can have.
  void assign(const View& view, const Validity& valid);

  kernels::Runs runs() const noexcept;
  std::int64_t count() const noexcept { return count_; }
  /// n: the number of valid columns, or the sum of their weights.
  double weight() const noexcept { return weight_; }
  /// The same of each leaf of positions.
  const std::vector<double>& leaf_weights() const noexcept { return leaf_weights_; }
  /// The weight of some neighbouring leaves, over the tree that their moments are merged over.
  double weight_of(std::int64_t first_leaf, std::int64_t leaves) const noexcept;
  /// A number that tells one set of valid columns, and their weights, from another (64-bit hash).
  std::uint64_t fingerprint() const noexcept { return fingerprint_; }

 private:
  void add(std::int64_t begin, std::int64_t end);
  template <class T>
  void add_where_not_zero(std::span<const T> values);
  void mix(std::uint64_t number) noexcept;

  std::vector<kernels::Run> runs_;
  std::vector<double> leaf_weights_;
  std::span<const float> weights_;
  std::int64_t segment_ = 0;
  std::int64_t count_ = 0;
  double weight_ = 0;
  std::uint64_t fingerprint_ = 0;
};

}  // namespace evenrow::norm
