// The operator where a column's channels are contiguous: a lane is a channel. A leaf is 512 valid
// positions of all channels; leaves are merged channel by channel over the fixed tree.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/columns.hpp"
#include "kernels/pairwise.hpp"
#include "norm/coefficients.hpp"
#include "norm/workspace.hpp"

namespace evenrow::norm {

template <class T>
class ChannelsLast {
 public:
  /// `workspace.columns` belongs to `view`.
  ChannelsLast(const View& view, Workspace& workspace, int threads) noexcept
      : view_(view), columns_(workspace.columns), workspace_(workspace), threads_(threads) {}

  /// finish(channel, moments) sets the channel's coefficients k, then y is computed.
  template <class Finish>
  void train(const T* x, T* y, const ChannelCoefficients<T>& k, bool relu, const Finish& finish) {
    // A leaf's record: means (pivots before), sums of differences, M2; one of each a channel.
    const std::int64_t channels = view_.channels;
    double* const records = workspace_.partial<double>(leaves() * 3 * channels);
    for_each_leaf([&](std::int64_t leaf, std::int64_t first, std::int64_t count, std::int64_t c,
                      std::int64_t width) {
      double* const record = records + leaf * 3 * channels + c;
      leaf_moments(x + c, first, count, width, record, record + channels, record + 2 * channels);
    });
    for_each_channel([&](std::int64_t c) {
      kernels::PairwiseMerge<kernels::Moments> tree;
      for (std::int64_t leaf = 0; leaf < leaves(); ++leaf) {
        const double* const record = records + leaf * 3 * channels + c;
        tree.push({static_cast<double>(leaf_count(leaf)), record[0], record[2 * channels]});
      }
      finish(c, tree.total());
    });
    normalize(x, y, k, relu);
  }

  /// y from the coefficients k.
  void normalize(const T* x, T* y, const ChannelCoefficients<T>& k, bool relu) {
    map_all(y, [&](std::int64_t at, std::int64_t count, std::int64_t c, std::int64_t width) {
      kernels::column_normalize<T>(x + at, y + at, count, view_.channels, width, forward(k, c),
                                   relu);
    });
  }

  /// finish(channel, sums) sets the channel's gradient coefficients, then dx is computed. `relu`:
  /// undo the relu of a forward pass with the coefficients k.
  template <class Finish>
  void backward(const T* x, const T* dy, T* dx, const double* mean, const double* variance,
                double eps, const ChannelCoefficients<T>& k, bool relu, const Finish& finish) {
    // A leaf's record: sums of dy, sums of dy * (x - mean); one of each a channel.
    const std::int64_t channels = view_.channels;
    double* const records = workspace_.partial<double>(leaves() * 2 * channels);
    for_each_leaf([&](std::int64_t leaf, std::int64_t first, std::int64_t count, std::int64_t c,
                      std::int64_t width) {
      double* const sum_dy = records + leaf * 2 * channels + c;
      double* const sum_dy_centered = sum_dy + channels;
      std::fill_n(sum_dy, width, 0.0);
      std::fill_n(sum_dy_centered, width, 0.0);
      const kernels::ChannelAffine<T> relu_of = forward(k, c);
      columns_.for_each_piece(view_, first, count, [&](std::int64_t at, std::int64_t n) {
        kernels::column_gradient_sums(x + c + at, dy + c + at, n, channels, width, mean + c, sum_dy,
                                      sum_dy_centered, relu ? &relu_of : nullptr);
      });
    });
    for_each_channel([&](std::int64_t c) {
      const double rstd = inverse_deviation(variance[c], eps);
      kernels::PairwiseMerge<kernels::GradientSums> tree;
      for (std::int64_t leaf = 0; leaf < leaves(); ++leaf) {
        const double* const record = records + leaf * 2 * channels + c;
        tree.push({record[0], record[channels] * rstd});
      }
      finish(c, tree.total());
    });
    map_all(dx, [&](std::int64_t at, std::int64_t count, std::int64_t c, std::int64_t width) {
      const kernels::ChannelGradient<T> gradient{k.center + c, k.a + c, k.b + c, k.c + c};
      const kernels::ChannelAffine<T> relu_of = forward(k, c);
      kernels::column_input_gradient<T>(x + at, dy + at, dx + at, count, channels, width, gradient,
                                        relu ? &relu_of : nullptr);
    });
  }

 private:
  // How the work is cut, by shape alone: channels that are reduced together, and values that are
  // mapped together, in so many channels at most.
  static constexpr std::int64_t kChannels = 256;
  static constexpr std::int64_t kTask = 32768;
  static constexpr std::int64_t kMapChannels = 4096;

  static kernels::ChannelAffine<T> forward(const ChannelCoefficients<T>& k, std::int64_t c) {
    return {k.center + c, k.scale + c, k.shift + c};
  }

  std::int64_t leaves() const noexcept {
    return core::block_count(columns_.count(), kernels::kColumnLeaf);
  }
  std::int64_t leaf_count(std::int64_t leaf) const noexcept {
    return std::min(kernels::kColumnLeaf, columns_.count() - leaf * kernels::kColumnLeaf);
  }

  // visit(leaf, first position, positions, first channel, channels)
  template <class Visit>
  void for_each_leaf(const Visit& visit) {
    const std::int64_t blocks = core::block_count(view_.channels, kChannels);
    core::parallel_for(threads_, leaves() * blocks, [&](std::int64_t task) {
      const std::int64_t leaf = task / blocks;
      const std::int64_t c = task % blocks * kChannels;
      visit(leaf, leaf * kernels::kColumnLeaf, leaf_count(leaf), c,
            std::min(kChannels, view_.channels - c));
    });
  }

  template <class Visit>
  void for_each_channel(const Visit& visit) {
    core::parallel_for(threads_, core::block_count(view_.channels, kChannels),
                       [&](std::int64_t block) {
                         const std::int64_t c = block * kChannels;
                         const std::int64_t end = std::min(c + kChannels, view_.channels);
                         for (std::int64_t i = c; i < end; ++i) visit(i);
                       });
  }

  // Means and M2 of one leaf. The pivot is the mean of the leaf's first columns, found as a
  // difference to the first of them: equal values give exactly themselves.
  void leaf_moments(const T* x, std::int64_t first, std::int64_t count, std::int64_t width,
                    double* mean, double* sum, double* m2) const noexcept {
    const auto add = [&](std::int64_t n) {
      std::fill_n(sum, width, 0.0);
      std::fill_n(m2, width, 0.0);
      columns_.for_each_piece(view_, first, n, [&](std::int64_t at, std::int64_t columns) {
        kernels::column_moment_sums(x + at, columns, view_.channels, width, mean, sum, m2);
      });
    };
    columns_.for_each_piece(view_, first, 1, [&](std::int64_t at, std::int64_t) {
      for (std::int64_t c = 0; c < width; ++c) mean[c] = static_cast<double>(x[at + c]);
    });
    const std::int64_t pivot_columns = std::min(kernels::kPivotColumns, count);
    add(pivot_columns);
    for (std::int64_t c = 0; c < width; ++c) mean[c] += sum[c] / static_cast<double>(pivot_columns);
    add(count);
    const double n = static_cast<double>(count);
    for (std::int64_t c = 0; c < width; ++c) {
      // sum((x - mean)^2) = sum((x - p)^2) - sum(x - p)^2 / n; rounding alone could leave it below
      // 0.
      const double squares = m2[c] - sum[c] * (sum[c] / n);
      m2[c] = squares < 0.0 ? 0.0 : squares;
      mean[c] += sum[c] / n;
    }
  }

  // piece(offset, columns, first channel, channels) for all valid columns; the others are 0.
  template <class Piece>
  void map_all(T* out, const Piece& piece) {
    if (view_.size() == 0) return;
    const std::int64_t block = std::min(view_.channels, kMapChannels);
    const std::int64_t blocks = core::block_count(view_.channels, block);
    const std::int64_t columns = std::max<std::int64_t>(1, kTask / block);
    const std::int64_t tasks = core::block_count(view_.columns(), columns) * blocks;
    core::parallel_for(threads_, tasks, [&](std::int64_t task) {
      const std::int64_t c = task % blocks * block;
      const std::int64_t width = std::min(block, view_.channels - c);
      const std::int64_t begin = task / blocks * columns;
      const std::int64_t end = std::min(begin + columns, view_.columns());
      const std::span<const Run> runs = columns_.runs();
      std::size_t r = columns_.run_at_column(begin);
      for (std::int64_t at = begin; at < end;) {
        const std::int64_t from = r < runs.size() ? std::min(runs[r].start, end) : end;
        for (; at < from; ++at) std::fill_n(out + at * view_.channels + c, width, T{0});
        if (at == end) break;
        const std::int64_t to = std::min(runs[r].start + runs[r].length, end);
        piece(at * view_.channels + c, to - at, c, width);
        at = to;
        ++r;
      }
    });
  }

  View view_;
  const ValidColumns& columns_;
  Workspace& workspace_;
  int threads_;
};

}  // namespace evenrow::norm
