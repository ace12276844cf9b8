// The loops of rows.hpp, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_ROWS_INL_H_
#undef EVENROW_KERNELS_ROWS_INL_H_
#else
#define EVENROW_KERNELS_ROWS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/lanes-inl.h"
#include "kernels/pairwise.hpp"
#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Partial sums of a leaf: value i of it goes to sum i mod 32. Four vectors of doubles at a time
// (two chains of additions each) hide the latency; with 8 lanes that is the whole width, with fewer
// the width is swept several times.
inline constexpr std::int64_t kPartials = OpenLeaf::kPartials;
inline constexpr std::int64_t kVectors = 4;

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

// Adds the terms a and a * b of n values, which are the leaf's from `filled` on; terms(d, i, a, b)
// gives both as vectors of doubles for the values from i on.
template <class Terms>
HWY_INLINE void AddTerms(OpenLeaf& leaf, std::int64_t filled, std::int64_t n, const Terms& terms) {
  // Some values for neighbouring sums.
  const auto add = [&](std::int64_t sum, std::int64_t from, std::int64_t count) {
    ForVectors<double>(0, count, [&](auto d, std::int64_t i) {
      hn::Vec<decltype(d)> a, b;
      terms(d, from + i, a, b);
      double* const to_a = leaf.a + sum + i;
      double* const to_ab = leaf.ab + sum + i;
      hn::StoreU(hn::Add(hn::LoadU(d, to_a), a), d, to_a);
      hn::StoreU(hn::MulAdd(a, b, hn::LoadU(d, to_ab)), d, to_ab);
    });
  };
  const std::int64_t sum = filled % kPartials;
  const std::int64_t head = sum == 0 ? 0 : std::min(n, kPartials - sum);
  if (head > 0) add(sum, 0, head);
  const std::int64_t whole = head + (n - head) / kPartials * kPartials;
  if (whole > head) {
    const hn::CappedTag<double, kPartials / kVectors> d;
    using V = hn::Vec<decltype(d)>;
    constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
    for (std::int64_t at = 0; at < kPartials; at += kVectors * lanes) {
      double* const to_a = leaf.a + at;
      double* const to_ab = leaf.ab + at;
      V a0 = hn::Load(d, to_a), a1 = hn::Load(d, to_a + lanes);
      V a2 = hn::Load(d, to_a + 2 * lanes), a3 = hn::Load(d, to_a + 3 * lanes);
      V ab0 = hn::Load(d, to_ab), ab1 = hn::Load(d, to_ab + lanes);
      V ab2 = hn::Load(d, to_ab + 2 * lanes), ab3 = hn::Load(d, to_ab + 3 * lanes);
      for (std::int64_t i = head + at; i < whole; i += kPartials) {
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
      }
      hn::Store(a0, d, to_a);
      hn::Store(a1, d, to_a + lanes);
      hn::Store(a2, d, to_a + 2 * lanes);
      hn::Store(a3, d, to_a + 3 * lanes);
      hn::Store(ab0, d, to_ab);
      hn::Store(ab1, d, to_ab + lanes);
      hn::Store(ab2, d, to_ab + 2 * lanes);
      hn::Store(ab3, d, to_ab + 3 * lanes);
    }
  }
  if (n > whole) add(0, whole, n - whole);
}

HWY_INLINE void Clear(OpenLeaf& leaf) {
  std::fill_n(leaf.a, kPartials, 0.0);
  std::fill_n(leaf.ab, kPartials, 0.0);
}
HWY_INLINE TwoSums Folded(OpenLeaf& leaf) {
  return {fold<kPartials>(leaf.a), fold<kPartials>(leaf.ab)};
}

// sum(a) and sum(a * b) over one leaf.
template <class Terms>
HWY_INLINE TwoSums LeafSums(std::int64_t n, const Terms& terms) {
  OpenLeaf leaf;
  Clear(leaf);
  AddTerms(leaf, 0, n, terms);
  return Folded(leaf);
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

// The terms x - pivot and its square.
template <class T>
HWY_INLINE auto differences(const T* x, double pivot) {
  return [x, pivot](auto d, std::int64_t i, auto& a, auto& b) {
    a = hn::Sub(load(d, x + i), hn::Set(d, pivot));
    b = a;
  };
}

template <class T>
HWY_INLINE Moments LeafMoments(const T* x, std::int64_t n) {
  const double pivot = Pivot(x, pivots(n));
  return around(pivot, static_cast<double>(n), LeafSums(n, differences(x, pivot)));
}

// With weights the first values may say nothing about the others: a first pass finds the pivot.
template <class T>
Moments WeightedLeafMoments(const T* x, const float* w, std::int64_t n, double weight) {
  double pivot = Pivot(x, pivots(n));
  for (const bool last : {false, true}) {
    const TwoSums sums = LeafSums(n, [x, w, pivot](auto d, std::int64_t i, auto& a, auto& b) {
      b = hn::Sub(load(d, x + i), hn::Set(d, pivot));
      a = hn::Mul(load(d, w + i), b);
    });
    const Moments moments = around(pivot, weight, sums);
    if (last) return moments;
    pivot = moments.mean;
  }
  return {};
}

template <class T>
Moments RowMoments(const T* x, std::int64_t n) {
  if (n <= kLeaf) return n > 0 ? LeafMoments(x, n) : Moments{};
  PairwiseMerge<Moments> tree;
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    tree.push(LeafMoments(x + i, std::min(kLeaf, n - i)));
  }
  return tree.total();
}

// The gate of the values that follow each other from here on: bits, and where in their row.
template <class C>
struct GateHere {
  const Affine<C>* forward = nullptr;
  const std::uint8_t* bits = nullptr;
  std::int64_t first = 0;
};

// visit(gated) with gated(d, i, x, dy) being what the gate lets through of dy.
template <class C, class Visit>
HWY_INLINE auto with_gate(const GateHere<C>& gate, const Visit& visit) {
  if (gate.bits != nullptr) {
    return visit([bits = gate.bits, first = gate.first](auto d, std::int64_t i, auto, auto dy) {
      return through_bits(d, dy, bits, first + i);
    });
  }
  if (gate.forward != nullptr) {
    return visit([k = *gate.forward](auto d, std::int64_t, auto x, auto dy) {
      return through_relu(d, x, dy, broadcast(d, k));
    });
  }
  return visit([](auto, std::int64_t, auto, auto dy) { return dy; });
}

// visit(terms) with the terms dy and dy * (x - mean), dy after the gate.
template <class T, class Visit>
HWY_INLINE void with_gradient_terms(const T* x, const T* dy, double mean,
                                    const GateHere<NormParameter<T>>& gate, const Visit& visit) {
  using C = NormParameter<T>;
  with_gate<C>(gate, [&](auto gated) {
    visit([x, dy, mean, gated](auto d, std::int64_t i, auto& a, auto& b) {
      const hn::Rebind<C, decltype(d)> dc;
      const auto value = load(dc, x + i);
      a = to_double(d, gated(dc, i, value, load(dc, dy + i)));
      b = hn::Sub(to_double(d, value), hn::Set(d, mean));
    });
  });
}

template <class T>
HWY_INLINE GradientSums LeafGradientSums(const T* x, const T* dy, std::int64_t n, double mean,
                                         double rstd, const GateHere<NormParameter<T>>& gate) {
  TwoSums sums;
  with_gradient_terms(x, dy, mean, gate, [&](const auto& terms) { sums = LeafSums(n, terms); });
  return {sums.a, sums.ab * rstd};
}

template <class T>
GradientSums RowGradientSums(const T* x, const T* dy, std::int64_t n, double mean, double rstd,
                             GateHere<NormParameter<T>> gate) {
  if (n <= kLeaf) return LeafGradientSums(x, dy, n, mean, rstd, gate);
  PairwiseMerge<GradientSums> tree;
  for (std::int64_t i = 0; i < n; i += kLeaf, gate.first += kLeaf) {
    tree.push(LeafGradientSums(x + i, dy + i, std::min(kLeaf, n - i), mean, rstd, gate));
  }
  return tree.total();
}

// y = act((x - center) * scale + shift + residual), without residual where it is null.
template <class T>
void RowNormalize(const T* x, const T* residual, T* y, std::int64_t n,
                  const Affine<NormParameter<T>>& k, bool with_relu, bool stream) {
  const auto u = [x, k](auto d, std::int64_t i) { return apply(load(d, x + i), broadcast(d, k)); };
  const auto sum = [u, residual](auto d, std::int64_t i) {
    return hn::Add(u(d, i), load(d, residual + i));
  };
  if (residual == nullptr) {
    if (with_relu) {
      ForRow(y, n, stream, [u](auto d, std::int64_t i) { return relu(d, u(d, i)); });
    } else {
      ForRow(y, n, stream, u);
    }
  } else if (with_relu) {
    ForRow(y, n, stream, [sum](auto d, std::int64_t i) { return relu(d, sum(d, i)); });
  } else {
    ForRow(y, n, stream, sum);
  }
}

// The same with relu, and its bits from bit `first` on. Bits are written in whole bytes from the
// second one on; so that y can be written past the caches at its own alignment, blocks of it are
// made in L1.
template <class T>
void RowNormalizeWithBits(const T* x, const T* residual, T* y, std::int64_t n,
                          const Affine<NormParameter<T>>& k, bool stream, std::uint8_t* bits,
                          std::int64_t first) {
  using C = NormParameter<T>;
  const auto block_of = [&](const T* from, const T* add, std::int64_t count, T* out,
                            std::int64_t bit) {
    const auto write = [&](auto d, std::int64_t i) {
      const auto u = hn::Add(apply(load(d, from + i), broadcast(d, k)), load(d, add + i));
      put_relu_bits(d, u, bits, bit + i);
      store(relu(d, u), d, out + i);
    };
    const std::int64_t head = std::min(count, (8 - bit % 8) % 8);
    const hn::CappedTag<C, 1> one;
    for (std::int64_t i = 0; i < head; ++i) write(one, i);
    ForVectors<C>(head, count, write);
  };
  if (!stream) return block_of(x, residual, n, y, first);
  T block[kLeaf];
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    const std::int64_t count = std::min(kLeaf, n - i);
    block_of(x + i, residual + i, count, block, first + i);
    ForRow(y + i, count, true, [&block](auto d, std::int64_t j) { return load(d, block + j); });
  }
}

// dx = a * (dy + w * (b * (x - center) + c)), dresidual = dy, after the gate; without weights and
// without dresidual where these are null.
template <class T>
void RowInputGradient(const T* x, const T* dy, T* dx, T* dresidual, const float* w, std::int64_t n,
                      const InputGradient<NormParameter<T>>& k,
                      const GateHere<NormParameter<T>>& gate, bool stream) {
  using C = NormParameter<T>;
  with_gate<C>(gate, [&](auto gated) {
    const auto through = [x, dy, gated](auto d, std::int64_t i) {
      return gated(d, i, load(d, x + i), load(d, dy + i));
    };
    const auto rest = [x, k](auto d, std::int64_t i) {
      const auto centered = hn::Sub(load(d, x + i), hn::Set(d, k.center));
      return hn::MulAdd(hn::Set(d, k.b), centered, hn::Set(d, k.c));
    };
    const auto gradient = [through, rest, a = k.a](auto d, std::int64_t i) {
      return hn::Mul(hn::Set(d, a), hn::Add(through(d, i), rest(d, i)));
    };
    // A block at a time where dy is written too: dresidual may be dy, or dx may be.
    const std::int64_t step = dresidual == nullptr ? n : kLeaf;
    T block[kLeaf];
    for (std::int64_t at = 0; at < n; at += step) {
      const std::int64_t count = std::min(step, n - at);
      if (dresidual != nullptr) {
        ForRow(block, count, false, [&](auto d, std::int64_t i) { return through(d, at + i); });
      }
      if (w == nullptr) {
        ForRow(dx + at, count, stream, [&](auto d, std::int64_t i) { return gradient(d, at + i); });
      } else {
        ForRow(dx + at, count, stream, [&](auto d, std::int64_t i) {
          const auto weighted = hn::Mul(load(d, w + at + i), rest(d, at + i));
          return hn::Mul(hn::Set(d, k.a), hn::Add(through(d, at + i), weighted));
        });
      }
      if (dresidual != nullptr) {
        ForRow(dresidual + at, count, stream,
               [&](auto d, std::int64_t i) { return load(d, block + i); });
      }
    }
  });
}

// A piece of a run: `inner` is where it starts in its segment, `column` which column that is.
struct Piece {
  std::int64_t outer, inner, column;
};

// Cuts the positions [first, first + count) of some channels into leaves, reading memory segment by
// segment and in each segment channel by channel: add(channel, leaf, piece, filled, n, size) for n
// values that follow the `filled` ones which the leaf, of `size` values, has.
template <class Add>
HWY_INLINE void ForLeaves(const Runs& runs, std::int64_t first, std::int64_t count,
                          std::int64_t channels, const Add& add) {
  const Run* run = runs.data + runs.at_position(first);
  std::int64_t skip = first - run->before, leaf = 0, filled = 0;
  for (std::int64_t left = count; left > 0; ++run, skip = 0) {
    const std::int64_t length = std::min(run->length - skip, left);
    std::int64_t next_leaf = leaf, next_filled = filled;
    for (std::int64_t c = 0; c < channels; ++c) {
      next_leaf = leaf;
      next_filled = filled;
      for (std::int64_t at = 0; at < length;) {
        const std::int64_t size = std::min(kLeaf, count - next_leaf * kLeaf);
        const std::int64_t n = std::min(length - at, size - next_filled);
        add(c, next_leaf, Piece{run->outer, run->inner + skip + at, run->start + skip + at},
            next_filled, n, size);
        at += n;
        next_filled += n;
        if (next_filled == size) {
          ++next_leaf;
          next_filled = 0;
        }
      }
    }
    leaf = next_leaf;
    filled = next_filled;
    left -= length;
  }
}

template <class T>
HWY_INLINE T* at(const Rows<T>& rows, std::int64_t outer, std::int64_t inner, std::int64_t c) {
  return rows.base == nullptr ? nullptr : rows.base + outer * rows.outer + c * rows.channel + inner;
}
// The values of a leaf that wait to be summed: of x, and in the backward pass of dy.
template <class T>
HWY_INLINE T* staged(OpenLeaf& leaf, std::size_t which) {
  return reinterpret_cast<T*>(leaf.staged_values[which]);
}

// Adds n values to a leaf that is put together from pieces and has `filled` of its `size` values.
// Long pieces are summed where they are: direct(offset in the piece, filled, count). Short ones
// wait until they are worth it: copy(offset, where to, count), then waiting(filled before them,
// count).
template <class Direct, class Copy, class Waiting>
HWY_INLINE void AddPiece(OpenLeaf& leaf, std::int64_t filled, std::int64_t n, std::int64_t size,
                         const Direct& direct, const Copy& copy, const Waiting& waiting) {
  constexpr std::int64_t kShort = 256;
  static_assert(kShort >= kPivotValues && OpenLeaf::kStaged >= kShort);
  if (filled == 0) leaf.staged = 0;
  for (std::int64_t at = 0; at < n;) {
    if (leaf.staged == 0 && n - at >= kShort) return direct(at, filled, n - at);
    const std::int64_t taken = std::min(n - at, OpenLeaf::kStaged - leaf.staged);
    copy(at, leaf.staged, taken);
    leaf.staged += taken;
    filled += taken;
    at += taken;
    if (leaf.staged == OpenLeaf::kStaged || filled == size) {
      waiting(filled - leaf.staged, leaf.staged);
      leaf.staged = 0;
    }
  }
}

template <class T>
HWY_INLINE void CopyRow(const T* from, T* to, std::int64_t n) {
  ForRow(to, n, false, [from](auto d, std::int64_t i) { return load(d, from + i); });
}

// With weights a leaf is read twice: one channel after the other, each leaf put together first.
template <class T>
void WeightedChannelMoments(const Rows<const T>& x, const Runs& runs, std::int64_t first,
                            std::int64_t count, std::int64_t channels, Moments* leaves,
                            std::int64_t stride) {
  using I = std::int64_t;
  T values[kLeaf];
  float weights[kLeaf];
  for (I channel = 0; channel < channels; ++channel) {
    ForLeaves(runs, first, count, 1, [&](I, I leaf, const Piece& p, I filled, I n, I size) {
      std::copy_n(at(x, p.outer, p.inner, channel), n, values + filled);
      std::copy_n(runs.weights + p.column, n, weights + filled);
      if (filled + n < size) return;
      leaves[channel * stride + leaf] =
          WeightedLeafMoments(values, weights, size, runs.leaf_weights[first / kLeaf + leaf]);
    });
  }
}

template <class T>
void ChannelMoments(const Rows<const T>& x, const Runs& runs, std::int64_t first,
                    std::int64_t count, std::int64_t channels, OpenLeaf* open, Moments* leaves,
                    std::int64_t stride) {
  using I = std::int64_t;
  if (runs.weights != nullptr) {
    return WeightedChannelMoments(x, runs, first, count, channels, leaves, stride);
  }
  ForLeaves(runs, first, count, channels, [&](I c, I leaf, const Piece& p, I filled, I n, I size) {
    const T* const values = at(x, p.outer, p.inner, c);
    Moments& result = leaves[c * stride + leaf];
    if (n == size) {
      result = LeafMoments(values, n);
      return;
    }
    const auto sum = [&](const T* from, I before, I number) {
      if (before == 0) {
        open[c].pivot = Pivot(from, pivots(size));
        Clear(open[c]);
      }
      AddTerms(open[c], before, number, differences(from, open[c].pivot));
    };
    T* const waiting = staged<T>(open[c], 0);
    AddPiece(
        open[c], filled, n, size,
        [&](I offset, I before, I number) { sum(values + offset, before, number); },
        [&](I offset, I to, I number) { CopyRow(values + offset, waiting + to, number); },
        [&](I before, I number) { sum(waiting, before, number); });
    if (filled + n == size) {
      result = around(open[c].pivot, static_cast<double>(size), Folded(open[c]));
    }
  });
}

// The gate of one channel, without its bits; `forward` is what it refers to.
template <class C>
GateHere<C> gate_of(const ReluGate<C>& gate, std::int64_t channel, Affine<C>& forward) {
  if (gate.forward == nullptr) return {};
  const ChannelAffine<C>& k = *gate.forward;
  forward = {k.center[channel], k.scale[channel], k.shift[channel]};
  return {&forward};
}

template <class T>
void ChannelGradientSums(const Rows<const T>& x, const Rows<const T>& dy, const Runs& runs,
                         std::int64_t first, std::int64_t count, std::int64_t channels,
                         const Normalization<NormParameter<T>>& with,
                         const ReluGate<NormParameter<T>>& gate, OpenLeaf* open,
                         GradientSums* leaves, std::int64_t stride) {
  using I = std::int64_t;
  using C = NormParameter<T>;
  ForLeaves(runs, first, count, channels, [&](I c, I leaf, const Piece& p, I filled, I n, I size) {
    Affine<C> forward;
    GateHere<C> here = gate_of(gate, c, forward);
    const std::uint8_t* const bits = at(gate.bits, p.outer, 0, c);
    const T* const values = at(x, p.outer, p.inner, c);
    const T* const gradients = at(dy, p.outer, p.inner, c);
    T* const waiting = staged<T>(open[c], 0);
    T* const waiting_dy = staged<T>(open[c], 1);
    if (filled == 0) Clear(open[c]);
    const auto sum = [&](const T* from, const T* from_dy, I before, I number) {
      with_gradient_terms(from, from_dy, with.mean[c], here,
                          [&](const auto& terms) { AddTerms(open[c], before, number, terms); });
    };
    AddPiece(
        open[c], filled, n, size,
        [&](I offset, I before, I number) {
          here.bits = bits;
          here.first = p.inner + offset;
          sum(values + offset, gradients + offset, before, number);
        },
        [&](I offset, I to, I number) {
          CopyRow(values + offset, waiting + to, number);
          const T* const from = gradients + offset;
          if (bits == nullptr) return CopyRow(from, waiting_dy + to, number);
          ForRow(waiting_dy + to, number, false,
                 [from, bits, first_bit = p.inner + offset](auto d, I i) {
                   return through_bits(d, load(d, from + i), bits, first_bit + i);
                 });
        },
        [&](I before, I number) {
          here.bits = nullptr;  // they have been through it
          sum(waiting, waiting_dy, before, number);
        });
    if (filled + n < size) return;
    const TwoSums sums = Folded(open[c]);
    const double rstd = inverse_deviation(with.variance[c], with.eps);
    leaves[c * stride + leaf] = {sums.a, sums.ab * rstd};
  });
}

// For the columns [begin, end), segment by segment, and in each for every channel: piece(outer,
// inner, n, channel) for the valid columns, zero(outer, inner, n, channel) for the others.
template <class Zero, class Piece>
HWY_INLINE void ForPieces(const Runs& runs, const ColumnRange& range, std::int64_t channels,
                          const Zero& zero, const Piece& piece) {
  std::size_t r = runs.at_column(range.begin);
  std::int64_t outer = range.begin / runs.segment, first = outer * runs.segment;
  for (std::int64_t begin = range.begin; begin < range.end; ++outer, first += runs.segment) {
    const std::int64_t stop = std::min(range.end, first + runs.segment);
    std::size_t next = r;
    for (std::int64_t c = 0; c < channels; ++c) {
      next = r;
      for (std::int64_t at = begin; at < stop;) {
        const std::int64_t from = next < runs.size ? std::min(runs.data[next].start, stop) : stop;
        if (from > at) {
          zero(outer, at - first, from - at, c);
          at = from;
          continue;
        }
        const std::int64_t run_end = runs.data[next].start + runs.data[next].length;
        const std::int64_t to = std::min(run_end, stop);
        piece(outer, at - first, to - at, c);
        at = to;
        if (to == run_end) ++next;
      }
    }
    r = next;
    begin = stop;
  }
}

template <class T>
void ChannelNormalize(const Rows<const T>& x, const Rows<const T>& residual, const Rows<T>& y,
                      const Runs& runs, const ColumnRange& range, std::int64_t channels,
                      const ChannelAffine<NormParameter<T>>& k, bool with_relu,
                      const ReluBits& bits) {
  using I = std::int64_t;
  ForPieces(
      runs, range, channels, [&](I o, I i, I n, I c) { std::fill_n(at(y, o, i, c), n, T{}); },
      [&](I o, I i, I n, I c) {
        const Affine<NormParameter<T>> here{k.center[c], k.scale[c], k.shift[c]};
        if (bits.base == nullptr) {
          RowNormalize(at(x, o, i, c), at(residual, o, i, c), at(y, o, i, c), n, here, with_relu,
                       range.stream);
        } else {
          RowNormalizeWithBits(at(x, o, i, c), at(residual, o, i, c), at(y, o, i, c), n, here,
                               range.stream, at(bits, o, 0, c), i);
        }
      });
  if (range.stream) hwy::FlushStream();
}

template <class T>
void ChannelInputGradient(const Rows<const T>& x, const Rows<const T>& dy, const Rows<T>& dx,
                          const Rows<T>& dresidual, const Runs& runs, const ColumnRange& range,
                          std::int64_t channels, const ChannelGradient<NormParameter<T>>& k,
                          const ReluGate<NormParameter<T>>& gate) {
  using I = std::int64_t;
  using C = NormParameter<T>;
  ForPieces(
      runs, range, channels,
      [&](I o, I i, I n, I c) {
        std::fill_n(at(dx, o, i, c), n, T{});
        if (dresidual.base != nullptr) std::fill_n(at(dresidual, o, i, c), n, T{});
      },
      [&](I o, I i, I n, I c) {
        const float* const w =
            runs.weights == nullptr ? nullptr : runs.weights + o * runs.segment + i;
        Affine<C> forward;
        GateHere<C> here = gate_of(gate, c, forward);
        here.bits = at(gate.bits, o, 0, c);
        here.first = i;
        RowInputGradient(at(x, o, i, c), at(dy, o, i, c), at(dx, o, i, c), at(dresidual, o, i, c),
                         w, n, {k.center[c], k.a[c], k.b[c], k.c[c]}, here, range.stream);
      });
  if (range.stream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
