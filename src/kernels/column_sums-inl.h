// The sums of columns.hpp, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_COLUMN_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_COLUMN_SUMS_INL_H_
#undef EVENROW_KERNELS_COLUMN_SUMS_INL_H_
#else
#define EVENROW_KERNELS_COLUMN_SUMS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
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
// Over how many columns, before the next channels: fewer where long ones come from memory, because
// the processor follows few streams of it well.
template <class T>
std::int64_t side_by_side(const Columns<const T>& x) {
  constexpr std::int64_t kLong = 1024 / sizeof(T);
  return x.ahead != 0 && x.column >= kLong ? 8 : 16;
}

// sum_a[c] += a, sum_ab[c] += a * b over so many columns from j on, one after the other.
// terms(d, column, channel, a, b) gives both as vectors of A, terms.fetch(column, channel, count)
// asks for what is needed later.
template <class A, class Terms>
HWY_INLINE void SumColumns(std::int64_t j, std::int64_t columns, std::int64_t channels, A* sum_a,
                           A* sum_ab, const Terms& terms) {
  const hn::ScalableTag<A> d;
  using V = hn::Vec<decltype(d)>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  std::int64_t c = 0;
  for (; c + kVectors * lanes <= channels; c += kVectors * lanes) {
    A* const to_a = sum_a + c;
    A* const to_ab = sum_ab + c;
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
  ForVectors<A>(c, channels, [j, columns, sum_a, sum_ab, terms](auto narrow, std::int64_t at) {
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
template <class A, class Terms>
HWY_INLINE void LeafColumnSums(const Runs& runs, std::int64_t first, std::int64_t count,
                               std::int64_t channels, A* sum_a, A* sum_ab, const Terms& terms) {
  std::fill_n(sum_a, channels, A{0});
  std::fill_n(sum_ab, channels, A{0});
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

// Channels that are summed again where float is too narrow for one of them.
inline constexpr std::int64_t kGroup = 8;
template <class Terms>
HWY_NOINLINE void SumGroup(const Runs& runs, std::int64_t first, std::int64_t count,
                           std::int64_t channels, double* sum_a, double* sum_ab,
                           const Terms& terms) {
  LeafColumnSums(runs, first, count, channels, sum_a, sum_ab, terms);
}

// The same, taken in float, as doubles; lost(d, channel) is what a second factor lost when it was
// rounded to float. Channels for which float is too narrow are summed in double, by wide(channel):
// the terms from a channel on, a multiple of kGroup.
template <class Terms, class Lost, class Wide>
HWY_INLINE void LeafColumnSumsInFloat(const Runs& runs, std::int64_t first, std::int64_t count,
                                      std::int64_t channels, double* sum_a, double* sum_ab,
                                      const Terms& terms, const Lost& lost, const Wide& wide) {
  float a[kSummed], ab[kSummed];
  LeafColumnSums(runs, first, count, channels, a, ab, terms);
  ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
    auto a_here = load(d, a + c), ab_here = hn::MulAdd(a_here, lost(d, c), load(d, ab + c));
    const auto fits = fits_float(d, ab_here);
    if (!hn::AllTrue(d, fits)) {
      double wide_a[kGroup], wide_ab[kGroup];
      const std::int64_t group = c / kGroup * kGroup, in_group = c - group;
      SumGroup(runs, first, count, std::min(kGroup, channels - group), wide_a, wide_ab,
               wide(group));
      a_here = hn::IfThenElse(fits, a_here, hn::LoadU(d, wide_a + in_group));
      ab_here = hn::IfThenElse(fits, ab_here, hn::LoadU(d, wide_ab + in_group));
    }
    hn::StoreU(a_here, d, sum_a + c);
    hn::StoreU(ab_here, d, sum_ab + c);
  });
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
template <class T, class A, bool kWeighted = false>
struct ColumnDifferences {
  Columns<const T> x;
  const A* mean;
  const float* w = nullptr;

  template <class D, class V>
  HWY_INLINE void operator()(D d, std::int64_t j, std::int64_t c, V& a, V& b) const {
    b = hn::Sub(load(d, x.base + j * x.column + c), hn::LoadU(d, mean + c));
    a = kWeighted ? hn::Mul(hn::Set(d, static_cast<A>(w[j])), b) : b;
  }
  HWY_INLINE void fetch(std::int64_t j, std::int64_t c, std::int64_t count) const {
    FetchChannels(x, j, c, count);
  }
};

// Sums around a pivot, which is in `mean`: moves it to the mean, and makes M2 of the squares;
// rounding alone could leave it below 0.
inline void CenterMoments(std::int64_t channels, double n, const double* sum, double* mean,
                          double* m2) {
  with_divided_by(n, [=](const auto& divided) {
    ForVectors<double>(0, channels, [=](auto d, std::int64_t c) {
      const auto s = hn::LoadU(d, sum + c), shift = divided(d, s);
      const auto squares = hn::Sub(hn::LoadU(d, m2 + c), hn::Mul(s, shift));
      hn::StoreU(hn::IfThenZeroElse(hn::Lt(squares, hn::Zero(d)), squares), d, m2 + c);
      hn::StoreU(hn::Add(hn::LoadU(d, mean + c), shift), d, mean + c);
    });
  });
}

// The sums of x - pivot and of its square.
template <class T>
HWY_INLINE void SumDifferences(const Columns<const T>& x, const Runs& runs, std::int64_t first,
                               std::int64_t count, std::int64_t channels, const double* pivot,
                               double* sum, double* squares) {
  if constexpr (std::is_same_v<Sum<T>, float>) {
    // The pivot is a value of x: it loses nothing.
    float rounded[kSummed];
    round_to_float(pivot, rounded, channels);
    LeafColumnSumsInFloat(
        runs, first, count, channels, sum, squares, ColumnDifferences<T, float>{x, rounded},
        [](auto d, std::int64_t) { return hn::Zero(d); },
        [&](std::int64_t c) {
          return ColumnDifferences<T, double>{{x.base + c, x.column, x.ahead}, pivot + c};
        });
  } else {
    LeafColumnSums(runs, first, count, channels, sum, squares,
                   ColumnDifferences<T, double>{x, pivot});
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
            SumDifferences(x, runs, position, columns, width, mean, sum, m2);
            CenterMoments(width, static_cast<double>(columns), sum, mean, m2);
          }
          if (size == 1) std::fill_n(m2, width, 0.0);
          return;
        }
        for (int pass = 0; pass < 2; ++pass) {
          LeafColumnSums(runs, position, size, width, sum, m2,
                         ColumnDifferences<T, double, true>{x, mean, runs.weights});
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
  with_divided_by(divisor, [=](const auto& divided) {
    ForVectors<double>(0, channels, [=](auto d, std::int64_t c) {
      hn::StoreU(hn::LoadU(d, records + c), d, mean + c);
      hn::StoreU(divided(d, hn::LoadU(d, records + m2 + c)), d, squares + c);
    });
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
                                    std::int64_t nodes, std::int64_t channels, const double* rstd,
                                    double* dy, double* dy_times) {
  PairwiseMerge<SumRecords> tree;
  for (std::int64_t i = 0; i < nodes; ++i) tree.push({records + i * record, centered, channels});
  tree.total();
  ForVectors<double>(0, channels, [=](auto d, std::int64_t c) {
    auto times = hn::LoadU(d, records + centered + c);
    if (rstd != nullptr) times = hn::Mul(times, hn::LoadU(d, rstd + c));
    hn::StoreU(hn::LoadU(d, records + c), d, dy + c);
    hn::StoreU(times, d, dy_times + c);
  });
}

// The terms dy and dy * (x - mean), dy after the gate.
template <class T, class A, Gate kGate>
struct ColumnGradientTerms {
  using C = NormParameter<T>;
  Columns<const T> x, dy;
  const A* mean;
  ChannelAffine<C> forward;
  ColumnBits bits;

  ColumnGradientTerms(const Columns<const T>& all_x, const Columns<const T>& all_dy,
                      const ColumnGate<C>& gate, const A* means, std::int64_t c)
      : x{all_x.base + c, all_x.column, all_x.ahead},
        dy{all_dy.base + c, all_dy.column, all_dy.ahead},
        mean(means) {
    if constexpr (kGate == Gate::bits) bits = {gate.bits.base + c / 8, gate.bits.column};
    if constexpr (kGate == Gate::forward) {
      forward = gate.forward->from(c);
    }
  }

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
    a = widened(d, g);
    b = hn::Sub(widened(d, value), hn::LoadU(d, mean + c));
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
  with_gate(gate, [&](auto kind) {
    ForColumnLeaves(first, count, channels, records, record,
                    [&](std::int64_t c, std::int64_t width, std::int64_t position,
                        std::int64_t size, double* sums) {
                      const auto wide = [&](std::int64_t from) {
                        return ColumnGradientTerms<T, double, kind()>(x, dy, gate, mean + c + from,
                                                                      c + from);
                      };
                      if constexpr (std::is_same_v<Sum<T>, float>) {
                        float rounded[kSummed];
                        round_to_float(mean + c, rounded, width);
                        LeafColumnSumsInFloat(
                            runs, position, size, width, sums, sums + centered,
                            ColumnGradientTerms<T, float, kind()>(x, dy, gate, rounded, c),
                            [&](auto d, std::int64_t i) {
                              return hn::Sub(load(d, rounded + i), hn::LoadU(d, mean + c + i));
                            },
                            wide);
                      } else {
                        LeafColumnSums(runs, position, size, width, sums, sums + centered, wide(0));
                      }
                    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
