// The operator where a channel lies in contiguous segments: lanes run along a row. A leaf is 1024
// valid positions of a channel, in as many segments as they take; leaves are merged over the fixed
// tree.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/sizes.hpp"
#include "core/threads.hpp"
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
    const auto reduce = [&](std::int64_t c, std::int64_t first, std::int64_t count) {
      return kernels::channel_moments(t.x.row(c), runs_, first, count);
    };
    const auto reduced = [&](std::int64_t c, const kernels::Moments& moments) {
      mean[c] = moments.mean;
      variance[c] = moments.m2 / moments.count;
    };
    reduce_then_map<kernels::Moments>(
        2 * sizeof(T), reduce, reduced, finish,
        [&](std::int64_t c, std::int64_t begin, std::int64_t end) { normalize(t, c, begin, end); });
  }

  /// y from the coefficients, in the order of memory.
  void normalize(const Forward<T>& t) {
    if (view_.size() == 0) return;
    const std::int64_t outers = std::clamp<std::int64_t>(4096 / view_.inner, 1, view_.outer);
    const std::int64_t channels =
        std::clamp<std::int64_t>(kTask / (outers * view_.inner), 1, view_.channels);
    const Pieces pieces(view_, outers);
    const std::int64_t blocks = core::block_count(view_.channels, channels);
    const std::int64_t splits = pieces.count() / core::block_count(view_.outer, outers);
    core::parallel_for(threads_, pieces.count() * blocks, [&](std::int64_t task) {
      const std::int64_t piece = task / (splits * blocks) * splits + task % splits;
      const std::int64_t first = task / splits % blocks * channels;
      const auto [begin, end] = pieces[piece];
      for (std::int64_t c = first; c < std::min(first + channels, view_.channels); ++c) {
        normalize(t, c, begin, end);
      }
    });
  }

  /// Sums to `dbeta` and `dgamma`; finish(first channel, channels) makes the coefficients of these
  /// channels, then dx is computed.
  template <class Finish>
  void backward(const Backward<T>& t, double* dbeta, double* dgamma, const Finish& finish) {
    const auto with_gate = [&](std::int64_t c, const auto& run) {
      using C = NormParameter<T>;
      const kernels::Affine<C> forward{t.forward.center[c], t.forward.scale[c], t.forward.shift[c]};
      const bool recompute = t.relu && t.bits.data == nullptr;
      return run(kernels::ReluGate<C>{recompute ? &forward : nullptr, t.bits.row(c)});
    };
    const auto reduce = [&](std::int64_t c, std::int64_t first, std::int64_t count) {
      return with_gate(c, [&](const auto& gate) {
        return kernels::channel_gradient_sums(
            t.x.row(c), t.dy.row(c), runs_, first, count, t.mean[c],
            kernels::inverse_deviation(t.variance[c], t.eps), gate);
      });
    };
    const auto reduced = [&](std::int64_t c, const kernels::GradientSums& sums) {
      dbeta[c] = sums.dy;
      dgamma[c] = sums.dy_xhat;
    };
    reduce_then_map<kernels::GradientSums>(
        (t.dresidual.data == nullptr ? 3 : 4) * sizeof(T), reduce, reduced, finish,
        [&](std::int64_t c, std::int64_t begin, std::int64_t end) {
          with_gate(c, [&](const auto& gate) {
            kernels::channel_input_gradient<T>(t.x.row(c), t.dy.row(c), t.dx.row(c),
                                               t.dresidual.row(c), runs_, {begin, end, t.stream},
                                               {t.k.center[c], t.k.a[c], t.k.b[c], t.k.c[c]}, gate);
          });
        });
  }

 private:
  // Rows are reduced in chunks of a power of two of leaves: subtrees of the one tree.
  static constexpr std::int64_t kChunk = 8 * kernels::kLeaf;
  // A piece of a row that is mapped by one task. A multiple of 8: two tasks share no byte of bits.
  static constexpr std::int64_t kPiece = 16384;
  static constexpr std::int64_t kInL1 = 16384;  // bytes of rows that are reduced, then mapped

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

  void normalize(const Forward<T>& t, std::int64_t c, std::int64_t begin, std::int64_t end) const {
    kernels::channel_normalize<T>(
        t.x.row(c), t.residual.row(c), t.y.row(c), runs_, {begin, end, t.stream},
        {t.k.center[c], t.k.scale[c], t.k.shift[c]}, t.relu, t.bits.row(c));
  }

  // For every channel: reduce(c, first position, count) gives a Node, reduced(c, node) takes it;
  // finish(c, 1) and then map(c, begin, end) for all its columns. `bytes`: of all tensors, a value.
  template <class Node, class Reduce, class Reduced, class Finish, class Map>
  void reduce_then_map(std::size_t bytes, const Reduce& reduce, const Reduced& reduced,
                       const Finish& finish, const Map& map) {
    const std::int64_t channels = view_.channels, columns = view_.columns();
    if (view_.size() == 0) return;
    const std::int64_t slab = columns * static_cast<std::int64_t>(bytes);  // of one channel
    const Pieces pieces(view_, std::clamp<std::int64_t>(kPiece / view_.inner, 1, view_.outer));
    const bool all_fit = slab * threads_ <= cached_bytes(), one_fits = slab <= cached_bytes();
    if (threads_ == 1 || (balanced(channels, threads_) && (all_fit || !one_fits))) {
      // Whole channels for a thread, as many at a time as stay in L1; a large one backwards, so
      // that it begins with what has just been read.
      const std::int64_t group =
          std::clamp<std::int64_t>(std::min(kInL1 / slab, channels / (4 * threads_)), 1, channels);
      core::parallel_for(threads_, core::block_count(channels, group), [&](std::int64_t task) {
        const std::int64_t first = task * group, end = std::min(first + group, channels);
        for (std::int64_t c = first; c < end; ++c) reduced(c, reduce(c, 0, count_));
        finish(first, end - first);
        for (std::int64_t c = first; c < end; ++c) {
          if (slab < core::cache_sizes().core / 2) {
            map(c, 0, columns);
          } else {
            for (std::int64_t i = pieces.count(); i-- > 0;) {
              const auto [from, to] = pieces[i];
              map(c, from, to);
            }
          }
        }
      });
      return;
    }
    // All threads share a channel, or as many channels as are still cached when they are mapped.
    const std::int64_t group = std::clamp<std::int64_t>(cached_bytes() / slab, 1, channels);
    const std::int64_t chunks = std::max<std::int64_t>(1, core::block_count(count_, kChunk));
    Node* const nodes = workspace_.template partial<Node>(group * chunks);
    for (std::int64_t first = 0; first < channels; first += group) {
      const std::int64_t width = std::min(group, channels - first);
      core::parallel_for(threads_, width * chunks, [&](std::int64_t task) {
        const std::int64_t at = task % chunks * kChunk;
        nodes[task] = reduce(first + task / chunks, at, std::min(kChunk, count_ - at));
      });
      for (std::int64_t c = 0; c < width; ++c) {
        kernels::PairwiseMerge<Node> tree;
        for (std::int64_t i = 0; i < chunks; ++i) tree.push(nodes[c * chunks + i]);
        reduced(first + c, tree.total());
      }
      finish(first, width);
      core::parallel_for_backwards(threads_, width * pieces.count(), [&](std::int64_t task) {
        const auto [from, to] = pieces[task % pieces.count()];
        map(first + task / pieces.count(), from, to);
      });
    }
  }

  View view_;
  kernels::Runs runs_;
  std::int64_t count_;
  Workspace& workspace_;
  int threads_;
};

}  // namespace evenrow::norm
