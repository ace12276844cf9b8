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

#include "kernels/lanes-inl.h"
#include "kernels/pairwise.hpp"
#include "kernels/row_gates-inl.h"
#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Partial sums of a leaf: value i of it goes to sum i mod 32. Four vectors of doubles at a time
// (two chains of additions each) hide the latency; with 8 lanes that is the whole width, with fewer
// the width is swept several times.
inline constexpr std::int64_t kPartials = 32;
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
HWY_INLINE double fold_lanes(D, hn::Vec<D> v) {
#if HWY_TARGET != HWY_SCALAR  // which has no halves
  if constexpr (hn::MaxLanes(D()) > 1) {
    const hn::Half<D> half;
    return fold_lanes(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
#endif
  return hn::GetLane(v);
}

// The sum of `kWidth` values, by halves: value i and value i + width / 2.
template <std::int64_t kWidth>
HWY_INLINE double fold(double* values) {
  const hn::CappedTag<double, kWidth> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (std::int64_t width = kWidth / 2; width >= lanes; width /= 2) {
    for (std::int64_t i = 0; i < width; i += lanes) {
      hn::Store(hn::Add(hn::Load(d, values + i), hn::Load(d, values + i + width)), d, values + i);
    }
  }
  return fold_lanes(d, hn::Load(d, values));
}

// sum(a) and sum(a * b) over one leaf; terms(d, i, a, b) gives both as vectors of doubles for the
// values from i on; terms.fetch(i) asks for what is needed some leaves later.
template <class Terms>
HWY_INLINE TwoSums LeafSums(std::int64_t n, const Terms& terms) {
  HWY_ALIGN double sum_a[kPartials];
  HWY_ALIGN double sum_ab[kPartials];
  const std::int64_t whole = n / kPartials * kPartials;
  const hn::CappedTag<double, kPartials / kVectors> d;
  using V = hn::Vec<decltype(d)>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (std::int64_t at = 0; at < kPartials; at += kVectors * lanes) {
    V a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0, ab0 = a0, ab1 = a0, ab2 = a0, ab3 = a0;
    const auto add = [&](std::int64_t i) HWY_ATTR {
      V a, b;
      terms(d, i, a, b);
      a0 = hn::Add(a0, a);
      ab0 = hn::MulAdd(a, b, ab0);
      terms(d, i + lanes, a, b);
      a1 = hn::Add(a1, a);
      ab1 = hn::MulAdd(a, b, ab1);
      terms(d, i + 2 * lanes, a, b);
      a2 = hn::Add(a2, a);
      ab2 = hn::MulAdd(a, b, ab2);
      terms(d, i + 3 * lanes, a, b);
      a3 = hn::Add(a3, a);
      ab3 = hn::MulAdd(a, b, ab3);
    };
    for (std::int64_t i = at; i < whole; i += kPartials) {
      terms.fetch(i);
      add(i);
    }
    if constexpr (kVectors * lanes == kPartials) {  // they are all here: folded without memory
      if (whole == n) {
        return {fold_lanes(d, hn::Add(hn::Add(a0, a2), hn::Add(a1, a3))),
                fold_lanes(d, hn::Add(hn::Add(ab0, ab2), hn::Add(ab1, ab3)))};
      }
    }
    double* const to_a = sum_a + at;
    double* const to_ab = sum_ab + at;
    hn::Store(a0, d, to_a);
    hn::Store(a1, d, to_a + lanes);
    hn::Store(a2, d, to_a + 2 * lanes);
    hn::Store(a3, d, to_a + 3 * lanes);
    hn::Store(ab0, d, to_ab);
    hn::Store(ab1, d, to_ab + lanes);
    hn::Store(ab2, d, to_ab + 2 * lanes);
    hn::Store(ab3, d, to_ab + 3 * lanes);
  }
  ForVectors<double>(0, n - whole, [&](auto narrow, std::int64_t i) {
    hn::Vec<decltype(narrow)> a, b;
    terms(narrow, whole + i, a, b);
    hn::StoreU(hn::Add(hn::LoadU(narrow, sum_a + i), a), narrow, sum_a + i);
    hn::StoreU(hn::MulAdd(a, b, hn::LoadU(narrow, sum_ab + i)), narrow, sum_ab + i);
  });
  return {fold<kPartials>(sum_a), fold<kPartials>(sum_ab)};
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
HWY_INLINE double Pivot(const T* x, std::int64_t k) {
  const hn::CappedTag<double, 1> d1;
  const double first = hn::GetLane(load(d1, x));
  const hn::CappedTag<double, kPivotValues / 2> half;
  if constexpr (2 * hn::MaxLanes(half) == kPivotValues) {
    if (k == kPivotValues) {
      const auto origin = hn::Set(half, first);
      const auto low = hn::Sub(load(half, x), origin);
      const auto high = hn::Sub(load(half, x + kPivotValues / 2), origin);
      return first + fold_lanes(half, hn::Add(low, high)) / kPivotValues;
    }
  }
  HWY_ALIGN double difference[kPivotValues];
  if (k == kPivotValues) {
    ForVectors<double>(0, k, [&](auto d, std::int64_t i) {
      hn::Store(hn::Sub(load(d, x + i), hn::Set(d, first)), d, difference + i);
    });
    return first + fold<kPivotValues>(difference) / kPivotValues;
  }
  for (std::int64_t i = 0; i < k; ++i) difference[i] = hn::GetLane(load(d1, x + i)) - first;
  for (std::int64_t width = k / 2; width > 0; width /= 2) {
    for (std::int64_t i = 0; i < width; ++i) difference[i] += difference[i + width];
  }
  return first + difference[0] / static_cast<double>(k);
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
  double pivot;
  const T* later;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t i, V& a, V& b) const {
    a = hn::Sub(load(d, x + i), hn::Set(d, pivot));
    b = a;
  }
  HWY_INLINE void fetch(std::int64_t i) const {
    if (later != nullptr) FetchLines(later, i, kPartials);
  }
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
  HWY_INLINE void fetch(std::int64_t) const {}
};

// With weights the first values may say nothing about the others: a first pass finds the pivot.
template <class T>
Moments WeightedLeafMoments(const T* x, const float* w, std::int64_t n, double weight) {
  const auto moments_around = [&](double pivot) {
    return around(pivot, weight, LeafSums(n, WeightedDifferences<T>{x, w, pivot}));
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
    const double pivot = known_ == x ? pivot_ : Pivot(x, pivots(n));
    known_ = nullptr;
    if (left >= 2 * kLeaf) {
      known_ = x + kLeaf;
      pivot_ = Pivot(known_, kPivotValues);
    }
    return around(pivot, static_cast<double>(n), LeafSums(n, Differences<T>{x, pivot, later}));
  }

 private:
  const T* known_ = nullptr;  // where pivot_ belongs to
  double pivot_ = 0;
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

// The terms dy and dy * (x - mean), dy after the gate.
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
    a = to_double(d, gated(dc, i, value, load(dc, dy + i)));
    b = hn::Sub(to_double(d, value), hn::Set(d, mean));
  }
  HWY_INLINE void fetch(std::int64_t i) const {
    if (later == nullptr) return;
    FetchLines(later, i, kPartials);
    FetchLines(dy_later, i, kPartials);
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
    const TwoSums sums = LeafSums(n, terms);
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
// columns the run has from there on; and the place that is read kAhead columns later.
struct Piece {
  std::int64_t outer, inner, column, left, later_outer, later_inner;
};

template <class T>
HWY_INLINE const T* later(const Rows<const T>& rows, const Piece& piece, std::int64_t c) {
  return rows.far ? at(rows, piece.later_outer, piece.later_inner, c) : nullptr;
}

// Cuts the positions [first, first + count) into leaves: whole(leaf, piece, n) for a leaf of n
// values that lies in one run; otherwise copy(piece, filled, n) for n values that follow `filled`
// others, and copied(leaf, n) when all are there. `run` has the first position.
template <class Whole, class Copy, class Copied>
HWY_INLINE void ForLeaves(const Runs& runs, const Run* run, std::int64_t first, std::int64_t count,
                          const Whole& whole, const Copy& copy, const Copied& copied) {
  std::int64_t skip = first - run->before;
  const auto take = [&](std::int64_t most, const auto& visit) {
    const std::int64_t left = run->length - skip, n = std::min(most, left);
    Piece piece{run->outer, run->inner + skip, run->start + skip,
                left,       run->outer,        run->inner + skip + kAhead};
    if (left < kAhead && run + 1 < runs.data + runs.size) {
      piece.later_outer = run[1].outer;
      piece.later_inner = run[1].inner + kAhead - left;
    }
    visit(piece, n);
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
    for (std::int64_t filled = 0; filled < size;) {
      filled +=
          take(size - filled, [&](const Piece& piece, std::int64_t n) { copy(piece, filled, n); });
    }
    copied(leaf, size);
  }
}

template <class T>
void ChannelMoments(const Rows<const T>& x, const Runs& runs, std::int64_t first,
                    std::int64_t count, std::int64_t channels, Moments* leaves,
                    std::int64_t stride) {
  using I = std::int64_t;
  T values[kLeaf];
  float weights[kLeaf];  // with them a leaf is read twice: it is always put together first
  const Run* const run = runs.data + runs.at_position(first);
  for (I c = 0; c < channels; ++c, leaves += stride) {
    LeavesOfRow<T> row;
    const auto copy = [&](const Piece& p, I filled, I n) {
      CopyValues(at(x, p.outer, p.inner, c), values + filled, n);
      if (runs.weights != nullptr) CopyValues(runs.weights + p.column, weights + filled, n);
    };
    const auto copied = [&](I leaf, I n) {
      leaves[leaf] =
          runs.weights == nullptr
              ? row.moments(values, n, n, nullptr)
              : WeightedLeafMoments(values, weights, n, runs.leaf_weights[first / kLeaf + leaf]);
    };
    const auto whole = [&](I leaf, const Piece& p, I n) {
      if (runs.weights == nullptr) {
        leaves[leaf] = row.moments(at(x, p.outer, p.inner, c), n, p.left, later(x, p, c));
        return;
      }
      copy(p, 0, n);
      copied(leaf, n);
    };
    ForLeaves(runs, run, first, count, whole, copy, copied);
  }
}

template <class T>
void ChannelGradientSums(const Rows<const T>& x, const Rows<const T>& dy, const Runs& runs,
                         std::int64_t first, std::int64_t count, std::int64_t channels,
                         const Normalization<NormParameter<T>>& with,
                         const ReluGate<NormParameter<T>>& gate, GradientSums* leaves,
                         std::int64_t stride) {
  using I = std::int64_t;
  using C = NormParameter<T>;
  T values[kLeaf], gradients[kLeaf];
  const Run* const run = runs.data + runs.at_position(first);
  for (I c = 0; c < channels; ++c, leaves += stride) {
    Affine<C> forward;
    const GateHere<C> without_bits = gate_of(gate, c, forward);
    const double mean = with.mean[c], rstd = inverse_deviation(with.variance[c], with.eps);
    const auto whole = [&](I leaf, const Piece& p, I n) {
      GateHere<C> here = without_bits;
      here.bits = at(gate.bits, p.outer, p.inner, c);
      const GradientLeaf<T> whole_leaf{at(x, p.outer, p.inner, c), at(dy, p.outer, p.inner, c),
                                       later(x, p, c), later(dy, p, c)};
      leaves[leaf] = LeafGradientSums(whole_leaf, n, mean, rstd, here);
    };
    const auto copy = [&](const Piece& p, I filled, I n) {
      CopyValues(at(x, p.outer, p.inner, c), values + filled, n);
      const T* const from = at(dy, p.outer, p.inner, c);
      const BitsHere bits = at(gate.bits, p.outer, p.inner, c);
      if (bits.base == nullptr) return CopyValues(from, gradients + filled, n);
      ForRow(gradients + filled, n, false, [from, bits](auto d, I i) {
        return through_bits(d, load(d, from + i), bits.base, bits.first + i);
      });
    };
    const auto copied = [&](I leaf, I n) {
      leaves[leaf] = LeafGradientSums<T>({values, gradients}, n, mean, rstd, without_bits);
    };
    ForLeaves(runs, run, first, count, whole, copy, copied);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
