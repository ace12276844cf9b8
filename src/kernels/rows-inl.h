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

// Partial sums of a leaf. Four vectors of doubles at a time (two chains of additions each) hide the
// latency; with 8 lanes that is the whole width, with fewer the width is swept several times.
inline constexpr std::int64_t kPartials = 32;
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

// sum(a) and sum(a * b) over one leaf; load(d, i, a, b) gives both as vectors of doubles from i on.
template <class Load>
TwoSums LeafSums(std::int64_t n, const Load& load) {
  const hn::CappedTag<double, kPartials / kVectors> d;
  using V = hn::Vec<decltype(d)>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  HWY_ALIGN double sum_a[kPartials];
  HWY_ALIGN double sum_ab[kPartials];
  const std::int64_t whole = n / kPartials * kPartials;
  for (std::int64_t at = 0; at < kPartials; at += kVectors * lanes) {
    V a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0, ab0 = a0, ab1 = a0, ab2 = a0, ab3 = a0;
    for (std::int64_t i = at; i < whole; i += kPartials) {
      V a, b;
      load(d, i, a, b);
      a0 = hn::Add(a0, a);
      ab0 = hn::MulAdd(a, b, ab0);
      load(d, i + lanes, a, b);
      a1 = hn::Add(a1, a);
      ab1 = hn::MulAdd(a, b, ab1);
      load(d, i + 2 * lanes, a, b);
      a2 = hn::Add(a2, a);
      ab2 = hn::MulAdd(a, b, ab2);
      load(d, i + 3 * lanes, a, b);
      a3 = hn::Add(a3, a);
      ab3 = hn::MulAdd(a, b, ab3);
    }
    hn::Store(a0, d, sum_a + at);
    hn::Store(a1, d, sum_a + at + lanes);
    hn::Store(a2, d, sum_a + at + 2 * lanes);
    hn::Store(a3, d, sum_a + at + 3 * lanes);
    hn::Store(ab0, d, sum_ab + at);
    hn::Store(ab1, d, sum_ab + at + lanes);
    hn::Store(ab2, d, sum_ab + at + 2 * lanes);
    hn::Store(ab3, d, sum_ab + at + 3 * lanes);
  }
  // The rest goes to the first partial sums: whole vectors, then single values.
  std::int64_t i = whole;
  for (; i + lanes <= n; i += lanes) {
    V a, b;
    load(d, i, a, b);
    double* const to_a = sum_a + (i - whole);
    double* const to_ab = sum_ab + (i - whole);
    hn::Store(hn::Add(hn::Load(d, to_a), a), d, to_a);
    hn::Store(hn::MulAdd(a, b, hn::Load(d, to_ab)), d, to_ab);
  }
  for (; i < n; ++i) {
    const hn::CappedTag<double, 1> d1;
    hn::Vec<decltype(d1)> a, b;
    load(d1, i, a, b);
    double* const to_a = sum_a + (i - whole);
    double* const to_ab = sum_ab + (i - whole);
    hn::StoreU(hn::Add(hn::LoadU(d1, to_a), a), d1, to_a);
    hn::StoreU(hn::MulAdd(a, b, hn::LoadU(d1, to_ab)), d1, to_ab);
  }
  return {fold<kPartials>(sum_a), fold<kPartials>(sum_ab)};
}

// The mean of the first k values, k the largest power of two up to 16 and n; as a difference to the
// first one, so that equal values give exactly themselves.
template <class T>
double Pivot(const T* x, std::int64_t n) {
  const hn::CappedTag<double, 1> d1;
  const double first = hn::GetLane(load(d1, x));
  HWY_ALIGN double difference[16];
  if (n >= 16) {
    ForVectors<double>(0, 16, [&](auto d, std::int64_t i) {
      hn::Store(hn::Sub(load(d, x + i), hn::Set(d, first)), d, difference + i);
    });
    return first + fold<16>(difference) / 16;
  }
  const auto k = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n)));
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

template <class T>
Moments LeafMoments(const T* x, std::int64_t n) {
  const double pivot = Pivot(x, n);
  const TwoSums sums = LeafSums(n, [x, pivot](auto d, std::int64_t i, auto& a, auto& b) {
    a = hn::Sub(load(d, x + i), hn::Set(d, pivot));
    b = a;
  });
  return around(pivot, static_cast<double>(n), sums);
}

// With weights the first values may say nothing about the others: a first pass finds the pivot.
template <class T>
Moments WeightedLeafMoments(const T* x, const float* w, std::int64_t n, double weight) {
  double pivot = Pivot(x, n);
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

template <class T>
GradientSums LeafGradientSums(const T* x, const T* dy, std::int64_t n, double mean, double rstd,
                              const GateHere<NormParameter<T>>& gate) {
  using C = NormParameter<T>;
  const TwoSums sums = with_gate<C>(gate, [&](auto gated) {
    return LeafSums(n, [x, dy, mean, gated](auto d, std::int64_t i, auto& a, auto& b) {
      const hn::Rebind<C, decltype(d)> dc;
      const auto value = load(dc, x + i);
      a = to_double(d, gated(dc, i, value, load(dc, dy + i)));
      b = hn::Sub(to_double(d, value), hn::Set(d, mean));
    });
  });
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

// Hands out the values of a channel at consecutive valid positions, up to a leaf at a time.
template <class T>
class RowReader {
 public:
  RowReader(const Channel<const T>& channel, const Runs& runs, std::int64_t position)
      : channel_(channel), run_(runs.data + runs.at_position(position)) {
    skip_ = position - run_->before;
  }

  /// True when the next n values are one piece of memory.
  bool contiguous(std::int64_t n) const { return run_->length - skip_ >= n; }
  /// Where the next value is.
  std::int64_t outer() const { return run_->outer; }
  std::int64_t inner() const { return run_->inner + skip_; }

  /// The next n values: in place where they are contiguous, else copied (then n <= kLeaf).
  const T* next(std::int64_t n) {
    if (contiguous(n)) return take(n);
    for (std::int64_t copied = 0; copied < n;) {
      const std::int64_t here = std::min(n - copied, run_->length - skip_);
      std::copy_n(take(here), here, leaf_ + copied);
      copied += here;
    }
    return leaf_;
  }
  /// The next n values, copied, as the bits let them through.
  const T* next_through(const ReluBits& bits, std::int64_t n) {
    for (std::int64_t copied = 0; copied < n;) {
      const std::int64_t here = std::min(n - copied, run_->length - skip_);
      const std::uint8_t* const row = bits.base + outer() * bits.outer;
      const std::int64_t first = inner();
      const T* const values = take(here);
      ForRow(leaf_ + copied, here, false, [=](auto d, std::int64_t i) {
        return through_bits(d, load(d, values + i), row, first + i);
      });
      copied += here;
    }
    return leaf_;
  }

 private:
  const T* take(std::int64_t n) {
    const T* const values = channel_.base + run_->outer * channel_.outer + run_->inner + skip_;
    skip_ += n;
    if (skip_ == run_->length) {
      ++run_;
      skip_ = 0;
    }
    return values;
  }

  Channel<const T> channel_;
  const Run* run_;
  std::int64_t skip_ = 0;
  T leaf_[kLeaf];
};

template <class T>
Moments ChannelMoments(const Channel<const T>& x, const Runs& runs, std::int64_t first,
                       std::int64_t count) {
  if (count == 0) return {};
  RowReader<T> reader(x, runs, first);
  if (runs.weights == nullptr && reader.contiguous(count))
    return RowMoments(reader.next(count), count);
  PairwiseMerge<Moments> tree;
  if (runs.weights == nullptr) {
    for (std::int64_t i = 0; i < count; i += kLeaf) {
      const std::int64_t n = std::min(kLeaf, count - i);
      tree.push(LeafMoments(reader.next(n), n));
    }
    return tree.total();
  }
  // Weights are one row of all columns, and their segments follow each other.
  RowReader<float> weights({runs.weights, runs.segment}, runs, first);
  for (std::int64_t i = 0; i < count; i += kLeaf) {
    const std::int64_t n = std::min(kLeaf, count - i);
    tree.push(WeightedLeafMoments(reader.next(n), weights.next(n), n,
                                  runs.leaf_weights[(first + i) / kLeaf]));
  }
  return tree.total();
}

template <class T>
GradientSums ChannelGradientSums(const Channel<const T>& x, const Channel<const T>& dy,
                                 const Runs& runs, std::int64_t first, std::int64_t count,
                                 double mean, double rstd, const ReluGate<NormParameter<T>>& gate) {
  if (count == 0) return {};
  RowReader<T> x_reader(x, runs, first), dy_reader(dy, runs, first);
  const auto sums = [&](std::int64_t n) {
    GateHere<NormParameter<T>> here{gate.forward};
    if (gate.bits.base != nullptr) {
      if (!dy_reader.contiguous(n)) {
        return RowGradientSums(x_reader.next(n), dy_reader.next_through(gate.bits, n), n, mean,
                               rstd, here);
      }
      here.bits = gate.bits.base + dy_reader.outer() * gate.bits.outer;
      here.first = dy_reader.inner();
    }
    return RowGradientSums(x_reader.next(n), dy_reader.next(n), n, mean, rstd, here);
  };
  if (x_reader.contiguous(count)) return sums(count);
  PairwiseMerge<GradientSums> tree;
  for (std::int64_t i = 0; i < count; i += kLeaf) tree.push(sums(std::min(kLeaf, count - i)));
  return tree.total();
}

// piece(outer, inner, n) for the valid columns of [begin, end), zero(outer, inner, n) for the
// others.
template <class Zero, class Piece>
HWY_INLINE void ForPieces(const Runs& runs, std::int64_t begin, std::int64_t end, const Zero& zero,
                          const Piece& piece) {
  std::size_t r = runs.at_column(begin);
  while (begin < end) {
    const std::int64_t outer = begin / runs.segment;
    const std::int64_t first = outer * runs.segment;
    const std::int64_t stop = std::min(end, first + runs.segment);
    while (begin < stop) {
      const std::int64_t from = r < runs.size ? std::min(runs.data[r].start, stop) : stop;
      if (from > begin) {
        zero(outer, begin - first, from - begin);
        begin = from;
        continue;
      }
      const std::int64_t run_end = runs.data[r].start + runs.data[r].length;
      const std::int64_t to = std::min(run_end, stop);
      piece(outer, begin - first, to - begin);
      begin = to;
      if (to == run_end) ++r;
    }
  }
}

template <class T>
HWY_INLINE T* at(const Channel<T>& channel, std::int64_t outer, std::int64_t inner) {
  return channel.base == nullptr ? nullptr : channel.base + outer * channel.outer + inner;
}

template <class T>
void ChannelNormalize(const Channel<const T>& x, const Channel<const T>& residual,
                      const Channel<T>& y, const Runs& runs, const ColumnRange& range,
                      const Affine<NormParameter<T>>& k, bool with_relu, const ReluBits& bits) {
  ForPieces(
      runs, range.begin, range.end,
      [&](std::int64_t o, std::int64_t i, std::int64_t n) { std::fill_n(at(y, o, i), n, T{}); },
      [&](std::int64_t o, std::int64_t i, std::int64_t n) {
        if (bits.base == nullptr) {
          RowNormalize(at(x, o, i), at(residual, o, i), at(y, o, i), n, k, with_relu, range.stream);
        } else {
          RowNormalizeWithBits(at(x, o, i), at(residual, o, i), at(y, o, i), n, k, range.stream,
                               at(bits, o, 0), i);
        }
      });
  if (range.stream) hwy::FlushStream();
}

template <class T>
void ChannelInputGradient(const Channel<const T>& x, const Channel<const T>& dy,
                          const Channel<T>& dx, const Channel<T>& dresidual, const Runs& runs,
                          const ColumnRange& range, const InputGradient<NormParameter<T>>& k,
                          const ReluGate<NormParameter<T>>& gate) {
  ForPieces(
      runs, range.begin, range.end,
      [&](std::int64_t o, std::int64_t i, std::int64_t n) {
        std::fill_n(at(dx, o, i), n, T{});
        if (dresidual.base != nullptr) std::fill_n(at(dresidual, o, i), n, T{});
      },
      [&](std::int64_t o, std::int64_t i, std::int64_t n) {
        const float* const w =
            runs.weights == nullptr ? nullptr : runs.weights + o * runs.segment + i;
        RowInputGradient(at(x, o, i), at(dy, o, i), at(dx, o, i), at(dresidual, o, i), w, n, k,
                         {gate.forward, at(gate.bits, o, 0), i}, range.stream);
      });
  if (range.stream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
