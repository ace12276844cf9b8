// The sums of rows.hpp, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_ROW_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_ROW_SUMS_INL_H_
#undef EVENROW_KERNELS_ROW_SUMS_INL_H_
#else
#define EVENROW_KERNELS_ROW_SUMS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/lanes-inl.h"
#include "kernels/pairwise.hpp"
#include "kernels/row_gates-inl.h"
#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Partial sums of a leaf: value i of it goes to sum i mod kPartials. Four vectors at a time (two
// chains of additions each) hide the latency; vectors of 64 bytes are the whole width, with shorter
// ones the width is swept several times.
template <class A>
inline constexpr std::int64_t kPartials = 256 / sizeof(A);
inline constexpr std::int64_t kVectors = 4;

// How many values ahead of a sum memory is asked for: what the processor fetches by itself ends
// with a page.
inline constexpr std::int64_t kAhead = 4 * kLeaf;

struct TwoSums {
  double a = 0;
  double ab = 0;
};

// The sum of v's lanes, by halves.
template <class D>
HWY_INLINE hn::TFromD<D> fold_lanes(D, hn::Vec<D> v) {
#if HWY_TARGET != HWY_SCALAR  // which has no halves
  if constexpr (hn::MaxLanes(D()) > 1) {
    const hn::Half<D> half;
    return fold_lanes(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
#endif
  return hn::GetLane(v);
}

// The sum of `kWidth` values, by halves: value i and value i + width / 2.
template <std::int64_t kWidth, class A>
HWY_INLINE A fold(A* values) {
  const hn::CappedTag<A, kWidth> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (std::int64_t width = kWidth / 2; width >= lanes; width /= 2) {
    for (std::int64_t i = 0; i < width; i += lanes) {
      hn::Store(hn::Add(hn::Load(d, values + i), hn::Load(d, values + i + width)), d, values + i);
    }
  }
  return fold_lanes(d, hn::Load(d, values));
}

// The partial sums of a leaf: of a and of a * b.
template <class A>
struct Partials {
  HWY_ALIGN A a[kPartials<A>] = {};
  HWY_ALIGN A ab[kPartials<A>] = {};
};

// kVectors vectors of them.
template <class D>
struct Chains {
  using A = hn::TFromD<D>;
  using V = hn::Vec<D>;
  V a0, a1, a2, a3, ab0, ab1, ab2, ab3;

  static HWY_INLINE Chains zero() {
    const V z = hn::Zero(D());
    return {z, z, z, z, z, z, z, z};
  }
  static HWY_INLINE Chains load(const A* a, const A* ab) {
    const D d;
    return {hn::Load(d, a),
            hn::Load(d, a + kLanes),
            hn::Load(d, a + 2 * kLanes),
            hn::Load(d, a + 3 * kLanes),
            hn::Load(d, ab),
            hn::Load(d, ab + kLanes),
            hn::Load(d, ab + 2 * kLanes),
            hn::Load(d, ab + 3 * kLanes)};
  }
  HWY_INLINE void store(A* a, A* ab) const {
    const D d;
    hn::Store(a0, d, a);
    hn::Store(a1, d, a + kLanes);
    hn::Store(a2, d, a + 2 * kLanes);
    hn::Store(a3, d, a + 3 * kLanes);
    hn::Store(ab0, d, ab);
    hn::Store(ab1, d, ab + kLanes);
    hn::Store(ab2, d, ab + 2 * kLanes);
    hn::Store(ab3, d, ab + 3 * kLanes);
  }
  // The terms of the values i = at, at + kPartials<A>, ... < end, and of those that follow each
  // one.
  template <class Terms>
  HWY_INLINE void add(std::int64_t at, std::int64_t end, const Terms& terms) {
    const D d;
    for (std::int64_t i = at; i < end; i += kPartials<A>) {
      terms.fetch(i, kPartials<A>);
      V a, b;
      terms(d, i, a, b);
      a0 = hn::Add(a0, a);
      ab0 = hn::MulAdd(a, b, ab0);
      terms(d, i + kLanes, a, b);
      a1 = hn::Add(a1, a);
      ab1 = hn::MulAdd(a, b, ab1);
      terms(d, i + 2 * kLanes, a, b);
      a2 = hn::Add(a2, a);
      ab2 = hn::MulAdd(a, b, ab2);
      terms(d, i + 3 * kLanes, a, b);
      a3 = hn::Add(a3, a);
      ab3 = hn::MulAdd(a, b, ab3);
    }
  }

 private:
  static constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
};

// Adds whole blocks of kPartials values; terms(d, i, a, b) gives a and b as vectors of A for the
// values from i on; terms.fetch(i, n) asks for what is needed some leaves later.
template <class A, class Terms>
HWY_INLINE void AddBlocks(Partials<A>& sums, std::int64_t n, const Terms& terms) {
  const hn::CappedTag<A, kPartials<A> / kVectors> d;
  constexpr auto step = static_cast<std::int64_t>(kVectors * hn::MaxLanes(d));
  for (std::int64_t at = 0; at < kPartials<A>; at += step) {
    auto chains = Chains<std::remove_const_t<decltype(d)>>::load(sums.a + at, sums.ab + at);
    chains.add(at, n, terms);
    chains.store(sums.a + at, sums.ab + at);
  }
}

// The sums of a leaf, after its last values [whole, n), fewer than a block.
template <class A, class Terms>
HWY_INLINE TwoSums Finish(Partials<A>& sums, std::int64_t whole, std::int64_t n,
                          const Terms& terms) {
  ForVectors<A>(0, n - whole, [&](auto d, std::int64_t i) {
    hn::Vec<decltype(d)> a, b;
    terms(d, whole + i, a, b);
    hn::StoreU(hn::Add(hn::LoadU(d, sums.a + i), a), d, sums.a + i);
    hn::StoreU(hn::MulAdd(a, b, hn::LoadU(d, sums.ab + i)), d, sums.ab + i);
  });
  return {fold<kPartials<A>>(sums.a), fold<kPartials<A>>(sums.ab)};
}

// sum(a) and sum(a * b) over one leaf, taken in A.
template <class A, class Terms>
HWY_INLINE TwoSums LeafSums(std::int64_t n, const Terms& terms) {
  const std::int64_t whole = n / kPartials<A> * kPartials<A>;
  const hn::CappedTag<A, kPartials<A> / kVectors> d;
  if constexpr (kVectors * hn::MaxLanes(d) == kPartials<A>) {  // all at once: folded without memory
    if (whole == n) {
      auto s = Chains<std::remove_const_t<decltype(d)>>::zero();
      s.add(0, n, terms);
      return {fold_lanes(d, hn::Add(hn::Add(s.a0, s.a2), hn::Add(s.a1, s.a3))),
              fold_lanes(d, hn::Add(hn::Add(s.ab0, s.ab2), hn::Add(s.ab1, s.ab3)))};
    }
  }
  Partials<A> sums;
  AddBlocks(sums, whole, terms);
  return Finish(sums, whole, n, terms);
}

inline bool fits_float(double sum_of_products) {
  const hn::CappedTag<double, 1> d;
  return hn::AllTrue(d, fits_float(d, hn::Set(d, sum_of_products)));
}

// The same in Sum<T> where that is wide enough, otherwise in double.
template <class T, class Terms>
HWY_INLINE TwoSums LeafSumsOf(std::int64_t n, const Terms& terms) {
  if constexpr (std::is_same_v<Sum<T>, float>) {
    const TwoSums sums = terms.exact(LeafSums<float>(n, terms));
    if (fits_float(sums.ab)) return sums;
  }
  return LeafSums<double>(n, terms);
}

// How many of a leaf's first values make its pivot: the largest power of two up to 16 and n.
inline std::int64_t pivots(std::int64_t n) {
  return n >= kPivotValues
             ? kPivotValues
             : static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n)));
}

// The mean of the leaf's first k = pivots(n) values; as a difference to the first one, so that
// equal values give exactly themselves.
template <class T>
HWY_INLINE Sum<T> Pivot(const T* x, std::int64_t k) {
  const hn::CappedTag<double, 1> d1;
  const double first = hn::GetLane(load(d1, x));
  const hn::CappedTag<double, kPivotValues / 2> half;
  if constexpr (2 * hn::MaxLanes(half) == kPivotValues) {
    if (k == kPivotValues) {
      const auto origin = hn::Set(half, first);
      const auto low = hn::Sub(load(half, x), origin);
      const auto high = hn::Sub(load(half, x + kPivotValues / 2), origin);
      const double difference = fold_lanes(half, hn::Add(low, high)) / kPivotValues;
      return static_cast<Sum<T>>(first + difference);
    }
  }
  HWY_ALIGN double difference[kPivotValues];
  if (k == kPivotValues) {
    ForVectors<double>(0, k, [&](auto d, std::int64_t i) {
      hn::Store(hn::Sub(load(d, x + i), hn::Set(d, first)), d, difference + i);
    });
    return static_cast<Sum<T>>(first + fold<kPivotValues>(difference) / kPivotValues);
  }
  for (std::int64_t i = 0; i < k; ++i) difference[i] = hn::GetLane(load(d1, x + i)) - first;
  for (std::int64_t width = k / 2; width > 0; width /= 2) {
    for (std::int64_t i = 0; i < width; ++i) difference[i] += difference[i + width];
  }
  return static_cast<Sum<T>>(first + difference[0] / static_cast<double>(k));
}

// From sums around a pivot: sum(w (x - mean)^2) = sum(w (x - p)^2) - sum(w (x - p))^2 / n; rounding
// alone could leave it below 0.
inline Moments around(double pivot, double count, const TwoSums& sums) {
  const double m2 = sums.ab - sums.a * (sums.a / count);
  return {count, pivot + sums.a / count, m2 < 0.0 ? 0.0 : m2};
}

// The terms x - pivot and its square. `later`: what is needed some leaves later, or null.
template <class T>
struct Differences {
  const T* x;
  Sum<T> pivot;
  const T* later;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t i, V& a, V& b) const {
    a = hn::Sub(load(d, x + i), hn::Set(d, pivot));
    b = a;
  }
  HWY_INLINE void fetch(std::int64_t i, std::int64_t n) const {
    if (later != nullptr) FetchLines(later, i, n);
  }
  static HWY_INLINE TwoSums exact(const TwoSums& sums) { return sums; }
};

// The same, weighted: w * (x - pivot) and w * (x - pivot)^2.
template <class T>
struct WeightedDifferences {
  const T* x;
  const float* w;
  double pivot;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t i, V& a, V& b) const {
    b = hn::Sub(load(d, x + i), hn::Set(d, pivot));
    a = hn::Mul(load(d, w + i), b);
  }
  HWY_INLINE void fetch(std::int64_t, std::int64_t) const {}
};

// With weights the first values may say nothing about the others: a first pass finds the pivot.
template <class T>
Moments WeightedLeafMoments(const T* x, const float* w, std::int64_t n, double weight) {
  const auto moments_around = [&](double pivot) {
    return around(pivot, weight, LeafSums<double>(n, WeightedDifferences<T>{x, w, pivot}));
  };
  return moments_around(moments_around(Pivot(x, pivots(n))).mean);
}

// Leaves of one row after the other. The next leaf's pivot is found before this one is summed, so
// that the sums need not wait for it.
template <class T>
class LeavesOfRow {
 public:
  // A leaf at x, of a row that has `left` values from there on.
  Moments moments(const T* x, std::int64_t n, std::int64_t left, const T* later) {
    const Sum<T> pivot = known_ == x ? pivot_ : Pivot(x, pivots(n));
    known_ = nullptr;
    if (left >= 2 * kLeaf) {
      known_ = x + kLeaf;
      pivot_ = Pivot(known_, kPivotValues);
    }
    const Differences<T> terms{x, pivot, later};
    return around(pivot, static_cast<double>(n), LeafSumsOf<T>(n, terms));
  }

 private:
  const T* known_ = nullptr;  // where pivot_ belongs to
  Sum<T> pivot_ = 0;
};

template <class T>
Moments RowMoments(const T* x, std::int64_t n) {
  LeavesOfRow<T> leaves;
  if (n <= kLeaf) return n > 0 ? leaves.moments(x, n, n, nullptr) : Moments{};
  PairwiseMerge<Moments> tree;
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    tree.push(leaves.moments(x + i, std::min(kLeaf, n - i), n - i, nullptr));
  }
  return tree.total();
}

// The terms dy and dy * (x - mean), dy after the gate. In float they are of the rounded mean.
template <class T, class Gated>
struct GradientTerms {
  const T* x;
  const T* dy;
  double mean;
  Gated gated;
  const T* later;
  const T* dy_later;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t i, V& a, V& b) const {
    const hn::Rebind<NormParameter<T>, D> dc;
    const auto value = load(dc, x + i);
    a = widened(d, gated(dc, i, value, load(dc, dy + i)));
    b = hn::Sub(widened(d, value), hn::Set(d, static_cast<hn::TFromD<D>>(mean)));
  }
  HWY_INLINE void fetch(std::int64_t i, std::int64_t n) const {
    if (later == nullptr) return;
    FetchLines(later, i, n);
    FetchLines(dy_later, i, n);
  }
  // x - mean is x - rounded and what rounding took.
  HWY_INLINE TwoSums exact(const TwoSums& sums) const {
    return {sums.a, sums.ab + sums.a * (static_cast<double>(static_cast<float>(mean)) - mean)};
  }
};

// What a leaf is made of: x, dy, and the two some leaves later, or null.
template <class T>
struct GradientLeaf {
  const T* x;
  const T* dy;
  const T* later = nullptr;
  const T* dy_later = nullptr;
};

template <class T>
HWY_INLINE GradientSums LeafGradientSums(const GradientLeaf<T>& leaf, std::int64_t n, double mean,
                                         double rstd, const GateHere<NormParameter<T>>& gate) {
  return with_gate<NormParameter<T>>(gate, [&](auto gated) -> GradientSums {
    const GradientTerms<T, decltype(gated)> terms{leaf.x, leaf.dy,    mean,
                                                  gated,  leaf.later, leaf.dy_later};
    const TwoSums sums = LeafSumsOf<T>(n, terms);
    return {sums.a, sums.ab * rstd};
  });
}

template <class T>
GradientSums RowGradientSums(const T* x, const T* dy, std::int64_t n, double mean, double rstd,
                             GateHere<NormParameter<T>> gate) {
  if (n <= kLeaf) return LeafGradientSums<T>({x, dy}, n, mean, rstd, gate);
  PairwiseMerge<GradientSums> tree;
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    tree.push(LeafGradientSums<T>({x + i, dy + i}, std::min(kLeaf, n - i), mean, rstd, gate));
  }
  return tree.total();
}

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

template <class T>
void ChannelMoments(const Rows<const T>& x, const Runs& runs, std::int64_t first,
                    std::int64_t count, std::int64_t channels, Moments* leaves,
                    std::int64_t stride) {
  using I = std::int64_t;
  const Run* const run = runs.data + runs.at_position(first);
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

// A leaf of channel c, its gradients after the gate if this has bits.
template <class T>
struct GradientParts {
  using C = NormParameter<T>;
  const Rows<const T>& x;
  const Rows<const T>& dy;
  std::int64_t c;
  double mean;
  GateHere<C> without_bits;
  const ReluBits& bits;
  HWY_ALIGN T values[kLeaf];
  HWY_ALIGN T gradients[kLeaf];

  GradientParts(const Rows<const T>& x_rows, const Rows<const T>& dy_rows, std::int64_t channel,
                double mean_of_x, const GateHere<C>& gate, const ReluBits& relu_bits)
      : x(x_rows), dy(dy_rows), c(channel), mean(mean_of_x), without_bits(gate), bits(relu_bits) {}
  HWY_INLINE void copy(const Piece& p, std::int64_t skip, std::int64_t n, std::int64_t to) {
    CopyValues(at(x, p.outer, p.inner + skip, c), values + to, n);
    const T* const from = at(dy, p.outer, p.inner + skip, c);
    const BitsHere here = at(bits, p.outer, p.inner + skip, c);
    if (here.base == nullptr) return CopyValues(from, gradients + to, n);
    ForRow(gradients + to, n, false, [from, here](auto d, std::int64_t i) {
      return through_bits(d, load(d, from + i), here.base, here.first + i);
    });
  }
  void begin(const Piece*, std::int64_t) {}
  template <class Visit>
  HWY_INLINE void here(const Piece& p, std::int64_t skip, const Visit& visit) const {
    GateHere<C> gate = without_bits;
    gate.bits = at(bits, p.outer, p.inner + skip, c);
    with_gate<C>(gate, [&](auto gated) {
      visit(GradientTerms<T, decltype(gated)>{at(x, p.outer, p.inner + skip, c),
                                              at(dy, p.outer, p.inner + skip, c), mean, gated,
                                              later(x, p, c), later(dy, p, c)});
    });
  }
  template <class Visit>
  HWY_INLINE void copies(const Visit& visit) const {
    with_gate<C>(without_bits, [&](auto gated) {
      visit(GradientTerms<T, decltype(gated)>{values, gradients, mean, gated, nullptr, nullptr});
    });
  }
};

template <class T>
void ChannelGradientSums(const Rows<const T>& x, const Rows<const T>& dy, const Runs& runs,
                         std::int64_t first, std::int64_t count, std::int64_t channels,
                         const Normalization<NormParameter<T>>& with,
                         const ReluGate<NormParameter<T>>& gate, GradientSums* leaves,
                         std::int64_t stride) {
  using I = std::int64_t;
  using C = NormParameter<T>;
  const Run* const run = runs.data + runs.at_position(first);
  for (I c = 0; c < channels; ++c, leaves += stride) {
    Affine<C> forward;
    const GateHere<C> without_bits = gate_of(gate, c, forward);
    const double mean = with.mean[c], rstd = inverse_deviation(with.variance[c], with.eps);
    GradientParts<T> parts(x, dy, c, mean, without_bits, gate.bits);
    PartedLeaf<T, GradientParts<T>> leaf_of_parts(parts);
    ForLeaves(
        runs, run, first, count,
        [&](I leaf, const Piece& p, I n) {
          GateHere<C> here = without_bits;
          here.bits = at(gate.bits, p.outer, p.inner, c);
          const GradientLeaf<T> whole_leaf{at(x, p.outer, p.inner, c), at(dy, p.outer, p.inner, c),
                                           later(x, p, c), later(dy, p, c)};
          leaves[leaf] = LeafGradientSums(whole_leaf, n, mean, rstd, here);
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
