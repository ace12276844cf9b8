// The loops of columns.hpp that write a tensor, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_COLUMN_MAPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_COLUMN_MAPS_INL_H_
#undef EVENROW_KERNELS_COLUMN_MAPS_INL_H_
#else
#define EVENROW_KERNELS_COLUMN_MAPS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "kernels/columns.hpp"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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

// out = value(fetch, d, column, channel, coefficients) for kColumns columns from j on, channels
// [first, last); fetch() says whether memory is asked for ahead.
template <std::int64_t kColumns, bool kStream, bool kFetch, class T, class C, std::size_t kCount,
          class Value>
HWY_INLINE void MapColumns(const Columns<T>& out, std::int64_t j, std::int64_t first,
                           std::int64_t last, const Coefficients<C, kCount>& k,
                           const Value& value) {
  ForVectors<C>(first, last, [&](auto d, std::int64_t c) EVENROW_INLINE {
    const auto lanes = k.lanes(d, c);
    constexpr bool kWhole = hn::MaxLanes(d) == hn::MaxLanes(hn::ScalableTag<C>());
    // All are read before the first is stored: columns may be a multiple of 4 KiB apart, and a
    // processor takes such addresses for the same one at first.
    hn::Vec<decltype(d)> values[kColumns];
    HWY_UNROLL(8)
    for (std::int64_t i = 0; i < kColumns; ++i) {
      values[i] = value(std::bool_constant<kFetch>(), d, j + i, c, lanes);
    }
    HWY_UNROLL(8)
    for (std::int64_t i = 0; i < kColumns; ++i) {
      store<kStream && kWhole>(values[i], d, out.base + (j + i) * out.column + c);
    }
  });
}
// The same for columns [begin, end) and all channels: some columns at a time, so that coefficients
// are loaded once for these; what is in a cache also some channels at a time, so that they stay in
// L1. (Memory is read faster in its order.)
template <bool kStream, bool kFetch, class T, class C, std::size_t kCount, class Value>
HWY_INLINE void MapBlocks(const Columns<T>& out, std::int64_t begin, std::int64_t end,
                          std::int64_t channels, const Coefficients<C, kCount>& k,
                          const Value& value) {
  constexpr std::int64_t kTogether = 4;
  const std::int64_t block = kFetch ? channels : 1024;
  for (std::int64_t first = 0; first < channels; first += block) {
    const std::int64_t last = std::min(first + block, channels);
    std::int64_t j = begin;
    for (; j + kTogether <= end; j += kTogether) {
      MapColumns<kTogether, kStream, kFetch>(out, j, first, last, k, value);
    }
    for (; j < end; ++j) MapColumns<1, kStream, kFetch>(out, j, first, last, k, value);
  }
}
// Not inlined: its loops would be in each of its callers.
template <class T, class C, std::size_t kCount, class Value>
HWY_NOINLINE void MapColumns(const Columns<T>& to, std::int64_t begin, std::int64_t end,
                             std::int64_t channels, const Coefficients<C, kCount>& with, Store how,
                             bool fetch, const Value& of) {
  // Copies, once: what a loop stores may be, as far as the compiler knows, what a reference refers
  // to.
  const Columns<T> out = to;
  const Coefficients<C, kCount> k = with;
  const Value value = of;
  if (how == Store::streamed) return MapBlocks<true, true>(out, begin, end, channels, k, value);
  if (how == Store::cached && fetch) {
    return MapBlocks<false, true>(out, begin, end, channels, k, value);
  }
  if (how == Store::cached) return MapBlocks<false, false>(out, begin, end, channels, k, value);
  for (; begin < end; ++begin) {
    ForRow(out.base + begin * out.column, channels, true,
           [begin, k, value](auto d, std::int64_t c) {
             return value(std::true_type(), d, begin, c, k.lanes(d, c));
           });
  }
}

// 0 to columns [begin, end) of which nothing is valid: one row, where they lie without gaps.
template <class T>
void ZeroColumns(const Columns<T>& out, std::int64_t begin, std::int64_t end, std::int64_t channels,
                 bool stream) {
  if (out.column == channels) {
    return Zero(out.base + begin * channels, (end - begin) * channels, stream);
  }
  for (; begin < end; ++begin) Zero(out.base + begin * out.column, channels, stream);
}

// map(begin, end) for the valid columns of a range, zero(begin, end) for the others.
template <class Zero, class Map>
HWY_INLINE void ForColumns(const Runs& runs, const ColumnRange& range, const Zero& zero,
                           const Map& map) {
  std::size_t r = runs.at_column(range.begin);
  for (std::int64_t at = range.begin; at < range.end; ++r) {
    const std::int64_t from = r < runs.size ? std::min(runs.data[r].start, range.end) : range.end;
    if (at < from) zero(at, from);
    at = std::max(at, from);
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
// streamed_anywhere does; `fetch`: there is memory to ask for ahead.
struct Freedom {
  bool gapless = false;
  bool anywhere = true;
  bool fetch = false;
};

// out = value(fetch, d, column, channel, coefficients) for all channels of the valid columns of a
// range; value = make(shift, width) works on tensors whose values are all `shift` further on, in
// columns of `width` (0: their own).
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
        MapColumns(to, 0, columns, width, repeated.from(channel), how_here, freedom.fetch,
                   make(first + at, width));
      };
      if (head > 0) FetchToWrite(out.base + first);
      if (rest > 0) FetchToWrite(out.base + first + size - rest);
      part(head, whole, period, head, how);
      part(0, 1, head, 0, Store::cached);
      part(head + whole * period, 1, rest, head, Store::cached);
    });
  } else {
    const auto value = make(0, 0);
    const Store how = !range.stream      ? Store::cached
                      : aligned          ? Store::streamed
                      : freedom.anywhere ? Store::streamed_anywhere
                                         : Store::cached;
    ForColumns(runs, range, zero, [&](std::int64_t begin, std::int64_t end) {
      MapColumns(out, begin, end, channels, k, how, freedom.fetch, value);
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
                        no_bits, x.ahead != 0 || (residual.base != nullptr && residual.ahead != 0)};
  const auto zero = [&](std::int64_t begin, std::int64_t end) {
    ZeroColumns(y, begin, end, channels, range.stream);
  };
  // finish(d, u, column, channel) makes y of u.
  const auto map = [&](const auto& finish) {
    if (residual.base == nullptr) {
      ColumnMap(y, runs, range, channels, all, freedom, zero,
                [&](std::int64_t shift, std::int64_t width) {
                  const Columns<const T> from = moved(x, shift, width);
                  return [from, finish](auto fetch, auto d, std::int64_t j, std::int64_t c,
                                        const auto& with) EVENROW_INLINE {
                    if constexpr (fetch()) FetchChannels(from, j, c, hn::MaxLanes(d));
                    const auto centered =
                        hn::Sub(load(d, from.base + j * from.column + c), with.of[0]);
                    return finish(d, hn::MulAdd(centered, with.of[1], with.of[2]), j, c);
                  };
                });
    } else {
      ColumnMap(y, runs, range, channels, all, freedom, zero,
                [&](std::int64_t shift, std::int64_t width) {
                  const Columns<const T> from = moved(x, shift, width),
                                         add = moved(residual, shift, width);
                  return [=](auto fetch, auto d, std::int64_t j, std::int64_t c,
                             const auto& with) EVENROW_INLINE {
                    if constexpr (fetch()) {
                      FetchChannels(from, j, c, hn::MaxLanes(d));
                      FetchChannels(add, j, c, hn::MaxLanes(d));
                    }
                    const auto centered =
                        hn::Sub(load(d, from.base + j * from.column + c), with.of[0]);
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
                            gate.bits.base == nullptr && w == nullptr,
                        true, x.ahead != 0 || dy.ahead != 0};
  const auto zero = [&](std::int64_t begin, std::int64_t end) {
    ZeroColumns(dx, begin, end, channels, range.stream);
    if (dresidual.base != nullptr) {
      ZeroColumns(dresidual, begin, end, channels, range.stream);
    }
  };
  const auto map = [&](auto kind, auto plain) {
    const auto make = [&](std::int64_t shift, std::int64_t width) {
      const Columns<const T> from = moved(x, shift, width), incoming = moved(dy, shift, width);
      const Columns<T> through = moved(dresidual, shift, width);
      return
          [=, bits = gate.bits, stream = range.stream](
              auto fetch, auto d, std::int64_t j, std::int64_t c, const auto& with) EVENROW_INLINE {
            if constexpr (fetch()) {
              FetchChannels(from, j, c, hn::MaxLanes(d));
              FetchChannels(incoming, j, c, hn::MaxLanes(d));
            }
            const auto value = load(d, from.base + j * from.column + c);
            auto g = load(d, incoming.base + j * incoming.column + c);
            if constexpr (kind() == Gate::bits) {
              g = through_bits(d, g, bits.base + j * bits.column, c);
            } else if constexpr (kind() == Gate::forward) {
              g = through_relu(d, value, g, Lanes<decltype(g)>{with.of[4], with.of[5], with.of[6]});
            }
            auto rest = hn::MulAdd(with.of[2], hn::Sub(value, with.of[0]), with.of[3]);
            if constexpr (!plain()) {
              if (through.base != nullptr) {
                T* const to = through.base + j * through.column + c;
                constexpr bool kWhole = hn::MaxLanes(d) == hn::MaxLanes(hn::ScalableTag<C>());
                if (kWhole && stream && unaligned_head(to) == 0) {
                  store<true>(g, d, to);
                } else {
                  store(g, d, to);
                }
              }
              if (w != nullptr) rest = hn::Mul(hn::Set(d, static_cast<C>(w[j])), rest);
            }
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
  };
  with_gate(gate, [&](auto kind) {
    with_flag(dresidual.base == nullptr && w == nullptr, [&](auto plain) { map(kind, plain); });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
