// The loops of columns.hpp, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_COLUMNS_INL_H_
#undef EVENROW_KERNELS_COLUMNS_INL_H_
#else
#define EVENROW_KERNELS_COLUMNS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <type_traits>

#include "kernels/columns.hpp"
#include "kernels/lanes-inl.h"
#include "kernels/pairwise.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Channels that are summed together: their sums stay in L1.
inline constexpr std::int64_t kSummed = 1024;
// Vectors of channels that are summed together, to hide the latency of an addition.
inline constexpr std::int64_t kVectors = 4;
// Over how many columns, before the next channels: few where they come from memory, and fewer where
// columns are long, because the processor follows few streams of memory well.
template <class T>
std::int64_t side_by_side(const Columns<const T>& x) {
  constexpr std::int64_t kLong = 1024 / sizeof(T);
  return x.ahead == 0 ? 16 : x.column < kLong ? 4 : 2;
}

// Asks for channels [c, c + count) of column j, so many values further on.
template <class T>
HWY_INLINE void FetchChannels(const Columns<const T>& x, std::int64_t j, std::int64_t c,
                              std::int64_t count) {
  if (x.ahead != 0) FetchLines(x.base + (j * x.column + c), x.ahead, count);
}

// sum_a[c] += a, sum_ab[c] += a * b over so many columns from j on, one after the other.
// terms(d, column, channel, a, b) gives both as vectors of doubles, terms.fetch(column, channel,
// count) asks for what is needed later.
template <class Terms>
HWY_INLINE void SumColumns(std::int64_t j, std::int64_t columns, std::int64_t channels,
                           double* sum_a, double* sum_ab, const Terms& terms) {
  const hn::ScalableTag<double> d;
  using V = hn::Vec<decltype(d)>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  std::int64_t c = 0;
  for (; c + kVectors * lanes <= channels; c += kVectors * lanes) {
    double* const to_a = sum_a + c;
    double* const to_ab = sum_ab + c;
    V a0 = hn::LoadU(d, to_a), a1 = hn::LoadU(d, to_a + lanes);
    V a2 = hn::LoadU(d, to_a + 2 * lanes), a3 = hn::LoadU(d, to_a + 3 * lanes);
    V ab0 = hn::LoadU(d, to_ab), ab1 = hn::LoadU(d, to_ab + lanes);
    V ab2 = hn::LoadU(d, to_ab + 2 * lanes), ab3 = hn::LoadU(d, to_ab + 3 * lanes);
    for (std::int64_t i = j; i < j + columns; ++i) {
      terms.fetch(i, c, kVectors * lanes);
      V a, b;
      terms(d, i, c, a, b);
      a0 = hn::Add(a0, a);
      ab0 = hn::MulAdd(a, b, ab0);
      terms(d, i, c + lanes, a, b);
      a1 = hn::Add(a1, a);
      ab1 = hn::MulAdd(a, b, ab1);
      terms(d, i, c + 2 * lanes, a, b);
      a2 = hn::Add(a2, a);
      ab2 = hn::MulAdd(a, b, ab2);
      terms(d, i, c + 3 * lanes, a, b);
      a3 = hn::Add(a3, a);
      ab3 = hn::MulAdd(a, b, ab3);
    }
    hn::StoreU(a0, d, to_a);
    hn::StoreU(a1, d, to_a + lanes);
    hn::StoreU(a2, d, to_a + 2 * lanes);
    hn::StoreU(a3, d, to_a + 3 * lanes);
    hn::StoreU(ab0, d, to_ab);
    hn::StoreU(ab1, d, to_ab + lanes);
    hn::StoreU(ab2, d, to_ab + 2 * lanes);
    hn::StoreU(ab3, d, to_ab + 3 * lanes);
  }
  // Copies: what the loop stores may be, as far as the compiler knows, what a reference refers to.
  ForVectors<double>(c, channels, [j, columns, sum_a, sum_ab, terms](auto narrow, std::int64_t at) {
    auto a_sum = hn::LoadU(narrow, sum_a + at), ab_sum = hn::LoadU(narrow, sum_ab + at);
    for (std::int64_t i = j; i < j + columns; ++i) {
      hn::Vec<decltype(narrow)> a, b;
      terms(narrow, i, at, a, b);
      a_sum = hn::Add(a_sum, a);
      ab_sum = hn::MulAdd(a, b, ab_sum);
    }
    hn::StoreU(a_sum, narrow, sum_a + at);
    hn::StoreU(ab_sum, narrow, sum_ab + at);
  });
}

// The sums over the positions [first, first + count).
template <class Terms>
HWY_INLINE void LeafColumnSums(const Runs& runs, std::int64_t first, std::int64_t count,
                               std::int64_t channels, double* sum_a, double* sum_ab,
                               const Terms& terms) {
  std::fill_n(sum_a, channels, 0.0);
  std::fill_n(sum_ab, channels, 0.0);
  const std::int64_t together = side_by_side(terms.x);
  const Run* run = runs.data + runs.at_position(first);
  for (std::int64_t skip = first - run->before; count > 0; ++run, skip = 0) {
    std::int64_t j = run->start + skip;
    const std::int64_t end = std::min(run->start + run->length, j + count);
    count -= end - j;
    for (; j < end; j += together) {
      SumColumns(j, std::min(together, end - j), channels, sum_a, sum_ab, terms);
    }
  }
}

// visit(first channel, channels, first position, positions, record) for the leaves of the positions
// [first, first + count), kSummed channels at a time.
template <class Visit>
HWY_INLINE void ForColumnLeaves(std::int64_t first, std::int64_t count, std::int64_t channels,
                                double* records, std::int64_t record, const Visit& visit) {
  for (std::int64_t at = 0; at < count; at += kColumnLeaf, records += record) {
    for (std::int64_t c = 0; c < channels; c += kSummed) {
      visit(c, std::min(kSummed, channels - c), first + at, std::min(kColumnLeaf, count - at),
            records + c);
    }
  }
}

// The terms x - mean and its square; weighted, w * (x - mean) and w * (x - mean)^2.
template <class T, bool kWeighted>
struct Differences {
  Columns<const T> x;
  const double* mean;
  const float* w;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t j, std::int64_t c, V& a, V& b) const {
    b = hn::Sub(load(d, x.base + j * x.column + c), hn::LoadU(d, mean + c));
    a = kWeighted ? hn::Mul(hn::Set(d, static_cast<double>(w[j])), b) : b;
  }
  HWY_INLINE void fetch(std::int64_t j, std::int64_t c, std::int64_t count) const {
    FetchChannels(x, j, c, count);
  }
};

// Sums around a pivot, which is in `mean`: moves it to the mean, and makes M2 of the squares;
// rounding alone could leave it below 0.
inline void CenterMoments(std::int64_t channels, double n, const double* sum, double* mean,
                          double* m2) {
  const auto center = [=](const auto& divided) {
    ForVectors<double>(0, channels, [=](auto d, std::int64_t c) {
      const auto s = hn::LoadU(d, sum + c), shift = divided(d, s);
      const auto squares = hn::Sub(hn::LoadU(d, m2 + c), hn::Mul(s, shift));
      hn::StoreU(hn::IfThenZeroElse(hn::Lt(squares, hn::Zero(d)), squares), d, m2 + c);
      hn::StoreU(hn::Add(hn::LoadU(d, mean + c), shift), d, mean + c);
    });
  };
  // A full leaf's number of columns is a power of two: the same result without a division.
  if (n == kColumnLeaf) {
    center([](auto d, auto s) { return hn::Mul(s, hn::Set(d, 1.0 / kColumnLeaf)); });
  } else {
    center([n](auto d, auto s) { return hn::Div(s, hn::Set(d, n)); });
  }
}

// The pivot is the mean of the leaf's first kPivotColumns, around the first one. With weights that
// may say nothing about the others: one pass more finds the pivot.
template <class T>
void ColumnMoments(const Columns<const T>& all, const Runs& runs, std::int64_t first,
                   std::int64_t count, std::int64_t channels, double* records, std::int64_t record,
                   std::int64_t to_m2) {
  ForColumnLeaves(
      first, count, channels, records, record,
      [&](std::int64_t c, std::int64_t width, std::int64_t position, std::int64_t size,
          double* mean) {
        const Columns<const T> x{all.base + c, all.column, all.ahead};
        const Run& run = runs.data[runs.at_position(position)];
        const T* const first_column = x.base + (run.start + position - run.before) * x.column;
        ForVectors<double>(0, width, [=](auto d, std::int64_t i) {
          hn::StoreU(load(d, first_column + i), d, mean + i);
        });
        double sum[kSummed];
        double* const m2 = mean + to_m2;
        if (runs.weights == nullptr) {
          for (const std::int64_t columns : {std::min(kPivotColumns<T>, size), size}) {
            if (columns == 1) continue;  // it is what the pivot is
            LeafColumnSums(runs, position, columns, width, sum, m2,
                           Differences<T, false>{x, mean, nullptr});
            CenterMoments(width, static_cast<double>(columns), sum, mean, m2);
          }
          if (size == 1) std::fill_n(m2, width, 0.0);
          return;
        }
        for (int pass = 0; pass < 2; ++pass) {
          LeafColumnSums(runs, position, size, width, sum, m2,
                         Differences<T, true>{x, mean, runs.weights});
          CenterMoments(width, runs.leaf_weights[position / kColumnLeaf], sum, mean, m2);
        }
      });
}

// A node of PairwiseMerge whose values are in memory, one or more a channel: the first of two nodes
// takes the merged ones.
struct MomentRecords {
  double* mean = nullptr;
  std::int64_t m2 = 0, channels = 0;  // M2 is so much further on than the mean
  double count = 0;
};
// As merge of Moments, neither count being 0.
inline MomentRecords merge(const MomentRecords& a, const MomentRecords& b) {
  if (b.mean == nullptr) return a;
  const double count = a.count + b.count, weight = b.count / count;
  const double between = a.count * weight;
  ForVectors<double>(0, a.channels, [=](auto d, std::int64_t c) {
    double* const to_mean = a.mean + c;
    double* const to_m2 = to_mean + a.m2;
    const auto mean = hn::LoadU(d, to_mean), delta = hn::Sub(hn::LoadU(d, b.mean + c), mean);
    const auto squares = hn::Add(hn::LoadU(d, to_m2), hn::LoadU(d, b.mean + b.m2 + c));
    const auto moved = hn::Mul(delta, hn::Mul(delta, hn::Set(d, between)));
    hn::StoreU(hn::Add(mean, hn::Mul(delta, hn::Set(d, weight))), d, to_mean);
    hn::StoreU(hn::Add(squares, moved), d, to_m2);
  });
  return {a.mean, a.m2, a.channels, count};
}

inline void MergeColumnMoments(double* records, std::int64_t record, std::int64_t m2,
                               const double* counts, std::int64_t nodes, std::int64_t channels,
                               double divisor, double* mean, double* squares) {
  PairwiseMerge<MomentRecords> tree;
  for (std::int64_t i = 0; i < nodes; ++i) {
    tree.push({records + i * record, m2, channels, counts[i]});
  }
  tree.total();
  ForVectors<double>(0, channels, [=](auto d, std::int64_t c) {
    hn::StoreU(hn::LoadU(d, records + c), d, mean + c);
    hn::StoreU(hn::Div(hn::LoadU(d, records + m2 + c), hn::Set(d, divisor)), d, squares + c);
  });
}

struct SumRecords {
  double* dy = nullptr;
  std::int64_t centered = 0, channels = 0;
};
inline SumRecords merge(const SumRecords& a, const SumRecords& b) {
  if (b.dy == nullptr) return a;
  const auto add = [&](double* to, const double* from) {
    ForVectors<double>(0, a.channels, [=](auto d, std::int64_t c) {
      hn::StoreU(hn::Add(hn::LoadU(d, to + c), hn::LoadU(d, from + c)), d, to + c);
    });
  };
  add(a.dy, b.dy);
  add(a.dy + a.centered, b.dy + b.centered);
  return a;
}

inline void MergeColumnGradientSums(double* records, std::int64_t record, std::int64_t centered,
                                    std::int64_t nodes, std::int64_t channels,
                                    const double* variance, double eps, double* dy,
                                    double* dy_times) {
  PairwiseMerge<SumRecords> tree;
  for (std::int64_t i = 0; i < nodes; ++i) tree.push({records + i * record, centered, channels});
  tree.total();
  ForVectors<double>(0, channels, [=](auto d, std::int64_t c) {
    auto times = hn::LoadU(d, records + centered + c);
    if (variance != nullptr) {
      times = hn::Mul(times, InverseDeviation(d, hn::LoadU(d, variance + c), eps));
    }
    hn::StoreU(hn::LoadU(d, records + c), d, dy + c);
    hn::StoreU(times, d, dy_times + c);
  });
}

// How a gate is undone, known when a loop is compiled.
enum class Gate { open, bits, forward };

// visit(kind) with kind() being the Gate.
template <class C, class Visit>
HWY_INLINE void with_column_gate(const ColumnGate<C>& gate, const Visit& visit) {
  if (gate.bits.base != nullptr) return visit(std::integral_constant<Gate, Gate::bits>());
  if (gate.forward != nullptr) return visit(std::integral_constant<Gate, Gate::forward>());
  visit(std::integral_constant<Gate, Gate::open>());
}

// The terms dy and dy * (x - mean), dy after the gate.
template <class T, Gate kGate>
struct GradientTerms {
  using C = NormParameter<T>;
  Columns<const T> x, dy;
  const double* mean;
  ChannelAffine<C> forward;
  ColumnBits bits;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t j, std::int64_t c, V& a, V& b) const {
    const hn::Rebind<C, D> dc;
    const auto value = load(dc, x.base + j * x.column + c);
    auto g = load(dc, dy.base + j * dy.column + c);
    if constexpr (kGate == Gate::bits) {
      g = through_bits(dc, g, bits.base + j * bits.column, c);
    } else if constexpr (kGate == Gate::forward) {
      g = through_relu(
          dc, value, g,
          Lanes<decltype(g)>{hn::LoadU(dc, forward.center + c), hn::LoadU(dc, forward.scale + c),
                             hn::LoadU(dc, forward.shift + c)});
    }
    a = to_double(d, g);
    b = hn::Sub(to_double(d, value), hn::LoadU(d, mean + c));
  }
  HWY_INLINE void fetch(std::int64_t j, std::int64_t c, std::int64_t count) const {
    FetchChannels(x, j, c, count);
    FetchChannels(dy, j, c, count);
  }
};

template <class T>
void ColumnGradientSums(const Columns<const T>& x, const Columns<const T>& dy, const Runs& runs,
                        std::int64_t first, std::int64_t count, std::int64_t channels,
                        const double* mean, const ColumnGate<NormParameter<T>>& gate,
                        double* records, std::int64_t record, std::int64_t centered) {
  using C = NormParameter<T>;
  with_column_gate(gate, [&](auto kind) {
    const ChannelAffine<C> k = gate.forward == nullptr ? ChannelAffine<C>{} : *gate.forward;
    ForColumnLeaves(first, count, channels, records, record,
                    [&](std::int64_t c, std::int64_t width, std::int64_t position,
                        std::int64_t size, double* sums) {
                      const Columns<const T> from{x.base + c, x.column, x.ahead},
                          incoming{dy.base + c, dy.column, dy.ahead};
                      const ColumnBits bits{
                          gate.bits.base == nullptr ? nullptr : gate.bits.base + c / 8,
                          gate.bits.column};
                      GradientTerms<T, kind()> terms{from, incoming, mean + c, {}, bits};
                      if constexpr (kind() == Gate::forward) {
                        terms.forward = {k.center + c, k.scale + c, k.shift + c};
                      }
                      LeafColumnSums(runs, position, size, width, sums, sums + centered, terms);
                    });
  });
}

inline constexpr std::int64_t kNarrowBytes = 512;
// Those of some neighbouring channels.
template <class V, std::size_t kCount>
struct CoefficientLanes {
  V of[kCount];
};
// kCount coefficients, one value of each a channel.
template <class C, std::size_t kCount>
struct Coefficients {
  const C* of[kCount];

  template <class D>
  HWY_INLINE CoefficientLanes<hn::Vec<D>, kCount> lanes(D d, std::int64_t c) const {
    CoefficientLanes<hn::Vec<D>, kCount> result;
    for (std::size_t i = 0; i < kCount; ++i) result.of[i] = hn::LoadU(d, of[i] + c);
    return result;
  }
};

// How output is written: into the caches; past them, to columns that all start at a whole vector;
// or past them wherever they start, which asks for values at any channel and for some of them
// twice.
enum class Store { cached, streamed, streamed_anywhere };

// out = value(d, column, channel, coefficients) for kColumns columns from j on.
template <std::int64_t kColumns, bool kStream, class T, class C, std::size_t kCount, class Value>
HWY_INLINE void MapColumns(const Columns<T>& out, std::int64_t j, std::int64_t channels,
                           const Coefficients<C, kCount>& k, const Value& value) {
  // Copies: what a loop stores may be, as far as the compiler knows, what a reference refers to.
  ForVectors<C>(0, channels, [out, j, k, value](auto d, std::int64_t c) {
    const auto lanes = k.lanes(d, c);
    HWY_UNROLL(8)
    for (std::int64_t i = 0; i < kColumns; ++i) {
      constexpr bool kWhole = hn::MaxLanes(d) == hn::MaxLanes(hn::ScalableTag<C>());
      store<kStream && kWhole>(value(d, j + i, c, lanes), d, out.base + (j + i) * out.column + c);
    }
  });
}
template <class T, class C, std::size_t kCount, class Value>
HWY_INLINE void MapColumns(const Columns<T>& out, std::int64_t begin, std::int64_t end,
                           std::int64_t channels, const Coefficients<C, kCount>& k, Store how,
                           const Value& value) {
  constexpr std::int64_t kTogether = 4;
  if (how == Store::streamed) {
    for (; begin < end; ++begin) MapColumns<1, true>(out, begin, channels, k, value);
  } else if (how == Store::streamed_anywhere) {
    for (; begin < end; ++begin) {
      ForRow(
          out.base + begin * out.column, channels, true,
          [begin, k, value](auto d, std::int64_t c) { return value(d, begin, c, k.lanes(d, c)); });
    }
  } else if (channels * static_cast<std::int64_t>(sizeof(T)) <= kNarrowBytes) {
    for (; begin + kTogether <= end; begin += kTogether) {
      MapColumns<kTogether, false>(out, begin, channels, k, value);
    }
  }
  for (; begin < end; ++begin) MapColumns<1, false>(out, begin, channels, k, value);
}

// map(begin, end) for the valid columns of a range, zero(column) for the others.
template <class Zero, class Map>
HWY_INLINE void ForColumns(const Runs& runs, const ColumnRange& range, const Zero& zero,
                           const Map& map) {
  std::size_t r = runs.at_column(range.begin);
  for (std::int64_t at = range.begin; at < range.end; ++r) {
    const std::int64_t from = r < runs.size ? std::min(runs.data[r].start, range.end) : range.end;
    for (; at < from; ++at) zero(at);
    if (at == range.end) return;
    const std::int64_t to = std::min(runs.data[r].start + runs.data[r].length, range.end);
    map(at, to);
    at = to;
  }
}

// Channels that lie in memory without a gap, and start anywhere: the coefficients, repeated until a
// whole number of vectors has been filled. With them, columns of any width are written in whole
// vectors, which are aligned if those from `head` on are.
template <class C, std::size_t kCount>
class Repeated {
 public:
  static constexpr std::int64_t kLanes = hn::MaxLanes(hn::ScalableTag<C>());
  static constexpr std::int64_t kLongest = 2048;

  static bool fits(std::int64_t channels) { return std::lcm(channels, kLanes) <= kLongest; }

  Repeated(const Coefficients<C, kCount>& k, std::int64_t channels)
      : period_(std::lcm(channels, kLanes)) {
    for (std::size_t i = 0; i < kCount; ++i) {
      for (std::int64_t at = 0; at < period_ + kLanes; at += channels) {
        std::copy_n(k.of[i], std::min(channels, period_ + kLanes - at), values_[i] + at);
      }
    }
  }
  std::int64_t period() const { return period_; }
  Coefficients<C, kCount> from(std::int64_t head) const {
    Coefficients<C, kCount> k;
    for (std::size_t i = 0; i < kCount; ++i) k.of[i] = values_[i] + head;
    return k;
  }

 private:
  std::int64_t period_;
  C values_[kCount][kLongest + kLanes];
};

// The values before the first aligned one, where a vector of T is.
template <class T>
std::int64_t unaligned_head(const T* out) {
  constexpr std::size_t bytes = hn::MaxLanes(hn::ScalableTag<NormParameter<T>>()) * sizeof(T);
  const std::size_t before = reinterpret_cast<std::uintptr_t>(out) % bytes;
  return static_cast<std::int64_t>((bytes - before) % bytes / sizeof(T));
}

// What a ColumnMap may do: tensors without gaps, of which a value needs nothing but its
// coefficients, are mapped as if they were one row; `anywhere`: values may be asked for as
// streamed_anywhere does.
struct Freedom {
  bool gapless = false;
  bool anywhere = true;
};

// out = value(d, column, channel, coefficients) for all channels of the valid columns of a range;
// value = make(shift, width) works on tensors whose values are all `shift` further on, in columns
// of `width` (0: their own).
template <class T, class C, std::size_t kCount, class Zero, class Make>
void ColumnMap(const Columns<T>& out, const Runs& runs, const ColumnRange& range,
               std::int64_t channels, const Coefficients<C, kCount>& k, const Freedom& freedom,
               const Zero& zero, const Make& make) {
  constexpr std::int64_t kLanes = Repeated<C, kCount>::kLanes;
  const bool aligned = unaligned_head(out.base) == 0 && out.column % kLanes == 0;
  if (freedom.gapless && (channels % kLanes != 0 || (range.stream && !aligned)) &&
      Repeated<C, kCount>::fits(channels)) {
    const Repeated<C, kCount> repeated(k, channels);
    const std::int64_t period = repeated.period();
    const Store how = range.stream ? Store::streamed : Store::cached;
    ForColumns(runs, range, zero, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * channels, size = (end - begin) * channels;
      const std::int64_t head = std::min(size, unaligned_head(out.base + first));
      const std::int64_t whole = (size - head) / period, rest = (size - head) % period;
      const auto part = [&](std::int64_t at, std::int64_t columns, std::int64_t width,
                            std::int64_t channel, Store how_here) {
        const Columns<T> to{out.base + first + at, width};
        MapColumns(to, 0, columns, width, repeated.from(channel), how_here,
                   make(first + at, width));
      };
      part(0, 1, head, 0, Store::cached);
      part(head, whole, period, head, how);
      part(head + whole * period, 1, rest, head, Store::cached);
    });
  } else {
    const auto value = make(0, 0);
    const Store how = !range.stream      ? Store::cached
                      : aligned          ? Store::streamed
                      : freedom.anywhere ? Store::streamed_anywhere
                                         : Store::cached;
    ForColumns(runs, range, zero, [&](std::int64_t begin, std::int64_t end) {
      MapColumns(out, begin, end, channels, k, how, value);
    });
  }
  if (range.stream) hwy::FlushStream();
}

// The same tensor, `shift` values further on and in columns of `width`; 0: as it is.
template <class T>
HWY_INLINE Columns<T> moved(const Columns<T>& tensor, std::int64_t shift, std::int64_t width) {
  if (width == 0 || tensor.base == nullptr) return tensor;
  return {tensor.base + shift, width, tensor.ahead};
}

template <class T>
void ColumnNormalize(const Columns<const T>& x, const Columns<const T>& residual,
                     const Columns<T>& y, const Runs& runs, const ColumnRange& range,
                     std::int64_t channels, const ChannelAffine<NormParameter<T>>& k,
                     bool with_relu, const ColumnBits& bits) {
  const Coefficients<NormParameter<T>, 3> all{{k.center, k.scale, k.shift}};
  const bool no_bits = bits.base == nullptr;  // they are written in whole bytes
  const Freedom freedom{x.column == channels && y.column == channels && no_bits &&
                            (residual.base == nullptr || residual.column == channels),
                        no_bits};
  const auto zero = [&](std::int64_t j) { std::fill_n(y.base + j * y.column, channels, T{}); };
  // finish(d, u, column, channel) makes y of u.
  const auto map = [&](const auto& finish) {
    if (residual.base == nullptr) {
      ColumnMap(y, runs, range, channels, all, freedom, zero, [&](auto shift, auto width) {
        const Columns<const T> from = moved(x, shift, width);
        return [from, finish](auto d, std::int64_t j, std::int64_t c, const auto& with) {
          FetchChannels(from, j, c, hn::MaxLanes(d));
          const auto centered = hn::Sub(load(d, from.base + j * from.column + c), with.of[0]);
          return finish(d, hn::MulAdd(centered, with.of[1], with.of[2]), j, c);
        };
      });
    } else {
      ColumnMap(y, runs, range, channels, all, freedom, zero, [&](auto shift, auto width) {
        const Columns<const T> from = moved(x, shift, width), add = moved(residual, shift, width);
        return [=](auto d, std::int64_t j, std::int64_t c, const auto& with) {
          FetchChannels(from, j, c, hn::MaxLanes(d));
          FetchChannels(add, j, c, hn::MaxLanes(d));
          const auto centered = hn::Sub(load(d, from.base + j * from.column + c), with.of[0]);
          const auto u = hn::MulAdd(centered, with.of[1], with.of[2]);
          return finish(d, hn::Add(u, load(d, add.base + j * add.column + c)), j, c);
        };
      });
    }
  };
  if (!with_relu) {
    map([](auto, auto u, std::int64_t, std::int64_t) { return u; });
  } else if (bits.base == nullptr) {
    map([](auto d, auto u, std::int64_t, std::int64_t) { return relu(d, u); });
  } else {
    map([bits](auto d, auto u, std::int64_t j, std::int64_t c) {
      put_relu_bits(d, u, bits.base + j * bits.column, c);
      return relu(d, u);
    });
  }
}

template <class T>
void ColumnInputGradient(const Columns<const T>& x, const Columns<const T>& dy,
                         const Columns<T>& dx, const Columns<T>& dresidual, const Runs& runs,
                         const ColumnRange& range, std::int64_t channels,
                         const ChannelGradient<NormParameter<T>>& k,
                         const ColumnGate<NormParameter<T>>& gate) {
  using C = NormParameter<T>;
  const float* const w = runs.weights;
  const Freedom freedom{x.column == channels && dy.column == channels && dx.column == channels &&
                        (dresidual.base == nullptr || dresidual.column == channels) &&
                        gate.bits.base == nullptr && w == nullptr};
  const auto zero = [&](std::int64_t j) {
    std::fill_n(dx.base + j * dx.column, channels, T{});
    if (dresidual.base != nullptr) {
      std::fill_n(dresidual.base + j * dresidual.column, channels, T{});
    }
  };
  with_column_gate(gate, [&](auto kind) {
    const auto make = [&](auto shift, auto width) {
      const Columns<const T> from = moved(x, shift, width), incoming = moved(dy, shift, width);
      const Columns<T> through = moved(dresidual, shift, width);
      return [=, bits = gate.bits](auto d, std::int64_t j, std::int64_t c, const auto& with) {
        FetchChannels(from, j, c, hn::MaxLanes(d));
        FetchChannels(incoming, j, c, hn::MaxLanes(d));
        const auto value = load(d, from.base + j * from.column + c);
        auto g = load(d, incoming.base + j * incoming.column + c);
        if constexpr (kind() == Gate::bits) {
          g = through_bits(d, g, bits.base + j * bits.column, c);
        } else if constexpr (kind() == Gate::forward) {
          g = through_relu(d, value, g, Lanes<decltype(g)>{with.of[4], with.of[5], with.of[6]});
        }
        if (through.base != nullptr) store(g, d, through.base + j * through.column + c);
        auto rest = hn::MulAdd(with.of[2], hn::Sub(value, with.of[0]), with.of[3]);
        if (w != nullptr) rest = hn::Mul(hn::Set(d, static_cast<C>(w[j])), rest);
        return hn::Mul(with.of[1], hn::Add(g, rest));
      };
    };
    if constexpr (kind() == Gate::forward) {
      const ChannelAffine<C>& f = *gate.forward;
      const Coefficients<C, 7> all{{k.center, k.a, k.b, k.c, f.center, f.scale, f.shift}};
      ColumnMap(dx, runs, range, channels, all, freedom, zero, make);
    } else {
      const Coefficients<C, 4> all{{k.center, k.a, k.b, k.c}};
      ColumnMap(dx, runs, range, channels, all, freedom, zero, make);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
