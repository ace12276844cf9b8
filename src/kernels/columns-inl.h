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
// Columns that are read side by side: what belongs to a channel is loaded once for all of them.
inline constexpr std::int64_t kSideBySide = 8;

// sum_a[c] += a, sum_ab[c] += a * b over kColumns columns from j on, one after the other.
// terms(d, column, channel, a, b) gives both as vectors of doubles.
template <std::int64_t kColumns, class Terms>
HWY_INLINE void SumColumns(std::int64_t j, std::int64_t channels, double* sum_a, double* sum_ab,
                           const Terms& terms) {
  // Copies: what the loop stores may be, as far as the compiler knows, what a reference refers to.
  ForVectors<double>(0, channels, [j, sum_a, sum_ab, terms](auto d, std::int64_t c) {
    auto a_sum = hn::LoadU(d, sum_a + c), ab_sum = hn::LoadU(d, sum_ab + c);
    HWY_UNROLL(8)
    for (std::int64_t i = 0; i < kColumns; ++i) {
      hn::Vec<decltype(d)> a, b;
      terms(d, j + i, c, a, b);
      a_sum = hn::Add(a_sum, a);
      ab_sum = hn::MulAdd(a, b, ab_sum);
    }
    hn::StoreU(a_sum, d, sum_a + c);
    hn::StoreU(ab_sum, d, sum_ab + c);
  });
}

// The sums over the positions [first, first + count).
template <class Terms>
HWY_INLINE void LeafColumnSums(const Runs& runs, std::int64_t first, std::int64_t count,
                               std::int64_t channels, double* sum_a, double* sum_ab,
                               const Terms& terms) {
  std::fill_n(sum_a, channels, 0.0);
  std::fill_n(sum_ab, channels, 0.0);
  const Run* run = runs.data + runs.at_position(first);
  for (std::int64_t skip = first - run->before; count > 0; ++run, skip = 0) {
    std::int64_t j = run->start + skip;
    const std::int64_t end = std::min(run->start + run->length, j + count);
    count -= end - j;
    for (; j + kSideBySide <= end; j += kSideBySide) {
      SumColumns<kSideBySide>(j, channels, sum_a, sum_ab, terms);
    }
    for (; j < end; ++j) SumColumns<1>(j, channels, sum_a, sum_ab, terms);
  }
}

// At most kSummed channels. The pivot is the mean of the leaf's first columns, found as a
// difference to the first of them: equal values give exactly themselves. With weights these columns
// may say nothing about the others: one pass more finds the pivot.
template <class T>
void SomeColumnMoments(const Columns<const T>& x, const Runs& runs, std::int64_t first,
                       std::int64_t count, std::int64_t channels, double* mean, double* m2) {
  double sum[kSummed];
  const auto difference = [x, mean](auto d, std::int64_t j, std::int64_t c) {
    return hn::Sub(load(d, x.base + j * x.column + c), hn::LoadU(d, mean + c));
  };
  const auto add = [&](std::int64_t n) {
    LeafColumnSums(runs, first, n, channels, sum, m2,
                   [difference](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
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
    LeafColumnSums(
        runs, first, count, channels, sum, m2,
        [difference, w = runs.weights](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
          b = difference(d, j, c);
          a = hn::Mul(hn::Set(d, static_cast<double>(w[j])), b);
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

// How a gate is undone, known when a loop is compiled.
enum class Gate { open, bits, forward };

// visit(kind) with kind() being the Gate.
template <class C, class Visit>
HWY_INLINE void with_column_gate(const ColumnGate<C>& gate, const Visit& visit) {
  if (gate.bits.base != nullptr) return visit(std::integral_constant<Gate, Gate::bits>());
  if (gate.forward != nullptr) return visit(std::integral_constant<Gate, Gate::forward>());
  visit(std::integral_constant<Gate, Gate::open>());
}

template <class T>
void ColumnGradientSums(const Columns<const T>& x, const Columns<const T>& dy, const Runs& runs,
                        std::int64_t first, std::int64_t count, std::int64_t channels,
                        const double* mean, const ColumnGate<NormParameter<T>>& gate,
                        double* sum_dy, double* sum_dy_centered) {
  using C = NormParameter<T>;
  with_column_gate(gate, [&](auto kind) {
    const ChannelAffine<C> k = kind() == Gate::forward ? *gate.forward : ChannelAffine<C>{};
    const auto terms = [=, bits = gate.bits](auto d, std::int64_t j, std::int64_t c, auto& a,
                                             auto& b) {
      const hn::Rebind<C, decltype(d)> dc;
      const auto value = load(dc, x.base + j * x.column + c);
      auto g = load(dc, dy.base + j * dy.column + c);
      if constexpr (kind() == Gate::bits) {
        g = through_bits(dc, g, bits.base + j * bits.column, c);
      } else if constexpr (kind() == Gate::forward) {
        g = through_relu(dc, value, g,
                         Lanes<decltype(g)>{hn::LoadU(dc, k.center + c), hn::LoadU(dc, k.scale + c),
                                            hn::LoadU(dc, k.shift + c)});
      }
      a = to_double(d, g);
      b = hn::Sub(to_double(d, value), hn::LoadU(d, mean + c));
    };
    LeafColumnSums(runs, first, count, channels, sum_dy, sum_dy_centered, terms);
  });
}

inline constexpr std::int64_t kNarrowBytes = 512;
// kCount coefficients, one value of each a channel.
template <class C, std::size_t kCount>
struct Coefficients {
  const C* of[kCount];
};
// Those of some neighbouring channels.
template <class V, std::size_t kCount>
struct CoefficientLanes {
  V of[kCount];
};

// out = value(d, column, channel, coefficients) for kColumns columns from j on.
template <std::int64_t kColumns, bool kStream, class T, class C, std::size_t kCount, class Value>
HWY_INLINE void MapColumns(const Columns<T>& out, std::int64_t j, std::int64_t channels,
                           const Coefficients<C, kCount>& k, const Value& value) {
  // Copies: what a loop stores may be, as far as the compiler knows, what a reference refers to.
  ForVectors<C>(0, channels, [out, j, k, value](auto d, std::int64_t c) {
    CoefficientLanes<hn::Vec<decltype(d)>, kCount> lanes;
    for (std::size_t i = 0; i < kCount; ++i) lanes.of[i] = hn::LoadU(d, k.of[i] + c);
    HWY_UNROLL(8)
    for (std::int64_t i = 0; i < kColumns; ++i) {
      constexpr bool kWhole = hn::MaxLanes(d) == hn::MaxLanes(hn::ScalableTag<C>());
      store<kStream && kWhole>(value(d, j + i, c, lanes), d, out.base + (j + i) * out.column + c);
    }
  });
}
template <bool kStream, class T, class C, std::size_t kCount, class Value>
HWY_INLINE void MapColumns(const Columns<T>& out, std::int64_t begin, std::int64_t end,
                           std::int64_t channels, const Coefficients<C, kCount>& k,
                           const Value& value) {
  constexpr std::int64_t kTogether = 4;
  if (!kStream && channels * static_cast<std::int64_t>(sizeof(T)) <= kNarrowBytes) {
    for (; begin + kTogether <= end; begin += kTogether) {
      MapColumns<kTogether, kStream>(out, begin, channels, k, value);
    }
  }
  for (; begin < end; ++begin) MapColumns<1, kStream>(out, begin, channels, k, value);
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

// out = value(d, column, channel, coefficients) for all channels of the valid columns of a range;
// value = make(shift) works on tensors whose values are all `shift` further on, in columns of
// `width` (0: their own). `gapless`: the tensors have no gaps, and a value needs nothing else.
template <class T, class C, std::size_t kCount, class Zero, class Make>
void ColumnMap(const Columns<T>& out, const Runs& runs, const ColumnRange& range,
               std::int64_t channels, const Coefficients<C, kCount>& k, bool gapless,
               const Zero& zero, const Make& make) {
  constexpr std::int64_t kLanes = Repeated<C, kCount>::kLanes;
  const bool aligned = unaligned_head(out.base) == 0 && out.column % kLanes == 0;
  const auto map = [&](const Columns<T>& to, std::int64_t begin, std::int64_t end,
                       std::int64_t width, const Coefficients<C, kCount>& with, const auto& value,
                       bool stream) {
    if (stream) {
      MapColumns<true>(to, begin, end, width, with, value);
    } else {
      MapColumns<false>(to, begin, end, width, with, value);
    }
  };
  if (gapless && (channels % kLanes != 0 || (range.stream && !aligned)) &&
      Repeated<C, kCount>::fits(channels)) {
    const Repeated<C, kCount> repeated(k, channels);
    const std::int64_t period = repeated.period();
    ForColumns(runs, range, zero, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * channels, size = (end - begin) * channels;
      const std::int64_t head = std::min(size, unaligned_head(out.base + first));
      const std::int64_t whole = (size - head) / period, rest = (size - head) % period;
      const auto part = [&](std::int64_t at, std::int64_t columns, std::int64_t width,
                            std::int64_t channel, bool stream) {
        const Columns<T> to{out.base + first + at, width};
        map(to, 0, columns, width, repeated.from(channel), make(first + at, width), stream);
      };
      part(0, 1, head, 0, false);
      part(head, whole, period, head, range.stream);
      part(head + whole * period, 1, rest, head, false);
    });
  } else {
    const auto value = make(0, 0);
    ForColumns(runs, range, zero, [&](std::int64_t begin, std::int64_t end) {
      map(out, begin, end, channels, k, value, range.stream && aligned);
    });
  }
  if (range.stream) hwy::FlushStream();
}

// The same tensor, `shift` values further on and in columns of `width`; 0: as it is.
template <class T>
HWY_INLINE Columns<T> moved(const Columns<T>& tensor, std::int64_t shift, std::int64_t width) {
  if (width == 0 || tensor.base == nullptr) return tensor;
  return {tensor.base + shift, width};
}

template <class T>
void ColumnNormalize(const Columns<const T>& x, const Columns<const T>& residual,
                     const Columns<T>& y, const Runs& runs, const ColumnRange& range,
                     std::int64_t channels, const ChannelAffine<NormParameter<T>>& k,
                     bool with_relu, const ColumnBits& bits) {
  const Coefficients<NormParameter<T>, 3> all{{k.center, k.scale, k.shift}};
  const bool gapless = x.column == channels && y.column == channels && bits.base == nullptr &&
                       (residual.base == nullptr || residual.column == channels);
  const auto zero = [&](std::int64_t j) { std::fill_n(y.base + j * y.column, channels, T{}); };
  // finish(d, u, column, channel) makes y of u.
  const auto map = [&](const auto& finish) {
    if (residual.base == nullptr) {
      ColumnMap(y, runs, range, channels, all, gapless, zero, [&](auto shift, auto width) {
        const Columns<const T> from = moved(x, shift, width);
        return [from, finish](auto d, std::int64_t j, std::int64_t c, const auto& with) {
          const auto centered = hn::Sub(load(d, from.base + j * from.column + c), with.of[0]);
          return finish(d, hn::MulAdd(centered, with.of[1], with.of[2]), j, c);
        };
      });
    } else {
      ColumnMap(y, runs, range, channels, all, gapless, zero, [&](auto shift, auto width) {
        const Columns<const T> from = moved(x, shift, width), add = moved(residual, shift, width);
        return [from, add, finish](auto d, std::int64_t j, std::int64_t c, const auto& with) {
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
  const bool gapless = x.column == channels && dy.column == channels && dx.column == channels &&
                       (dresidual.base == nullptr || dresidual.column == channels) &&
                       gate.bits.base == nullptr && w == nullptr;
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
      ColumnMap(dx, runs, range, channels, all, gapless, zero, make);
    } else {
      const Coefficients<C, 4> all{{k.center, k.a, k.b, k.c}};
      ColumnMap(dx, runs, range, channels, all, gapless, zero, make);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
