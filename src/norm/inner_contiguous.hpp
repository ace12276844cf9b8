// The operator where a channel's values are contiguous: lanes run along a row. A leaf is 1024 valid
// positions of a row, wherever they are in memory: a leaf of several short segments is copied
// together first, so that short segments, padding and long rows give the same bits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/pairwise.hpp"
#include "kernels/rows.hpp"
#include "norm/coefficients.hpp"
#include "norm/workspace.hpp"

namespace evenrow::norm {

/// Hands out the values of one channel at consecutive valid positions, up to a leaf at a time.
template <class T>
class RowReader {
 public:
  /// `row`: where channel's first segment is. Starts at `position`.
  RowReader(const T* row, const ValidColumns& columns, std::int64_t position) noexcept
      : row_(row), runs_(columns.runs()), run_(columns.run_at_position(position)) {
    skip_ = position - runs_[run_].before;
  }

  /// True when the next n values are one piece of memory.
  bool contiguous(std::int64_t n) const noexcept { return runs_[run_].length - skip_ >= n; }

  /// The next n values: in place where they are contiguous, else copied (then n <= kLeaf).
  const T* next(std::int64_t n) noexcept {
    if (contiguous(n)) return take(n);
    for (std::int64_t copied = 0; copied < n;) {
      const std::int64_t here = std::min(n - copied, runs_[run_].length - skip_);
      std::copy_n(take(here), here, leaf_ + copied);
      copied += here;
    }
    return leaf_;
  }

 private:
  const T* take(std::int64_t n) noexcept {
    const T* const values = row_ + runs_[run_].offset + skip_;
    skip_ += n;
    if (skip_ == runs_[run_].length) {
      ++run_;
      skip_ = 0;
    }
    return values;
  }

  const T* row_;
  std::span<const Run> runs_;
  std::size_t run_;
  std::int64_t skip_ = 0;
  T leaf_[kernels::kLeaf];
};

template <class T>
class InnerContiguous {
 public:
  /// `workspace.columns` belongs to `view`.
  InnerContiguous(const View& view, Workspace& workspace, int threads) noexcept
      : view_(view), columns_(workspace.columns), workspace_(workspace), threads_(threads) {}

  /// finish(channel, moments) sets the channel's coefficients k, then y is computed.
  template <class Finish>
  void train(const T* x, T* y, const ChannelCoefficients<T>& k, bool relu, const Finish& finish) {
    const auto chunk_moments = [=, this](std::int64_t c, std::int64_t first, std::int64_t count) {
      RowReader<T> reader(x + c * view_.inner, columns_, first);
      if (reader.contiguous(count)) return kernels::row_moments(reader.next(count), count);
      kernels::PairwiseMerge<kernels::Moments> tree;
      for (std::int64_t i = 0; i < count; i += kernels::kLeaf) {
        const std::int64_t n = std::min(kernels::kLeaf, count - i);
        tree.push(kernels::row_moments(reader.next(n), n));
      }
      return tree.total();
    };
    reduce_then_map<kernels::Moments>(chunk_moments, finish, normalize_piece(x, y, k, relu), y);
  }

  /// y from the coefficients k.
  void normalize(const T* x, T* y, const ChannelCoefficients<T>& k, bool relu) {
    map_all(normalize_piece(x, y, k, relu), y);
  }

  /// finish(channel, sums) sets the channel's gradient coefficients, then dx is computed.
  /// `forward`: undo the relu of a forward pass with the coefficients k.
  template <class Finish>
  void backward(const T* x, const T* dy, T* dx, const double* mean, const double* variance,
                double eps, const ChannelCoefficients<T>& k, bool relu, const Finish& finish) {
    const auto chunk_sums = [=, this](std::int64_t c, std::int64_t first, std::int64_t count) {
      const kernels::Affine<T> forward{k.center[c], k.scale[c], k.shift[c]};
      const kernels::Affine<T>* const relu_of = relu ? &forward : nullptr;
      const double rstd = inverse_deviation(variance[c], eps);
      RowReader<T> x_reader(x + c * view_.inner, columns_, first);
      RowReader<T> dy_reader(dy + c * view_.inner, columns_, first);
      const auto sums = [&](std::int64_t n) {
        return kernels::row_gradient_sums(x_reader.next(n), dy_reader.next(n), n, mean[c], rstd,
                                          relu_of);
      };
      if (x_reader.contiguous(count)) return sums(count);
      kernels::PairwiseMerge<kernels::GradientSums> tree;
      for (std::int64_t i = 0; i < count; i += kernels::kLeaf) {
        tree.push(sums(std::min(kernels::kLeaf, count - i)));
      }
      return tree.total();
    };
    const auto piece = [=](std::int64_t c, std::int64_t at, std::int64_t n) {
      const kernels::Affine<T> forward{k.center[c], k.scale[c], k.shift[c]};
      kernels::row_input_gradient(x + at, dy + at, dx + at, n, k.center[c], k.a[c], k.b[c], k.c[c],
                                  relu ? &forward : nullptr);
    };
    reduce_then_map<kernels::GradientSums>(chunk_sums, finish, piece, dx);
  }

 private:
  // Rows are reduced in chunks of a power of two of leaves (see PairwiseMerge), and mapped in tasks
  // of about so many values. Both depend on the shape alone.
  static constexpr std::int64_t kChunk = 64 * kernels::kLeaf;
  static constexpr std::int64_t kTask = 32768;

  auto normalize_piece(const T* x, T* y, const ChannelCoefficients<T>& k, bool relu) const {
    return [=](std::int64_t c, std::int64_t at, std::int64_t n) {
      kernels::row_normalize(x + at, y + at, n, k.center[c], k.scale[c], k.shift[c], relu);
    };
  }

  template <class Node, class Chunk, class Finish, class Piece>
  void reduce_then_map(const Chunk& chunk, const Finish& finish, const Piece& piece, T* out) {
    const std::int64_t count = columns_.count();
    if (count <= kChunk) {
      // A channel at a time, while it is in the cache.
      const std::int64_t block =
          std::max<std::int64_t>(1, kTask / std::max<std::int64_t>(1, count));
      core::parallel_for(threads_, core::block_count(view_.channels, block),
                         [&](std::int64_t task) {
                           const std::int64_t end = std::min(view_.channels, (task + 1) * block);
                           for (std::int64_t c = task * block; c < end; ++c) {
                             finish(c, chunk(c, 0, count));
                             map(c, c + 1, 0, view_.columns(), piece, out);
                           }
                         });
      return;
    }
    const std::int64_t chunks = core::block_count(count, kChunk);
    Node* const nodes = workspace_.template partial<Node>(view_.channels * chunks);
    core::parallel_for(threads_, view_.channels * chunks, [&](std::int64_t task) {
      const std::int64_t first = task % chunks * kChunk;
      nodes[task] = chunk(task / chunks, first, std::min(kChunk, count - first));
    });
    for (std::int64_t c = 0; c < view_.channels; ++c) {
      kernels::PairwiseMerge<Node> tree;
      for (std::int64_t i = 0; i < chunks; ++i) tree.push(nodes[c * chunks + i]);
      finish(c, tree.total());
    }
    map_all(piece, out);
  }

  // map() over the whole tensor, in tasks that are contiguous in memory.
  template <class Piece>
  void map_all(const Piece& piece, T* out) {
    if (view_.size() == 0) return;
    const std::int64_t inner = view_.inner;
    const std::int64_t pieces = core::block_count(inner, kTask);  // of one row's segment
    const std::int64_t block = std::min(view_.channels, std::max<std::int64_t>(1, kTask / inner));
    const std::int64_t blocks = core::block_count(view_.channels, block);
    const std::int64_t outers =
        blocks > 1 ? 1 : std::max<std::int64_t>(1, kTask / (inner * view_.channels));
    const std::int64_t tasks = core::block_count(view_.outer, outers) * blocks * pieces;
    core::parallel_for(threads_, tasks, [&](std::int64_t task) {
      const std::int64_t p = task % pieces;
      const std::int64_t c = task / pieces % blocks * block;
      const std::int64_t o = task / pieces / blocks * outers;
      const std::int64_t begin = o * inner + p * kTask;
      const std::int64_t end = pieces > 1 ? std::min(begin + kTask, (o + 1) * inner)
                                          : std::min(begin + outers * inner, view_.columns());
      map(c, std::min(c + block, view_.channels), begin, end, piece, out);
    });
  }

  // piece(channel, offset, n) for all valid values of these channels and columns; the others are 0.
  template <class Piece>
  void map(std::int64_t first_channel, std::int64_t end_channel, std::int64_t begin,
           std::int64_t end, const Piece& piece, T* out) const noexcept {
    const std::span<const Run> runs = columns_.runs();
    std::size_t first_run = columns_.run_at_column(begin);
    while (begin < end) {
      const std::int64_t outer = begin / view_.inner;
      const std::int64_t stop = std::min(end, (outer + 1) * view_.inner);
      std::size_t r = first_run;
      for (std::int64_t c = first_channel; c < end_channel; ++c) {
        // Column j of this channel is at row + j.
        const std::int64_t row = (outer * (view_.channels - 1) + c) * view_.inner;
        r = first_run;
        for (std::int64_t at = begin; at < stop;) {
          const std::int64_t from = r < runs.size() ? std::min(runs[r].start, stop) : stop;
          if (from > at) {
            std::fill_n(out + row + at, from - at, T{0});
            at = from;
            continue;
          }
          const std::int64_t run_end = runs[r].start + runs[r].length;
          const std::int64_t to = std::min(run_end, stop);
          piece(c, row + at, to - at);
          at = to;
          if (to == run_end) ++r;
        }
      }
      first_run = r;
      begin = stop;
    }
  }

  View view_;
  const ValidColumns& columns_;
  Workspace& workspace_;
  int threads_;
};

}  // namespace evenrow::norm
