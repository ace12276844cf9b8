// The operator where a column's channels are contiguous: a lane is a channel. A leaf is 512 valid
// positions of all channels; leaves are merged channel by channel over the fixed tree.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/columns.hpp"
#include "norm/schedule.hpp"
#include "norm/tensors.hpp"
#include "norm/workspace.hpp"

namespace evenrow::norm {

template <class T>
class ColumnLoop {
 public:
  /// `workspace.columns` belongs to `view`.
  ColumnLoop(const View& view, Workspace& workspace, int threads) noexcept
      : view_(view),
        runs_(workspace.columns.runs()),
        count_(workspace.columns.count()),
        leaf_weights_(workspace.columns.leaf_weights().data()),
        workspace_(workspace),
        threads_(threads) {}

  /// Statistics to `mean` and `variance`; finish(first channel, channels) makes the coefficients of
  /// these channels, then y is computed.
  template <class Finish>
  void train(const Forward<T>& t, double* mean, double* variance, const Finish& finish) {
    // A leaf's record: means, M2; one of each a channel.
    const std::int64_t channels = view_.channels;
    double* const records = workspace_.template partial<double>(leaves() * 2 * channels);
    reduce_then_map(
        2 * sizeof(T),
        [&](std::int64_t leaf, std::int64_t first, std::int64_t count, std::int64_t c,
            std::int64_t width) {
          double* const record = records + leaf * 2 * channels + c;
          kernels::column_moments(t.x.columns(c), runs_, first, count, width, record,
                                  record + channels);
        },
        [&](std::int64_t c, std::int64_t width) {
          kernels::merge_column_moments(records + c, 2 * channels, channels, leaf_weights_,
                                        leaves(), width, mean + c, variance + c);
          finish(c, width);
        },
        [&](std::int64_t c, std::int64_t width, std::int64_t begin, std::int64_t end) {
          normalize(t, c, width, begin, end);
        });
  }

  /// y from the coefficients, in the order of memory.
  void normalize(const Forward<T>& t) {
    const std::int64_t columns = columns_a_task(view_.channels);
    core::parallel_for(
        threads_, core::block_count(view_.columns(), columns), [&](std::int64_t task) {
          const std::int64_t begin = task * columns;
          normalize(t, 0, view_.channels, begin, std::min(begin + columns, view_.columns()));
        });
  }

  /// Sums to `dbeta` and `dgamma`; finish(first channel, channels) makes the coefficients of these
  /// channels, then dx is computed.
  template <class Finish>
  void backward(const Backward<T>& t, double* dbeta, double* dgamma, const Finish& finish) {
    // A leaf's record: sums of dy, sums of dy * (x - mean); one of each a channel.
    const std::int64_t channels = view_.channels;
    double* const records = workspace_.template partial<double>(leaves() * 2 * channels);
    const auto with_gate = [&](std::int64_t c, const auto& run) {
      using C = NormParameter<T>;
      const kernels::ChannelAffine<C> forward{t.forward.center + c, t.forward.scale + c,
                                              t.forward.shift + c};
      const bool recompute = t.relu && t.bits.data == nullptr;
      run(kernels::ColumnGate<C>{recompute ? &forward : nullptr, t.bits.columns(c)});
    };
    reduce_then_map(
        (t.dresidual.data == nullptr ? 3 : 4) * sizeof(T),
        [&](std::int64_t leaf, std::int64_t first, std::int64_t count, std::int64_t c,
            std::int64_t width) {
          double* const record = records + leaf * 2 * channels + c;
          with_gate(c, [&](const auto& gate) {
            kernels::column_gradient_sums(t.x.columns(c), t.dy.columns(c), runs_, first, count,
                                          width, t.mean + c, gate, record, record + channels);
          });
        },
        [&](std::int64_t c, std::int64_t width) {
          kernels::merge_column_gradient_sums(records + c, 2 * channels, channels, leaves(), width,
                                              t.variance + c, t.eps, dbeta + c, dgamma + c);
          finish(c, width);
        },
        [&](std::int64_t c, std::int64_t width, std::int64_t begin, std::int64_t end) {
          with_gate(c, [&](const auto& gate) {
            kernels::column_input_gradient<T>(
                t.x.columns(c), t.dy.columns(c), t.dx.columns(c), t.dresidual.columns(c), runs_,
                {begin, end, t.stream}, width, {t.k.center + c, t.k.a + c, t.k.b + c, t.k.c + c},
                gate);
          });
        });
  }

 private:
  // Channels that a thread takes together: never less than two lines of cache.
  static constexpr std::int64_t kNarrow = 32;

  std::int64_t leaves() const noexcept { return core::block_count(count_, kernels::kColumnLeaf); }
  std::int64_t columns_a_task(std::int64_t channels) const noexcept {
    return std::max<std::int64_t>(1, kTask / channels);
  }

  void normalize(const Forward<T>& t, std::int64_t c, std::int64_t width, std::int64_t begin,
                 std::int64_t end) const {
    kernels::column_normalize<T>(
        t.x.columns(c), t.residual.columns(c), t.y.columns(c), runs_, {begin, end, t.stream}, width,
        {t.k.center + c, t.k.scale + c, t.k.shift + c}, t.relu, t.bits.columns(c));
  }

  // reduce(leaf, first position, count, c, width) for every leaf and channel, merge(c, width), then
  // map(c, width, begin, end) for all columns. `bytes`: of all tensors, a value.
  template <class Reduce, class Merge, class Map>
  void reduce_then_map(std::size_t bytes, const Reduce& reduce, const Merge& merge,
                       const Map& map) {
    const std::int64_t channels = view_.channels, columns = view_.columns();
    if (view_.size() == 0) return;
    const auto reduce_leaf = [&](std::int64_t leaf, std::int64_t c, std::int64_t width) {
      const std::int64_t first = leaf * kernels::kColumnLeaf;
      reduce(leaf, first, std::min(kernels::kColumnLeaf, count_ - first), c, width);
    };
    // In the threads' own caches, every thread takes some of the channels: nothing to wait for.
    const std::int64_t wide = core::block_count(channels, threads_ * kNarrow) * kNarrow;
    const std::int64_t all = view_.size() * static_cast<std::int64_t>(bytes);
    if (threads_ == 1 || (all <= threads_ * core::cache_sizes().core &&
                          balanced(core::block_count(channels, wide), threads_))) {
      core::parallel_for(threads_, core::block_count(channels, wide), [&](std::int64_t task) {
        const std::int64_t c = task * wide, here = std::min(wide, channels - c);
        for (std::int64_t leaf = 0; leaf < leaves(); ++leaf) reduce_leaf(leaf, c, here);
        merge(c, here);
        map_backwards(map, c, here);
      });
      return;
    }
    // Otherwise memory is best read in its order, and once more from its end: as many blocks of
    // channels as give every thread work.
    std::int64_t blocks = 1;
    while (leaves() * blocks % threads_ != 0 && leaves() * blocks < 8 * threads_ &&
           channels > blocks * kNarrow) {
      ++blocks;
    }
    const std::int64_t width =
        core::block_count(core::block_count(channels, blocks), kNarrow) * kNarrow;
    blocks = core::block_count(channels, width);
    core::parallel_for(threads_, leaves() * blocks, [&](std::int64_t task) {
      const std::int64_t c = task % blocks * width;
      reduce_leaf(task / blocks, c, std::min(width, channels - c));
    });
    const std::int64_t merged = core::block_count(channels, threads_ * kNarrow) * kNarrow;
    core::parallel_for(threads_, core::block_count(channels, merged), [&](std::int64_t task) {
      merge(task * merged, std::min(merged, channels - task * merged));
    });
    const std::int64_t step = columns_a_task(channels);
    core::parallel_for_backwards(
        threads_, core::block_count(columns, step), [&](std::int64_t task) {
          map(0, channels, task * step, std::min((task + 1) * step, columns));
        });
  }

  template <class Map>
  void map_backwards(const Map& map, std::int64_t c, std::int64_t channels) {
    const std::int64_t step = columns_a_task(channels);
    for (std::int64_t at = (view_.columns() - 1) / step * step; at >= 0; at -= step) {
      map(c, channels, at, std::min(at + step, view_.columns()));
    }
  }

  View view_;
  kernels::Runs runs_;
  std::int64_t count_;
  const double* leaf_weights_;
  Workspace& workspace_;
  int threads_;
};

}  // namespace evenrow::norm
