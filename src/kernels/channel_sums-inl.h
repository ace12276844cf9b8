// The sums of rows.hpp over a channel in several segments, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_CHANNEL_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_CHANNEL_SUMS_INL_H_
#undef EVENROW_KERNELS_CHANNEL_SUMS_INL_H_
#else
#define EVENROW_KERNELS_CHANNEL_SUMS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/lanes-inl.h"
#include "kernels/row_gates-inl.h"
#include "kernels/row_sums-inl.h"
#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How many values ahead of a sum memory is asked for: what the processor fetches by itself ends
// with a page.
inline constexpr std::int64_t kAhead = 4 * kLeaf;

// Copies n values; the last vector ends with them and overlaps the one before.
template <std::size_t kLimit = hn::MaxLanes(hn::ScalableTag<std::uint8_t>())>
HWY_INLINE void CopyBytes(const std::uint8_t* from, std::uint8_t* to, std::size_t n) {
  const hn::CappedTag<std::uint8_t, kLimit> d;
  constexpr std::size_t lanes = hn::MaxLanes(d);
  if (n >= lanes) {
    const auto last = hn::LoadU(d, from + n - lanes);
    for (std::size_t i = 0; i + lanes < n; i += lanes)
      hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    hn::StoreU(last, d, to + n - lanes);
  } else if constexpr (lanes > 1) {
    CopyBytes<lanes / 2>(from, to, n);
  }
}
template <class T>
HWY_INLINE void CopyValues(const T* from, T* to, std::int64_t n) {
  CopyBytes(reinterpret_cast<const std::uint8_t*>(from), reinterpret_cast<std::uint8_t*>(to),
            static_cast<std::size_t>(n) * sizeof(T));
}

// Where a piece of a run begins: (outer, inner), which is the column of this index; how many
// columns the run has from there on; and the place of what is read about kAhead columns later, if
// there is one that is worth asking for.
struct Piece {
  std::int64_t outer, inner, column, left;
  bool ask = false;
  std::int64_t later_outer = 0, later_inner = 0;
};

// Shorter runs the processor fetches better by itself.
inline constexpr std::int64_t kLongRun = kLeaf / 4;

HWY_INLINE Piece piece_of(const Runs& runs, const Run* run, std::int64_t skip) {
  Piece piece{run->outer, run->inner + skip, run->start + skip, run->length - skip};
  if (run->length < kLongRun) return piece;
  const std::int64_t ahead = skip + kAhead, runs_on = ahead / run->length;
  if (runs_on < runs.data + runs.size - run) {
    piece.ask = true;
    piece.later_outer = run[runs_on].outer;
    piece.later_inner = run[runs_on].inner + ahead % run->length;
  }
  return piece;
}

template <class T>
HWY_INLINE const T* later(const Rows<const T>& rows, const Piece& piece, std::int64_t c) {
  const bool ask = rows.far && piece.ask;
  return ask ? at(rows, piece.later_outer, piece.later_inner, c) : nullptr;
}

// Cuts the positions [first, first + count) into leaves: whole(leaf, piece, n) for a leaf of n
// values that lies in one run; otherwise copied = part(piece, n, copied), 0 at first, for n more
// values of it, and parted(leaf, n, copied) when all are there; if that is false, once more. `run`
// has the first position.
template <class Whole, class Part, class Parted>
HWY_INLINE void ForLeaves(const Runs& runs, const Run* run, std::int64_t first, std::int64_t count,
                          const Whole& whole, const Part& part, const Parted& parted) {
  std::int64_t skip = first - run->before;
  const auto take = [&](std::int64_t most, const auto& visit) {
    const std::int64_t n = std::min(most, run->length - skip);
    visit(piece_of(runs, run, skip), n);
    skip += n;
    if (skip == run->length) {
      ++run;
      skip = 0;
    }
    return n;
  };
  for (std::int64_t leaf = 0; leaf * kLeaf < count; ++leaf) {
    const std::int64_t size = std::min(kLeaf, count - leaf * kLeaf);
    if (run->length - skip >= size) {
      take(size, [&](const Piece& piece, std::int64_t n) { whole(leaf, piece, n); });
      continue;
    }
    const Run* const first_run = run;
    const std::int64_t first_skip = skip;
    for (bool done = false; !done;) {
      run = first_run;
      skip = first_skip;
      std::int64_t copied = 0;
      for (std::int64_t taken = 0; taken < size;) {
        taken += take(size - taken,
                      [&](const Piece& piece, std::int64_t n) { copied = part(piece, n, copied); });
      }
      done = parted(leaf, size, copied);
    }
  }
}

// The sums of a leaf in several pieces. Blocks that lie in one piece are added where they are; the
// rest, and short pieces, are copied together first. Of `source`: copy(piece, skip, n, to) copies n
// values; begin(piece, n) knows the leaf's first values, in the piece or, if it is null, copied;
// here(piece, skip, visit) and copies(visit) call visit(terms), for AddBlocks.
template <class T, class Source>
class PartedLeaf {
 public:
  explicit PartedLeaf(Source& source) : source_(source) {}

  // Takes n values; `copied` are waiting, so many do afterwards.
  HWY_INLINE std::int64_t take(const Piece& piece, std::int64_t n, std::int64_t copied) {
    if (n < kLongPiece || again_) {
      source_.copy(piece, 0, n, copied);
      return copied + n;
    }
    const std::int64_t head = (kBlock - copied % kBlock) % kBlock;
    source_.copy(piece, 0, head, copied);
    const std::int64_t waiting = copied + head;
    if (!begun_) {
      sums_ = {};
      begun_ = true;
      source_.begin(waiting > 0 ? nullptr : &piece, waiting > 0 ? waiting : n);
    }
    source_.copies([&](const auto& terms) HWY_ATTR { AddBlocks(sums_, waiting, terms); });
    const std::int64_t blocks = (n - head) / kBlock * kBlock, rest = n - head - blocks;
    source_.here(piece, head, [&](const auto& terms) HWY_ATTR { AddBlocks(sums_, blocks, terms); });
    source_.copy(piece, head + blocks, rest, 0);
    return rest;
  }
  // `sums` of all that was taken; or false: it has to be taken once more, for sums in double.
  HWY_INLINE bool finish(std::int64_t copied, TwoSums& sums) {
    const std::int64_t whole = copied / kBlock * kBlock;
    const bool all_copied = !std::exchange(begun_, false);
    again_ = false;
    if (all_copied) source_.begin(nullptr, copied);
    source_.copies([&](const auto& terms) HWY_ATTR {
      if (all_copied) {
        sums = LeafSumsOf<T>(copied, terms);
        return;
      }
      AddBlocks(sums_, whole, terms);
      sums = Finish(sums_, whole, copied, terms);
      if constexpr (std::is_same_v<Sum<T>, float>) {
        sums = terms.exact(sums);
        again_ = !fits_float(sums.ab);
      }
    });
    return !again_;
  }

 private:
  static constexpr std::int64_t kBlock = kPartials<Sum<T>>;
  static constexpr std::int64_t kLongPiece = 3 * kBlock;

  Source& source_;
  Partials<Sum<T>> sums_;
  bool begun_ = false;
  bool again_ = false;
};

// A leaf of channel c.
template <class T>
struct MomentParts {
  const Rows<const T>& x;
  std::int64_t c;
  Sum<T> pivot = 0;
  HWY_ALIGN T values[kLeaf];

  MomentParts(const Rows<const T>& rows, std::int64_t channel) : x(rows), c(channel) {}
  HWY_INLINE void copy(const Piece& p, std::int64_t skip, std::int64_t n, std::int64_t to) {
    CopyValues(at(x, p.outer, p.inner + skip, c), values + to, n);
  }
  void begin(const Piece* p, std::int64_t n) {
    pivot = Pivot(p == nullptr ? values : at(x, p->outer, p->inner, c), pivots(n));
  }
  template <class Visit>
  HWY_INLINE void here(const Piece& p, std::int64_t skip, const Visit& visit) const {
    const T* const there = later(x, p, c);
    visit(Differences<T>{at(x, p.outer, p.inner + skip, c), pivot, there});
  }
  template <class Visit>
  HWY_INLINE void copies(const Visit& visit) const {
    visit(Differences<T>{values, pivot, nullptr});
  }
};

// Whether the positions [first, first + count) are one leaf, which lies in this run.
inline bool one_leaf(const Run& run, std::int64_t first, std::int64_t count) {
  return count > 0 && count <= kLeaf && first - run.before + count <= run.length;
}
// So many channels of one leaf each are taken a step at a time: none waits for what it has just
// computed.
inline constexpr std::int64_t kChannelsTogether = 8;

template <class T>
void OneLeafMoments(const Rows<const T>& x, const Piece& p, std::int64_t n, std::int64_t channels,
                    Moments* leaves, std::int64_t stride) {
  using I = std::int64_t;
  Sum<T> pivot[kChannelsTogether];
  TwoSums sums[kChannelsTogether];
  for (I begin = 0; begin < channels; begin += kChannelsTogether) {
    const I width = std::min(kChannelsTogether, channels - begin);
    const T* const from = at(x, p.outer, p.inner, begin);
    for (I c = 0; c < width; ++c) pivot[c] = Pivot(from + c * x.channel, pivots(n));
    for (I c = 0; c < width; ++c) {
      sums[c] = LeafSumsOf<T>(n, Differences<T>{from + c * x.channel, pivot[c], nullptr});
    }
    for (I c = 0; c < width; ++c, leaves += stride) {
      *leaves = around(pivot[c], static_cast<double>(n), sums[c]);
    }
  }
}

template <class T>
void ChannelMoments(const Rows<const T>& x, const Runs& runs, std::int64_t first,
                    std::int64_t count, std::int64_t channels, Moments* leaves,
                    std::int64_t stride) {
  using I = std::int64_t;
  const Run* const run = runs.data + runs.at_position(first);
  if (one_leaf(*run, first, count)) {
    return OneLeafMoments(x, piece_of(runs, run, first - run->before), count, channels, leaves,
                          stride);
  }
  for (I c = 0; c < channels; ++c, leaves += stride) {
    LeavesOfRow<T> row;
    MomentParts<T> parts(x, c);
    PartedLeaf<T, MomentParts<T>> leaf_of_parts(parts);
    ForLeaves(
        runs, run, first, count,
        [&](I leaf, const Piece& p, I n) {
          leaves[leaf] = row.moments(at(x, p.outer, p.inner, c), n, p.left, later(x, p, c));
        },
        [&](const Piece& p, I n, I copied) { return leaf_of_parts.take(p, n, copied); },
        [&](I leaf, I n, I copied) {
          TwoSums sums;
          if (!leaf_of_parts.finish(copied, sums)) return false;
          leaves[leaf] = around(parts.pivot, static_cast<double>(n), sums);
          return true;
        });
  }
}

// With weights a leaf is read twice: it is always put together first.
template <class T>
void ChannelWeightedMoments(const Rows<const T>& x, const Runs& runs, std::int64_t first,
                            std::int64_t count, std::int64_t channels, Moments* leaves,
                            std::int64_t stride) {
  using I = std::int64_t;
  HWY_ALIGN T values[kLeaf];
  float weights[kLeaf];
  const Run* const run = runs.data + runs.at_position(first);
  for (I c = 0; c < channels; ++c, leaves += stride) {
    const auto part = [&](const Piece& p, I n, I copied) {
      CopyValues(at(x, p.outer, p.inner, c), values + copied, n);
      CopyValues(runs.weights + p.column, weights + copied, n);
      return copied + n;
    };
    const auto parted = [&](I leaf, I n, I) {
      const double weight = runs.leaf_weights[first / kLeaf + leaf];
      leaves[leaf] = WeightedLeafMoments(values, weights, n, weight);
      return true;
    };
    const auto whole = [&](I leaf, const Piece& p, I n) { parted(leaf, n, part(p, n, 0)); };
    ForLeaves(runs, run, first, count, whole, part, parted);
  }
}

// A leaf of channel c. Its copied gradients are what the bits, if the gate has these, let through.
template <class T, Gate kGate>
struct GradientParts {
  using C = NormParameter<T>;
  const Rows<const T>& x;
  const Rows<const T>& dy;
  const ReluGate<C>& gate;
  std::int64_t c;
  double mean;
  HWY_ALIGN T values[kLeaf];
  HWY_ALIGN T gradients[kLeaf];

  GradientParts(const Rows<const T>& x_rows, const Rows<const T>& dy_rows,
                const ReluGate<C>& relu_gate, std::int64_t channel, double mean_of_x)
      : x(x_rows), dy(dy_rows), gate(relu_gate), c(channel), mean(mean_of_x) {}
  HWY_INLINE void copy(const Piece& p, std::int64_t skip, std::int64_t n, std::int64_t to) {
    CopyValues(at(x, p.outer, p.inner + skip, c), values + to, n);
    const T* const from = at(dy, p.outer, p.inner + skip, c);
    if constexpr (kGate == Gate::bits) {
      const BitsHere here = at(gate.bits, p.outer, p.inner + skip, c);
      ForRow(gradients + to, n, false, [from, here](auto d, std::int64_t i) {
        return through_bits(d, load(d, from + i), here.base, here.first + i);
      });
    } else {
      CopyValues(from, gradients + to, n);
    }
  }
  void begin(const Piece*, std::int64_t) {}
  template <class Visit>
  HWY_INLINE void here(const Piece& p, std::int64_t skip, const Visit& visit) const {
    visit(GradientTerms<T, kGate>{
        at(x, p.outer, p.inner + skip, c), at(dy, p.outer, p.inner + skip, c), mean,
        gate_at<kGate>(gate, p.outer, p.inner + skip, c), later(x, p, c), later(dy, p, c)});
  }
  template <class Visit>
  HWY_INLINE void copies(const Visit& visit) const {
    constexpr Gate kLeft = kGate == Gate::bits ? Gate::open : kGate;
    visit(GradientTerms<T, kLeft>{values, gradients, mean, gate_at<kLeft>(gate, 0, 0, c), nullptr,
                                  nullptr});
  }
};

template <class T, Gate kGate>
void OneLeafGradientSums(const Rows<const T>& x, const Rows<const T>& dy, const Piece& p,
                         std::int64_t n, std::int64_t channels,
                         const Normalization<NormParameter<T>>& with,
                         const ReluGate<NormParameter<T>>& gate, GradientSums* leaves,
                         std::int64_t stride) {
  using I = std::int64_t;
  TwoSums sums[kChannelsTogether];
  for (I begin = 0; begin < channels; begin += kChannelsTogether) {
    const I end = std::min(begin + kChannelsTogether, channels);
    for (I c = begin; c < end; ++c) {
      sums[c - begin] = LeafSumsOf<T>(
          n, GradientTerms<T, kGate>{at(x, p.outer, p.inner, c), at(dy, p.outer, p.inner, c),
                                     with.mean[c], gate_at<kGate>(gate, p.outer, p.inner, c),
                                     nullptr, nullptr});
    }
    for (I c = begin; c < end; ++c, leaves += stride) {
      *leaves = {sums[c - begin].a, sums[c - begin].ab * with.rstd[c]};
    }
  }
}

template <class T, Gate kGate>
void ChannelGradientSums(const Rows<const T>& x, const Rows<const T>& dy, const Runs& runs,
                         std::int64_t first, std::int64_t count, std::int64_t channels,
                         const Normalization<NormParameter<T>>& with,
                         const ReluGate<NormParameter<T>>& gate, GradientSums* leaves,
                         std::int64_t stride) {
  using I = std::int64_t;
  const Run* const run = runs.data + runs.at_position(first);
  if (one_leaf(*run, first, count)) {
    return OneLeafGradientSums<T, kGate>(x, dy, piece_of(runs, run, first - run->before), count,
                                         channels, with, gate, leaves, stride);
  }
  for (I c = 0; c < channels; ++c, leaves += stride) {
    const double mean = with.mean[c], rstd = with.rstd[c];
    GradientParts<T, kGate> parts(x, dy, gate, c, mean);
    PartedLeaf<T, GradientParts<T, kGate>> leaf_of_parts(parts);
    ForLeaves(
        runs, run, first, count,
        [&](I leaf, const Piece& p, I n) {
          const GradientLeaf<T> whole_leaf{at(x, p.outer, p.inner, c), at(dy, p.outer, p.inner, c),
                                           later(x, p, c), later(dy, p, c)};
          leaves[leaf] = LeafGradientSums(whole_leaf, n, mean, rstd,
                                          gate_at<kGate>(gate, p.outer, p.inner, c));
        },
        [&](const Piece& p, I n, I copied) { return leaf_of_parts.take(p, n, copied); },
        [&](I leaf, I, I copied) {
          TwoSums sums;
          if (!leaf_of_parts.finish(copied, sums)) return false;
          leaves[leaf] = {sums.a, sums.ab * rstd};
          return true;
        });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
