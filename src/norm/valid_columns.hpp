// Which columns of a tensor count, as runs of neighbours: what both loops of the operator walk
// over.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evenrow/batch_norm.hpp"

namespace evenrow::norm {

/// The view `[outer, channels, inner]` in its simplest equivalent form: one channel, or one outer
/// index, is one contiguous row. channels_last: a column's channels are contiguous.
struct View {
  std::int64_t outer = 0;
  std::int64_t channels = 0;
  std::int64_t inner = 0;
  bool channels_last = false;

  explicit View(const NormShape& shape) noexcept;
  std::int64_t columns() const noexcept { return outer * inner; }
  std::int64_t size() const noexcept { return outer * channels * inner; }
};

/// Valid columns that follow each other in memory (in each channel).
struct Run {
  std::int64_t start = 0;   ///< Index of the first column.
  std::int64_t length = 0;  ///< >= 1.
  std::int64_t before = 0;  ///< Valid columns before this run.
  std::int64_t offset = 0;  ///< Where the first column's channel 0 is in the tensor.
};

/// The runs of a tensor, in order. Valid columns have positions 0 .. count() - 1, as if the other
/// columns did not exist; statistics are defined on positions, so padding cannot change a bit.
class ValidColumns {
 public:
  /// Replaces what was there. `valid` has been checked against the view. Storage is used again; a
  /// mask reserves for as many runs as a mask of this size can have.
  void assign(const View& view, const Validity& valid);

  std::span<const Run> runs() const noexcept { return runs_; }
  std::int64_t count() const noexcept { return count_; }
  /// A number that tells one set of valid columns from another (64-bit hash).
  std::uint64_t fingerprint() const noexcept { return fingerprint_; }

  /// Index of the run with this position; runs().size() at the end.
  std::size_t run_at_position(std::int64_t position) const noexcept;
  /// Index of the first run that ends after this column; runs().size() if none does.
  std::size_t run_at_column(std::int64_t column) const noexcept;

  /// visit(offset, columns) for the pieces of positions [first, first + count), in order.
  template <class Visit>
  void for_each_piece(const View& view, std::int64_t first, std::int64_t count,
                      const Visit& visit) const {
    const std::int64_t step = view.channels_last ? view.channels : 1;
    for (std::size_t r = run_at_position(first); count > 0; ++r) {
      const Run& run = runs_[r];
      const std::int64_t skip = first - run.before;
      const std::int64_t length = run.length - skip < count ? run.length - skip : count;
      visit(run.offset + skip * step, length);
      first += length;
      count -= length;
    }
  }

 private:
  void add(const View& view, std::int64_t begin, std::int64_t end);

  std::vector<Run> runs_;
  std::int64_t count_ = 0;
  std::uint64_t fingerprint_ = 0;
};

}  // namespace evenrow::norm
