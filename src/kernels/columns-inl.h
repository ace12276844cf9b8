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

#include "kernels/columns.hpp"
#include "kernels/lanes-inl.h"
#include "kernels/pairwise.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Columns a tile: few enough for a tile to be still in L1 when its next channels are read.
inline constexpr std::int64_t kTile = 16;
// Channels that are summed together: a tile of them, and their sums, stay in L1.
inline constexpr std::int64_t kSummed = 256;

// sum_a[c] += a, sum_ab[c] += a * b over a few columns, for whole vectors of at most kLimit
// channels from `at` on, then for the rest with narrower ones. terms(d, column, channel, a, b)
// gives both as vectors of doubles. Four vectors at a time hide the latency of the additions.
template <std::size_t kLimit, class Terms>
HWY_INLINE void TileSums(std::int64_t columns, std::int64_t at, std::int64_t channels,
                         double* sum_a, double* sum_ab, const Terms& terms) {
  const hn::CappedTag<double, kLimit> d;
  using V = hn::Vec<decltype(d)>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (; at + 4 * lanes <= channels; at += 4 * lanes) {
    double* const to_a = sum_a + at;
    double* const to_ab = sum_ab + at;
    V a0 = hn::LoadU(d, to_a), a1 = hn::LoadU(d, to_a + lanes);
    V a2 = hn::LoadU(d, to_a + 2 * lanes), a3 = hn::LoadU(d, to_a + 3 * lanes);
    V ab0 = hn::LoadU(d, to_ab), ab1 = hn::LoadU(d, to_ab + lanes);
    V ab2 = hn::LoadU(d, to_ab + 2 * lanes), ab3 = hn::LoadU(d, to_ab + 3 * lanes);
    for (std::int64_t j = 0; j < columns; ++j) {
      V a, b;
      terms(d, j, at, a, b);
      a0 = hn::Add(a0, a);
      ab0 = hn::MulAdd(a, b, ab0);
      terms(d, j, at + lanes, a, b);
      a1 = hn::Add(a1, a);
      ab1 = hn::MulAdd(a, b, ab1);
      terms(d, j, at + 2 * lanes, a, b);
      a2 = hn::Add(a2, a);
      ab2 = hn::MulAdd(a, b, ab2);
      terms(d, j, at + 3 * lanes, a, b);
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
  for (; at + lanes <= channels; at += lanes) {
    V a_sum = hn::LoadU(d, sum_a + at);
    V ab_sum = hn::LoadU(d, sum_ab + at);
    for (std::int64_t j = 0; j < columns; ++j) {
      V a, b;
      terms(d, j, at, a, b);
      a_sum = hn::Add(a_sum, a);
      ab_sum = hn::MulAdd(a, b, ab_sum);
    }
    hn::StoreU(a_sum, d, sum_a + at);
    hn::StoreU(ab_sum, d, sum_ab + at);
  }
  if constexpr (lanes > 1) {
    TileSums<static_cast<std::size_t>(lanes / 2)>(columns, at, channels, sum_a, sum_ab, terms);
  }
}

// visit(first column, columns, first channel, channels) for the positions [first, first + count),
// in tiles.
template <class Visit>
HWY_INLINE void ForTiles(const Runs& runs, std::int64_t first, std::int64_t count,
                         const Visit& visit) {
  const Run* run = runs.data + runs.at_position(first);
  for (std::int64_t skip = first - run->before; count > 0; ++run, skip = 0) {
    const std::int64_t end = run->start + std::min(run->length, skip + count);
    count -= end - run->start - skip;
    for (std::int64_t j = run->start + skip; j < end; j += kTile) {
      visit(j, std::min(kTile, end - j));
    }
  }
}

template <class Terms>
HWY_INLINE void LeafColumnSums(const Runs& runs, std::int64_t first, std::int64_t count,
                               std::int64_t channels, double* sum_a, double* sum_ab,
                               const Terms& terms) {
  std::fill_n(sum_a, channels, 0.0);
  std::fill_n(sum_ab, channels, 0.0);
  ForTiles(runs, first, count, [&](std::int64_t from, std::int64_t columns) {
    TileSums<hn::MaxLanes(hn::ScalableTag<double>())>(
        columns, 0, channels, sum_a, sum_ab,
        [&terms, from](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
          terms(d, from + j, c, a, b);
        });
  });
}

// At most kSummed channels. The pivot is the mean of the leaf's first columns, found as a
// difference to the first of them: equal values give exactly themselves. With weights these columns
// may say nothing about the others: one pass more finds the pivot.
template <class T>
void SomeColumnMoments(const Columns<const T>& x, const Runs& runs, std::int64_t first,
                       std::int64_t count, std::int64_t channels, double* mean, double* m2) {
  double sum[kSummed];
  const auto difference = [&x, mean](auto d, std::int64_t j, std::int64_t c) {
    return hn::Sub(load(d, x.base + j * x.column + c), hn::LoadU(d, mean + c));
  };
  const auto add = [&](std::int64_t n) {
    LeafColumnSums(runs, first, n, channels, sum, m2,
                   [&](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
                     a = difference(d, j, c);
                     b = a;
                   });
  };
  // Moves the pivot to the mean, and makes M2 of the sums around the pivot; rounding alone could
  // leave it below 0.
  const auto center = [&](double n) {
    ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
      const auto s = hn::LoadU(d, sum + c), shift = hn::Div(s, hn::Set(d, n));
      const auto squares = hn::Sub(hn::LoadU(d, m2 + c), hn::Mul(s, shift));
      hn::StoreU(hn::IfThenZeroElse(hn::Lt(squares, hn::Zero(d)), squares), d, m2 + c);
      hn::StoreU(hn::Add(hn::LoadU(d, mean + c), shift), d, mean + c);
    });
  };
  const Run& run = runs.data[runs.at_position(first)];
  const T* const first_column = x.base + (run.start + first - run.before) * x.column;
  ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
    hn::StoreU(load(d, first_column + c), d, mean + c);
  });
  const std::int64_t pivots = std::min(kPivotColumns, count);
  add(pivots);
  center(static_cast<double>(pivots));
  if (runs.weights == nullptr) {
    add(count);
    return center(static_cast<double>(count));
  }
  for (int pass = 0; pass < 2; ++pass) {
    LeafColumnSums(runs, first, count, channels, sum, m2,
                   [&](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
                     b = difference(d, j, c);
                     a = hn::Mul(hn::Set(d, static_cast<double>(runs.weights[j])), b);
                   });
    center(runs.leaf_weights[first / kColumnLeaf]);
  }
}

template <class T>
void ColumnMoments(const Columns<const T>& x, const Runs& runs, std::int64_t first,
                   std::int64_t count, std::int64_t channels, double* mean, double* m2) {
  for (std::int64_t c = 0; c < channels; c += kSummed) {
    SomeColumnMoments<T>({x.base + c, x.column}, runs, first, count,
                         std::min(kSummed, channels - c), mean + c, m2 + c);
  }
}

// Nodes of PairwiseMerge, which is compiled for no target, for several channels: in memory.
template <std::size_t kLanes>
struct LaneMoments {
  double count = 0;
  double mean[kLanes];
  double m2[kLanes];
};
// As merge of Moments.
template <std::size_t kLanes>
LaneMoments<kLanes> merge(const LaneMoments<kLanes>& a, const LaneMoments<kLanes>& b) {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  const hn::CappedTag<double, kLanes> d;
  const double count = a.count + b.count, weight = b.count / count;
  const auto mean = hn::LoadU(d, a.mean), delta = hn::Sub(hn::LoadU(d, b.mean), mean);
  const auto between = hn::Mul(delta, hn::Mul(delta, hn::Set(d, a.count * weight)));
  LaneMoments<kLanes> sum;
  sum.count = count;
  hn::StoreU(hn::Add(mean, hn::Mul(delta, hn::Set(d, weight))), d, sum.mean);
  hn::StoreU(hn::Add(hn::Add(hn::LoadU(d, a.m2), hn::LoadU(d, b.m2)), between), d, sum.m2);
  return sum;
}

inline void MergeColumnMoments(const double* records, std::int64_t record, std::int64_t m2,
                               const double* counts, std::int64_t leaves, std::int64_t channels,
                               double* mean, double* variance) {
  ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
    using Node = LaneMoments<hn::MaxLanes(d)>;
    PairwiseMerge<Node> tree;
    Node total;
    for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
      const double* const at = records + leaf * record + c;
      total.count = counts[leaf];
      hn::StoreU(hn::LoadU(d, at), d, total.mean);
      hn::StoreU(hn::LoadU(d, at + m2), d, total.m2);
      if (leaves > 1) tree.push(total);
    }
    if (leaves > 1) total = tree.total();
    hn::StoreU(hn::LoadU(d, total.mean), d, mean + c);
    hn::StoreU(hn::Div(hn::LoadU(d, total.m2), hn::Set(d, total.count)), d, variance + c);
  });
}

template <std::size_t kLanes>
struct LaneSums {
  bool any = false;
  double dy[kLanes];
  double dy_xhat[kLanes];
};
template <std::size_t kLanes>
LaneSums<kLanes> merge(const LaneSums<kLanes>& a, const LaneSums<kLanes>& b) {
  if (!b.any) return a;
  const hn::CappedTag<double, kLanes> d;
  LaneSums<kLanes> sum;
  sum.any = true;
  hn::StoreU(hn::Add(hn::LoadU(d, a.dy), hn::LoadU(d, b.dy)), d, sum.dy);
  hn::StoreU(hn::Add(hn::LoadU(d, a.dy_xhat), hn::LoadU(d, b.dy_xhat)), d, sum.dy_xhat);
  return sum;
}

inline void MergeColumnGradientSums(const double* records, std::int64_t record,
                                    std::int64_t centered, std::int64_t leaves,
                                    std::int64_t channels, const double* variance, double eps,
                                    double* dbeta, double* dgamma) {
  ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
    using Node = LaneSums<hn::MaxLanes(d)>;
    const auto rstd = InverseDeviation(d, hn::LoadU(d, variance + c), eps);
    PairwiseMerge<Node> tree;
    Node total;
    for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
      const double* const at = records + leaf * record + c;
      total.any = true;
      hn::StoreU(hn::LoadU(d, at), d, total.dy);
      hn::StoreU(hn::Mul(hn::LoadU(d, at + centered), rstd), d, total.dy_xhat);
      if (leaves > 1) tree.push(total);
    }
    if (leaves > 1) total = tree.total();
    hn::StoreU(hn::LoadU(d, total.dy), d, dbeta + c);
    hn::StoreU(hn::LoadU(d, total.dy_xhat), d, dgamma + c);
  });
}

template <class D, class C>
HWY_INLINE Lanes<hn::Vec<D>> load_affine(D d, const ChannelAffine<C>& k, std::int64_t c) {
  return {hn::LoadU(d, k.center + c), hn::LoadU(d, k.scale + c), hn::LoadU(d, k.shift + c)};
}

// visit(gate) with gate(d, channel) giving a function of (d, column, x, dy), which is what the gate
// lets through of dy.
template <class C, class Visit>
HWY_INLINE void with_column_gate(const ColumnGate<C>& gate, const Visit& visit) {
  if (gate.bits.base != nullptr) {
    visit([bits = gate.bits](auto, std::int64_t c) {
      return [bits, c](auto d, std::int64_t j, auto, auto dy) {
        return through_bits(d, dy, bits.base + j * bits.column, c);
      };
    });
  } else if (gate.forward != nullptr) {
    visit([k = *gate.forward](auto vector, std::int64_t c) {
      return [k = load_affine(vector, k, c)](auto d, std::int64_t, auto x, auto dy) {
        return through_relu(d, x, dy, k);
      };
    });
  } else {
    visit([](auto, std::int64_t) { return [](auto, std::int64_t, auto, auto dy) { return dy; }; });
  }
}

template <class T>
void ColumnGradientSums(const Columns<const T>& x, const Columns<const T>& dy, const Runs& runs,
                        std::int64_t first, std::int64_t count, std::int64_t channels,
                        const double* mean, const ColumnGate<NormParameter<T>>& gate,
                        double* sum_dy, double* sum_dy_centered) {
  using C = NormParameter<T>;
  with_column_gate<C>(gate, [&](auto gated) {
    for (std::int64_t at = 0; at < channels; at += kSummed) {
      LeafColumnSums(runs, first, count, std::min(kSummed, channels - at), sum_dy + at,
                     sum_dy_centered + at,
                     [&](auto d, std::int64_t j, std::int64_t channel, auto& a, auto& b) {
                       const hn::Rebind<C, decltype(d)> dc;
                       const std::int64_t c = at + channel;
                       const auto value = load(dc, x.base + j * x.column + c);
                       const auto g = load(dc, dy.base + j * dy.column + c);
                       a = to_double(d, gated(dc, c)(dc, j, value, g));
                       b = hn::Sub(to_double(d, value), hn::LoadU(d, mean + c));
                     });
    }
  });
}

// value(column, k) to `out` for all columns of a tile, with k = prepare(d, channel) kept in
// registers, four vectors at a time.
template <bool kStream, class T, class Prepare, class Value>
HWY_INLINE void TileMap(const Columns<T>& out, std::int64_t first, std::int64_t columns,
                        std::int64_t channels, const Prepare& prepare, const Value& value) {
  using C = NormParameter<T>;
  const hn::ScalableTag<C> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  std::int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes) {
    const auto k0 = prepare(d, c), k1 = prepare(d, c + lanes);
    const auto k2 = prepare(d, c + 2 * lanes), k3 = prepare(d, c + 3 * lanes);
    for (std::int64_t j = first; j < first + columns; ++j) {
      T* const to = out.base + j * out.column + c;
      store<kStream>(value(d, j, c, k0), d, to);
      store<kStream>(value(d, j, c + lanes, k1), d, to + lanes);
      store<kStream>(value(d, j, c + 2 * lanes, k2), d, to + 2 * lanes);
      store<kStream>(value(d, j, c + 3 * lanes, k3), d, to + 3 * lanes);
    }
  }
  ForVectors<C>(c, channels, [&](auto narrow, std::int64_t at) {
    const auto k = prepare(narrow, at);
    for (std::int64_t j = first; j < first + columns; ++j) {
      store(value(narrow, j, at, k), narrow, out.base + j * out.column + at);
    }
  });
}

// TileMap over the valid columns of a range; zero(column) for the others. Past the caches only
// where every vector of `out` is aligned.
template <class T, class Zero, class Prepare, class Value>
void ColumnMap(const Columns<T>& out, const Runs& runs, const ColumnRange& range,
               std::int64_t channels, const Zero& zero, const Prepare& prepare,
               const Value& value) {
  constexpr std::size_t bytes = hn::MaxLanes(hn::ScalableTag<NormParameter<T>>()) * sizeof(T);
  const bool stream = range.stream && reinterpret_cast<std::uintptr_t>(out.base) % bytes == 0 &&
                      static_cast<std::size_t>(out.column) * sizeof(T) % bytes == 0;
  std::size_t r = runs.at_column(range.begin);
  for (std::int64_t at = range.begin; at < range.end;) {
    const std::int64_t from = r < runs.size ? std::min(runs.data[r].start, range.end) : range.end;
    for (; at < from; ++at) zero(at);
    if (at == range.end) break;
    const std::int64_t to = std::min(runs.data[r].start + runs.data[r].length, range.end);
    for (; at < to; at += kTile) {
      const std::int64_t columns = std::min(kTile, to - at);
      if (stream) {
        TileMap<true>(out, at, columns, channels, prepare, value);
      } else {
        TileMap<false>(out, at, columns, channels, prepare, value);
      }
    }
    at = to;
    ++r;
  }
  if (stream) hwy::FlushStream();
}

template <class T>
void ColumnNormalize(const Columns<const T>& x, const Columns<const T>& residual,
                     const Columns<T>& y, const Runs& runs, const ColumnRange& range,
                     std::int64_t channels, const ChannelAffine<NormParameter<T>>& k,
                     bool with_relu, const ColumnBits& bits) {
  const auto map = [&](const auto& value) {
    ColumnMap(
        y, runs, range, channels,
        [&](std::int64_t j) { std::fill_n(y.base + j * y.column, channels, T{}); },
        [&k](auto d, std::int64_t c) { return load_affine(d, k, c); }, value);
  };
  const auto u = [x](auto d, std::int64_t j, std::int64_t c, const auto& with) {
    return apply(load(d, x.base + j * x.column + c), with);
  };
  const auto sum = [u, residual](auto d, std::int64_t j, std::int64_t c, const auto& with) {
    return hn::Add(u(d, j, c, with), load(d, residual.base + j * residual.column + c));
  };
  if (residual.base == nullptr) {
    if (!with_relu) return map(u);
    return map([u](auto d, std::int64_t j, std::int64_t c, const auto& with) {
      return relu(d, u(d, j, c, with));
    });
  }
  if (!with_relu) return map(sum);
  map([sum, bits](auto d, std::int64_t j, std::int64_t c, const auto& with) {
    const auto value = sum(d, j, c, with);
    if (bits.base != nullptr) put_relu_bits(d, value, bits.base + j * bits.column, c);
    return relu(d, value);
  });
}

template <class V>
struct GradientLanes {
  V center, a, b, c;
};
template <class V, class Gated>
struct GatedGradient {
  GradientLanes<V> k;
  Gated gated;
};

template <class T>
void ColumnInputGradient(const Columns<const T>& x, const Columns<const T>& dy,
                         const Columns<T>& dx, const Columns<T>& dresidual, const Runs& runs,
                         const ColumnRange& range, std::int64_t channels,
                         const ChannelGradient<NormParameter<T>>& k,
                         const ColumnGate<NormParameter<T>>& gate) {
  using C = NormParameter<T>;
  const float* const w = runs.weights;
  with_column_gate<C>(gate, [&](auto gated) {
    ColumnMap(
        dx, runs, range, channels,
        [&](std::int64_t j) {
          std::fill_n(dx.base + j * dx.column, channels, T{});
          if (dresidual.base != nullptr) {
            std::fill_n(dresidual.base + j * dresidual.column, channels, T{});
          }
        },
        [&](auto d, std::int64_t c) {
          using V = hn::Vec<decltype(d)>;
          const GradientLanes<V> lanes{hn::LoadU(d, k.center + c), hn::LoadU(d, k.a + c),
                                       hn::LoadU(d, k.b + c), hn::LoadU(d, k.c + c)};
          return GatedGradient<V, decltype(gated(d, c))>{lanes, gated(d, c)};
        },
        [&](auto d, std::int64_t j, std::int64_t c, const auto& with) {
          const auto value = load(d, x.base + j * x.column + c);
          const auto g = with.gated(d, j, value, load(d, dy.base + j * dy.column + c));
          if (dresidual.base != nullptr) store(g, d, dresidual.base + j * dresidual.column + c);
          auto rest = hn::MulAdd(with.k.b, hn::Sub(value, with.k.center), with.k.c);
          if (w != nullptr) rest = hn::Mul(hn::Set(d, static_cast<C>(w[j])), rest);
          return hn::Mul(with.k.a, hn::Add(g, rest));
        });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
