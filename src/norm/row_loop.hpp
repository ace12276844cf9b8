// The operator where a channel lies in contiguous segments: lanes run along a row. A leaf is 1024
// valid positions of a channel, in as many segments as they take; leaves are merged over the fixed
// tree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/columns.hpp"
#include "kernels/pairwise.hpp"
#include "kernels/rows.hpp"
#include "norm/schedule.hpp"
#include "norm/tensors.hpp"
#include "norm/workspace.hpp"

namespace evenrow::norm {

template <class T>
class RowLoop {
 public:
  /// `workspace.columns` belongs to `view`.
  RowLoop(const View& view, Workspace& workspace, int threads) noexcept
      : view_(view),
        runs_(workspace.columns.runs()),
        count_(workspace.columns.count()),
        workspace_(workspace),
        threads_(threads) {}

  /// Statistics to `mean` and `variance`; finish(first channel, channels) makes the coefficients of
  /// these channels, then y is computed.
  template <class Finish>
  void train(const Forward<T>& t, double* mean, double* variance, const Finish& finish) {
    const auto reduce = [&](std::int64_t c, std::int64_t channels, std::int64_t first,
                            std::int64_t count, kernels::Moments* leaves, std::int64_t stride) {
      kernels::channel_moments<T>(t.x.rows(c), runs_, first, count, channels, leaves, stride);
    };
    const auto reduced = [&](std::int64_t c, const kernels::Moments& moments) {
      mean[c] = moments.mean;
      variance[c] = moments.m2 / moments.count;
    };
    reduce_then_map<kernels::Moments>(
        1, 1, t.stream, channels_apart(t.bits), reduce, reduced, finish,
        [&](std::int64_t c, std::int64_t channels, const kernels::ColumnRange& range,
            std::int64_t ahead) { normalize(t, c, channels, range, ahead); });
  }

  /// y, in the order of memory; see ColumnLoop.
  template <class Coefficients>
  void normalize(const Forward<T>& t, const Coefficients& coefficients) {
    if (view_.size() == 0) return;
    std::int64_t channels = std::clamp<std::int64_t>(kTask / view_.inner, 1, view_.channels);
    std::int64_t outers = 1;
    if (flat() && gapless(t.x, t.residual, t.y)) {
      // Some segments of fewer channels: spreading their coefficients has to pay.
      channels = std::clamp<std::int64_t>(flat_channels(), 1, view_.channels);
      outers = std::clamp<std::int64_t>(4 * kTask / (channels * view_.inner), 1, view_.outer);
    }
    const Pieces pieces(view_, outers);
    const std::int64_t splits = outers > 1 ? 1 : pieces.count() / view_.outer;
    const std::int64_t blocks = core::block_count(view_.channels, channels);
    const std::int64_t tasks = pieces.count() * blocks;
    core::parallel_shares(threads_, tasks, [&](std::int64_t first, std::int64_t last) {
      // With one piece, a share is some of the channels.
      const bool some = tasks == blocks;
      const std::int64_t from = some ? first * channels : 0;
      const std::int64_t to = some ? std::min(last * channels, view_.channels) : view_.channels;
      Forward<T> own = t;
      own.k = coefficients(Workspace::here(), from, to - from);
      for (std::int64_t task = first; task < last; ++task) {
        const auto [begin, end] = pieces[task / (blocks * splits) * splits + task % splits];
        const std::int64_t c = task / splits % blocks * channels;
        normalize(own, c, std::min(channels, view_.channels - c), {begin, end, t.stream}, 0);
      }
    });
  }

  /// Sums to `dbeta` and `dgamma`; finish(first channel, channels) makes the coefficients of these
  /// channels, then dx is computed.
  template <class Finish>
  void backward(const Backward<T>& t, double* dbeta, double* dgamma, const Finish& finish) {
    const auto reduce = [&](std::int64_t c, std::int64_t channels, std::int64_t first,
                            std::int64_t count, kernels::GradientSums* leaves,
                            std::int64_t stride) {
      kernels::ChannelAffine<C> forward;
      kernels::channel_gradient_sums<T>(t.x.rows(c), t.dy.rows(c), runs_, first, count, channels,
                                        {t.mean + c, t.rstd + c, nullptr, nullptr},
                                        gate(t, c, forward), leaves, stride);
    };
    const auto reduced = [&](std::int64_t c, const kernels::GradientSums& sums) {
      dbeta[c] = sums.dy;
      dgamma[c] = sums.dy_xhat;
    };
    reduce_then_map<kernels::GradientSums>(
        2, t.dresidual.data == nullptr ? 1 : 2, t.stream, channels_apart(t.bits), reduce, reduced,
        finish,
        [&](std::int64_t c, std::int64_t channels, const kernels::ColumnRange& range,
            std::int64_t ahead) { input_gradient(t, c, channels, range, ahead); });
  }

 private:
  using C = NormParameter<T>;

  static constexpr auto kBytes = static_cast<std::int64_t>(sizeof(T));
  // Rows are reduced in chunks of a power of two of leaves: subtrees of the one tree.
  static constexpr std::int64_t kChunk = 8 * kernels::kLeaf;
  // A piece of a row that is mapped by one task. A multiple of 8: two tasks share no byte of bits.
  static constexpr std::int64_t kPiece = 16384;
  static constexpr std::int64_t kInL1 = 16384;  // bytes of rows that are reduced, then mapped
  static constexpr std::int64_t kResidualAhead = 2048 / kBytes;
  // Values of all short segments that are mapped together, and at most, where 8 have to be.
  static constexpr std::int64_t kFlatWidth = 1024;
  static constexpr std::int64_t kFlatMost = std::max(kFlatWidth, 8 * kShort<T>);

  // Short segments without padding, some channels of them: as a channels-last tensor of which a
  // column is what these channels have in one outer index, and every value a channel of its own.
  // That loop has no ends of short rows.
  bool flat() const noexcept {
    return short_segments<T>(view_) && count_ == view_.columns() && runs_.weights == nullptr;
  }
  template <class... Tensors>
  bool gapless(const Tensors&... tensors) const noexcept {
    return ((tensors.data == nullptr || tensors.channel == view_.inner) && ...);
  }
  // Channels that are mapped by one task: a multiple of so many, if not the last ones. Where bits
  // lie without gaps, those of 8 channels begin a byte that no other task writes; and what 16 have
  // of a dense tensor begins a line.
  std::int64_t channels_apart(const StridedBits& bits) const noexcept {
    if (bits.data == nullptr || !short_segments<T>(view_)) return 1;
    return 16 * view_.inner <= kFlatWidth ? 16 : 8;
  }
  // Nothing has read it before: it comes from memory while it is added.
  static kernels::Rows<const T> residual_rows(const Forward<T>& t, std::int64_t c) noexcept {
    kernels::Rows<const T> rows = t.residual.rows(c);
    if (rows.far) rows.ahead = kResidualAhead;
    return rows;
  }
  // A range has whole segments where they are short.
  kernels::ColumnRange flattened(const kernels::ColumnRange& range) const noexcept {
    return {range.begin / view_.inner, range.end / view_.inner, range.stream};
  }
  // Memory is asked for so many channels ahead.
  template <class U>
  static kernels::Columns<U> as_columns(const kernels::Rows<U>& rows,
                                        std::int64_t channels_ahead = 0) noexcept {
    return {rows.base, rows.outer, rows.ahead + channels_ahead * rows.channel};
  }
  // Coefficients of the channels from c on, each one as often as a segment has values: one array
  // after the other.
  void spread(std::span<const C* const> coefficients, std::int64_t c, std::int64_t channels,
              C* to) const noexcept {
    for (const C* const one_a_channel : coefficients) {
      for (std::int64_t i = 0; i < channels; ++i) {
        to = std::fill_n(to, view_.inner, one_a_channel[c + i]);
      }
    }
  }
  void normalize_flat(const Forward<T>& t, std::int64_t c, std::int64_t channels,
                      const kernels::ColumnRange& range, std::int64_t ahead) const {
    const C* const all[] = {t.k.center, t.k.scale, t.k.shift};
    const std::int64_t width = channels * view_.inner;
    C k[3 * kFlatMost];
    spread(all, c, channels, k);
    kernels::column_normalize<T>(as_columns(t.x.rows(c), ahead), as_columns(residual_rows(t, c)),
                                 as_columns(t.y.rows(c)), segments_, flattened(range), width,
                                 {k, k + width, k + 2 * width}, t.relu,
                                 t.bits.columns(c * view_.inner));
  }
  void input_gradient_flat(const Backward<T>& t, std::int64_t c, std::int64_t channels,
                           const kernels::ColumnRange& range, std::int64_t ahead) const {
    const C* const all[] = {t.k.center,       t.k.a,           t.k.b,          t.k.c,
                            t.forward.center, t.forward.scale, t.forward.shift};
    const std::int64_t width = channels * view_.inner;
    C k[7 * kFlatMost];
    const bool recompute = t.relu && t.bits.data == nullptr;
    spread(std::span(all, recompute ? 7 : 4), c, channels, k);
    const kernels::ChannelAffine<C> forward{k + 4 * width, k + 5 * width, k + 6 * width};
    kernels::column_input_gradient<T>(
        as_columns(t.x.rows(c), ahead), as_columns(t.dy.rows(c), ahead), as_columns(t.dx.rows(c)),
        as_columns(t.dresidual.rows(c)), segments_, flattened(range), width,
        {k, k + width, k + 2 * width, k + 3 * width},
        {recompute ? &forward : nullptr, t.bits.columns(c * view_.inner)});
  }

  // All columns of a channel in pieces: of several segments, or parts of one.
  class Pieces {
   public:
    Pieces(const View& view, std::int64_t outers)
        : inner_(view.inner),
          columns_(view.columns()),
          outers_(outers),
          splits_(outers > 1 ? 1 : core::block_count(view.inner, kPiece)),
          count_(core::block_count(view.outer, outers) * splits_) {}

    struct Range {
      std::int64_t begin, end;
    };
    std::int64_t count() const noexcept { return count_; }
    Range operator[](std::int64_t i) const noexcept {
      if (splits_ == 1) {
        const std::int64_t begin = i * outers_ * inner_;
        return {begin, std::min(begin + outers_ * inner_, columns_)};
      }
      const std::int64_t segment = i / splits_ * inner_, begin = i % splits_ * kPiece;
      return {segment + begin, segment + std::min(begin + kPiece, inner_)};
    }

   private:
    std::int64_t inner_, columns_, outers_, splits_, count_;
  };

  void normalize(const Forward<T>& t, std::int64_t c, std::int64_t channels,
                 const kernels::ColumnRange& range, std::int64_t ahead) const {
    if (flat() && gapless(t.x, t.residual, t.y)) {
      return normalize_flat(t, c, channels, range, ahead);
    }
    kernels::channel_normalize<T>(t.x.rows(c), residual_rows(t, c), t.y.rows(c), runs_, range,
                                  channels, t.k.from(c), t.relu, t.bits.rows(c));
  }

  // The gate of the channels from c on; `forward` is what it refers to.
  static kernels::ReluGate<C> gate(const Backward<T>& t, std::int64_t c,
                                   kernels::ChannelAffine<C>& forward) noexcept {
    forward = t.forward.from(c);
    const bool recompute = t.relu && t.bits.data == nullptr;
    return {recompute ? &forward : nullptr, t.bits.rows(c)};
  }

  void input_gradient(const Backward<T>& t, std::int64_t c, std::int64_t channels,
                      const kernels::ColumnRange& range, std::int64_t ahead) const {
    if (flat() && gapless(t.x, t.dy, t.dx, t.dresidual)) {
      return input_gradient_flat(t, c, channels, range, ahead);
    }
    kernels::ChannelAffine<C> forward;
    kernels::channel_input_gradient<T>(t.x.rows(c), t.dy.rows(c), t.dx.rows(c), t.dresidual.rows(c),
                                       runs_, range, channels, t.k.from(c), gate(t, c, forward));
  }

  // For every channel: reduce(c, channels, first position, count, leaves, stride) makes the Node of
  // every leaf, reduced(c, node) takes what they merge to; finish(c, channels) and then map(c,
  // channels, range, ahead) for some channels and all their columns, `ahead` channels before the
  // next ones of this thread, or 0. `read`, `written`: how many tensors; `stream`: these are
  // written past the caches; `apart`: see channels_apart.
  template <class Node, class Reduce, class Reduced, class Finish, class Map>
  void reduce_then_map(std::int64_t read, std::int64_t written, bool stream, std::int64_t apart,
                       const Reduce& reduce, const Reduced& reduced, const Finish& finish,
                       const Map& map) {
    if (view_.size() == 0) return;
    const std::int64_t channels = view_.channels, columns = view_.columns();
    // Bytes of one channel: of what is read twice, and of all that goes through a cache.
    const std::int64_t inputs = columns * read * kBytes;
    const std::int64_t slab = inputs + (stream ? 0 : columns * written * kBytes);
    const Pieces pieces(view_, std::clamp<std::int64_t>(kPiece / view_.inner, 1, view_.outer));
    const bool all_fit = slab * threads_ <= cached_bytes(), one_fits = slab <= cached_bytes();
    const std::int64_t items = core::block_count(channels, apart);
    if (threads_ == 1 || (balanced(items, threads_) && (all_fit || !one_fits))) {
      // Whole channels for a thread, some at a time. Where segments are short, the next ones are
      // fetched while these are mapped: a leaf of many segments waits for every one of them.
      const std::int64_t group = whole_items(channels_together(inputs, slab), apart);
      const std::int64_t own_cache = core::cache_sizes().core;
      const bool fetch = short_segments<T>(view_) && view_.size() * read * kBytes > own_cache;
      const std::int64_t leaves = core::block_count(count_, kernels::kLeaf);
      core::parallel_for(threads_, core::block_count(channels, group), [&](std::int64_t task) {
        const std::int64_t first = task * group, width = std::min(group, channels - first);
        Node* const nodes = Workspace::here().template partial<Node>(width * leaves);
        reduce(first, width, 0, count_, nodes, leaves);
        for (std::int64_t c = 0; c < width; ++c) {
          reduced(first + c, merged(nodes + c * leaves, leaves));
        }
        finish(first, width);
        const std::int64_t ahead = fetch && first + 2 * width <= channels ? width : 0;
        if (width * slab <= own_cache) return map(first, width, {0, columns, stream}, ahead);
        // From the end, so that it begins with what has just been read.
        for (std::int64_t i = pieces.count(); i-- > 0;) {
          const auto [begin, end] = pieces[i];
          map(first, width, {begin, end, stream}, ahead);
        }
      });
      return;
    }
    // All threads share a channel, or as many channels as are still cached when they are mapped.
    const std::int64_t group =
        whole_items(std::clamp<std::int64_t>(cached_bytes() / slab, 1, channels), apart);
    const std::int64_t chunks = std::max<std::int64_t>(1, core::block_count(count_, kChunk));
    Node* const nodes = workspace_.template partial<Node>(group * chunks);
    for (std::int64_t first = 0; first < channels; first += group) {
      const std::int64_t width = std::min(group, channels - first);
      core::parallel_for(threads_, width * chunks, [&](std::int64_t task) {
        const std::int64_t at = task % chunks * kChunk, count = std::min(kChunk, count_ - at);
        Node leaves[kChunk / kernels::kLeaf];
        reduce(first + task / chunks, 1, at, count, leaves, 0);
        nodes[task] = merged(leaves, core::block_count(count, kernels::kLeaf));
      });
      for (std::int64_t c = 0; c < width; ++c) {
        reduced(first + c, merged(nodes + c * chunks, chunks));
      }
      finish(first, width);
      const std::int64_t tasks = core::block_count(width, apart) * pieces.count();
      core::parallel_for_backwards(threads_, tasks, [&](std::int64_t task) {
        const auto [begin, end] = pieces[task % pieces.count()];
        const std::int64_t c = task / pieces.count() * apart;
        map(first + c, std::min(apart, width - c), {begin, end, stream}, 0);
      });
    }
  }

  // As many channels in whole multiples of `apart`: at least one, or all there are.
  std::int64_t whole_items(std::int64_t group, std::int64_t apart) const noexcept {
    return std::min(std::max(group / apart, std::int64_t{1}) * apart, view_.channels);
  }

  // As many channels as make up a row of the flat loop: where segments are short, in whole lines of
  // a dense tensor, if that is not too wide.
  std::int64_t flat_channels() const noexcept {
    constexpr std::int64_t kLine = 64 / kBytes;
    const std::int64_t group = kFlatWidth / view_.inner;
    const std::int64_t line = kLine / std::gcd(view_.inner, kLine);
    if (!short_segments<T>(view_) || line * view_.inner > kFlatMost) return group;
    return std::max(group / line, std::int64_t{1}) * line;
  }

  // As many channels as stay in L1 or, of several segments, as make up a row of the flat loop.
  std::int64_t channels_together(std::int64_t inputs, std::int64_t slab) const noexcept {
    std::int64_t group = kInL1 / slab;
    if (view_.outer > 1) {
      group = std::min(flat_channels(), core::cache_sizes().core / (4 * inputs));
    }
    if (threads_ > 1) group = std::min(group, view_.channels / (4 * threads_));
    return std::clamp<std::int64_t>(group, 1, view_.channels);
  }

  template <class Node>
  static Node merged(const Node* nodes, std::int64_t count) noexcept {
    if (count == 1) return nodes[0];
    kernels::PairwiseMerge<Node> tree;
    for (std::int64_t i = 0; i < count; ++i) tree.push(nodes[i]);
    return tree.total();
  }

  View view_;
  kernels::Run all_outer_{0, view_.outer, 0, 0, 0};
  kernels::Runs segments_{&all_outer_, 1, view_.outer, nullptr, nullptr};
  kernels::Runs runs_;
  std::int64_t count_;
  Workspace& workspace_;
  int threads_;
};

}  // namespace evenrow::norm
