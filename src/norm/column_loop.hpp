// The operator where a column's channels are contiguous: a lane is a channel. A leaf is 64 valid
// positions of all channels; leaves are merged channel by channel over the fixed tree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

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
        columns_(workspace.columns),
        workspace_(workspace),
        threads_(threads) {}

  /// Statistics to `mean` and `variance`; finish(first channel, channels) makes the coefficients of
  /// these channels, then y is computed.
  template <class Finish>
  void train(const Forward<T>& t, double* mean, double* variance, const Finish& finish) {
    reduce_then_map(
        [&](std::int64_t first, std::int64_t count, std::int64_t c, std::int64_t width,
            double* records, std::int64_t record, std::int64_t second) {
          kernels::column_moments(t.x.columns(c), runs_, first, count, width, records, record,
                                  second);
        },
        [&](double* records, std::int64_t record, std::int64_t second, const double* weights,
            std::int64_t nodes, std::int64_t width, double* to, double* to_second) {
          kernels::merge_column_moments(records, record, second, weights, nodes, width, 1.0, to,
                                        to_second);
        },
        [&](double* records, std::int64_t record, std::int64_t second, const double* weights,
            std::int64_t nodes, std::int64_t c, std::int64_t width) {
          kernels::merge_column_moments(records, record, second, weights, nodes, width,
                                        columns_.weight(), mean + c, variance + c);
          finish(c, width);
        },
        [&](std::int64_t begin, std::int64_t end) { normalize(t, begin, end); });
  }

  /// y, in the order of memory. coefficients(workspace, first channel, channels) makes the
  /// coefficients of these channels, for one thread in its own workspace: sooner done than fetched
  /// from another one's cache.
  template <class Coefficients>
  void normalize(const Forward<T>& t, const Coefficients& coefficients) {
    const std::int64_t step = columns_a_task(), columns = view_.columns();
    core::parallel_shares(
        threads_, core::block_count(columns, step), [&](std::int64_t first, std::int64_t last) {
          Forward<T> own = t;
          own.k = coefficients(Workspace::here(), 0, view_.channels);
          for (std::int64_t at = first * step; at < std::min(last * step, columns); at += step) {
            normalize(own, at, std::min(at + step, columns));
          }
        });
  }

  /// Sums to `dbeta` and `dgamma`; finish(first channel, channels) makes the coefficients of these
  /// channels, then dx is computed.
  template <class Finish>
  void backward(const Backward<T>& t, double* dbeta, double* dgamma, const Finish& finish) {
    const auto with_gate = [&](std::int64_t c, const auto& run) {
      using C = NormParameter<T>;
      const kernels::ChannelAffine<C> forward = t.forward.from(c);
      const bool recompute = t.relu && t.bits.data == nullptr;
      run(kernels::ColumnGate<C>{recompute ? &forward : nullptr, t.bits.columns(c)});
    };
    reduce_then_map(
        [&](std::int64_t first, std::int64_t count, std::int64_t c, std::int64_t width,
            double* records, std::int64_t record, std::int64_t second) {
          with_gate(c, [&](const auto& gate) {
            kernels::column_gradient_sums(t.x.columns(c), t.dy.columns(c), runs_, first, count,
                                          width, t.mean + c, gate, records, record, second);
          });
        },
        [&](double* records, std::int64_t record, std::int64_t second, const double*,
            std::int64_t nodes, std::int64_t width, double* to, double* to_second) {
          kernels::merge_column_gradient_sums(records, record, second, nodes, width, nullptr, to,
                                              to_second);
        },
        [&](double* records, std::int64_t record, std::int64_t second, const double*,
            std::int64_t nodes, std::int64_t c, std::int64_t width) {
          kernels::merge_column_gradient_sums(records, record, second, nodes, width, t.rstd + c,
                                              dbeta + c, dgamma + c);
          finish(c, width);
        },
        [&](std::int64_t begin, std::int64_t end) {
          with_gate(0, [&](const auto& gate) {
            kernels::column_input_gradient<T>(t.x.columns(0), t.dy.columns(0), t.dx.columns(0),
                                              t.dresidual.columns(0), runs_, {begin, end, t.stream},
                                              view_.channels, t.k, gate);
          });
        });
  }

 private:
  // Channels that a thread takes together: never less than two lines of cache.
  static constexpr std::int64_t kNarrow = 32;
  // Values that are merged sooner than another thread has begun; making the coefficients of a
  // channel counts as so many.
  static constexpr std::int64_t kCoefficients = 4;
  static constexpr std::int64_t kMergedAlone = 4096;
  // Most leaves that a thread reduces and merges at once: a power of two, a subtree of the one
  // tree.
  static constexpr std::int64_t kChunk = 8;
  // A share this far above an even one is even.
  static constexpr double kEven = 0.05;

  std::int64_t columns_a_task() const noexcept {
    const std::int64_t columns = std::max<std::int64_t>(1, view_.columns());
    const std::int64_t least = std::max<std::int64_t>(1, kTask / view_.channels);
    const std::int64_t most = std::clamp(columns / (8 * threads_), least, 4 * least);
    // As many for each thread, of columns that are mapped four at a time.
    const std::int64_t each = core::block_count(core::block_count(columns, most), threads_);
    return core::block_count(core::block_count(columns, each * threads_), 4) * 4;
  }

  void normalize(const Forward<T>& t, std::int64_t begin, std::int64_t end) const {
    kernels::column_normalize<T>(t.x.columns(0), t.residual.columns(0), t.y.columns(0), runs_,
                                 {begin, end, t.stream}, view_.channels, t.k, t.relu,
                                 t.bits.columns(0));
  }

  // Tasks that threads share: so many leaves each, of one of so many blocks of the channels.
  struct Tasks {
    std::int64_t chunk, blocks;
  };

  // How far the largest share of all tasks is above an even one, as a part of it.
  static double excess(std::int64_t leaves, const Tasks& tasks, int threads) noexcept {
    const auto [chunk, blocks] = tasks;
    const std::int64_t chunks = core::block_count(leaves, chunk), count = chunks * blocks;
    std::int64_t largest = core::block_count(count, threads) * chunk;
    // The last share alone has one more than the others: with the last chunk, which may be short.
    if ((count - 1) % threads == 0) largest -= chunks * chunk - leaves;
    return static_cast<double>(largest * threads) / static_cast<double>(leaves * blocks) - 1;
  }

  // The fewest even ones, since what they come to has to be merged: fewer leaves each, then each
  // for some of the channels.
  static Tasks even_tasks(std::int64_t leaves, std::int64_t channels, int threads) noexcept {
    Tasks best{kChunk, 1};
    double least = excess(leaves, best, threads);
    const auto consider = [&](const Tasks& tasks) {
      const double here = excess(leaves, tasks, threads);
      if (here < least) best = tasks, least = here;
    };
    for (std::int64_t chunk = kChunk; least > kEven && chunk > 1;) consider({chunk /= 2, 1});
    const std::int64_t most = std::min<std::int64_t>(8 * threads, channels / kNarrow);
    for (std::int64_t blocks = 2; least > kEven && blocks <= most; ++blocks) consider({1, blocks});
    return best;
  }

  // Memory is read in its order, and once more from its end; every thread has some columns for its
  // own. Two values a channel come of each leaf (a record: first values, then second values):
  // reduce(first position, positions, c, width, records, record size, to second) makes records,
  // merge(..., nodes, width, to, to second) makes one of several, complete(..., nodes, c, width)
  // takes what the last ones make; then map(begin, end) for all columns.
  template <class Reduce, class Merge, class Complete, class Map>
  void reduce_then_map(const Reduce& reduce, const Merge& merge, const Complete& complete,
                       const Map& map) {
    if (view_.size() == 0) return;
    const std::int64_t channels = view_.channels, record = 2 * channels;
    const std::vector<double>& weights = columns_.leaf_weights();
    const auto leaves = static_cast<std::int64_t>(weights.size());
    const Tasks tasks = even_tasks(leaves, channels, threads_);
    const std::int64_t chunk = tasks.chunk, chunks = core::block_count(leaves, chunk);
    const std::int64_t width = narrow_multiple(channels, tasks.blocks);
    const std::int64_t blocks = core::block_count(channels, width);

    double* const records = workspace_.template partial<double>(chunks * (record + 1));
    double* const chunk_weights = records + chunks * record;
    core::parallel_for(threads_, chunks * blocks, [&](std::int64_t task) {
      const std::int64_t i = task / blocks, c = task % blocks * width;
      const std::int64_t here = std::min(width, channels - c), first = i * chunk;
      const std::int64_t nodes = std::min(chunk, leaves - first);
      const std::int64_t position = first * kernels::kColumnLeaf;
      const std::int64_t count =
          std::min(nodes * kernels::kColumnLeaf, columns_.count() - position);
      double* const result = records + i * record + c;
      if (c == 0) chunk_weights[i] = columns_.weight_of(first, nodes);
      if (nodes == 1) return reduce(position, count, c, here, result, record, channels);
      double* const own = Workspace::here().leaf_records(nodes * 2 * here);
      reduce(position, count, c, here, own, 2 * here, here);
      merge(own, 2 * here, here, weights.data() + first, nodes, here, result, result + channels);
    });
    const std::int64_t merged = channels * (chunks + kCoefficients) < kMergedAlone
                                    ? channels
                                    : narrow_multiple(channels, threads_);
    core::parallel_for(threads_, core::block_count(channels, merged), [&](std::int64_t task) {
      const std::int64_t c = task * merged;
      complete(records + c, record, channels, chunk_weights, chunks, c,
               std::min(merged, channels - c));
    });
    const std::int64_t step = columns_a_task(), columns = view_.columns();
    core::parallel_for_backwards(
        threads_, core::block_count(columns, step),
        [&](std::int64_t task) { map(task * step, std::min((task + 1) * step, columns)); });
  }

  // The width of so many blocks of channels, in whole lines of cache.
  static std::int64_t narrow_multiple(std::int64_t channels, std::int64_t blocks) noexcept {
    return core::block_count(core::block_count(channels, blocks), kNarrow) * kNarrow;
  }

  View view_;
  kernels::Runs runs_;
  const ValidColumns& columns_;
  Workspace& workspace_;
  int threads_;
};

}  // namespace evenrow::norm
