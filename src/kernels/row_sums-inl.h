// The sums of rows.hpp over one leaf, and over a contiguous row; compiled once for every SIMD
// target.
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
template <class T, Gate kGate>
struct GradientTerms {
  const T* x;
  const T* dy;
  double mean;
  GateHere<NormParameter<T>, kGate> gate;
  const T* later;
  const T* dy_later;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t i, V& a, V& b) const {
    const hn::Rebind<NormParameter<T>, D> dc;
    const auto value = load(dc, x + i);
    a = widened(d, gate(dc, i, value, load(dc, dy + i)));
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

template <class T, Gate kGate>
HWY_INLINE GradientSums LeafGradientSums(const GradientLeaf<T>& leaf, std::int64_t n, double mean,
                                         double rstd,
                                         const GateHere<NormParameter<T>, kGate>& gate) {
  const GradientTerms<T, kGate> terms{leaf.x, leaf.dy, mean, gate, leaf.later, leaf.dy_later};
  const TwoSums sums = LeafSumsOf<T>(n, terms);
  return {sums.a, sums.ab * rstd};
}

template <class T, Gate kGate>
GradientSums RowGradientSums(const T* x, const T* dy, std::int64_t n, double mean, double rstd,
                             const GateHere<NormParameter<T>, kGate>& gate) {
  if (n <= kLeaf) return LeafGradientSums<T>({x, dy}, n, mean, rstd, gate);
  PairwiseMerge<GradientSums> tree;
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    tree.push(LeafGradientSums<T>({x + i, dy + i}, std::min(kLeaf, n - i), mean, rstd, gate));
  }
  return tree.total();
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
