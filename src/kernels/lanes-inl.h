// What the loops over rows and over channels share, compiled once for every SIMD target: loads and
// stores of every element type, relu and its bits, one row from end to end.
#if defined(EVENROW_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_LANES_INL_H_
#undef EVENROW_KERNELS_LANES_INL_H_
#else
#define EVENROW_KERNELS_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "evenrow/half.hpp"
#include "kernels/columns.hpp"
#include "kernels/rows.hpp"

// For lambdas that compute one vector: GCC leaves the larger ones in functions of their own, which
// made a loop twice as slow.
#ifndef EVENROW_INLINE
#define EVENROW_INLINE __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Whether this target converts float16 itself. Where it does not, values are converted one by one.
inline constexpr bool kConvertsFloat16 = HWY_TARGET <= HWY_AVX2;

template <class D>
HWY_INLINE hn::Vec<D> load_half(D d, const bfloat16* p) {
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::RebindToUnsigned<D> d32;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}
template <class D>
HWY_INLINE hn::Vec<D> load_half(D d, const float16* p) {
  if constexpr (kConvertsFloat16) {
    const hn::Rebind<hwy::float16_t, D> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
  } else {
    HWY_ALIGN float values[hn::MaxLanes(D())];
    for (std::size_t i = 0; i < hn::MaxLanes(D()); ++i) values[i] = static_cast<float>(p[i]);
    return hn::Load(d, values);
  }
}

// Values of any type as floats or doubles: exact.
template <class D, class T>
HWY_INLINE hn::Vec<D> load([[maybe_unused]] D d, const T* p) {
  if constexpr (std::is_same_v<T, hn::TFromD<D>>) {
    return hn::LoadU(d, p);
  } else if constexpr (std::is_same_v<hn::TFromD<D>, double>) {
    return hn::PromoteTo(d, load(hn::Rebind<float, D>(), p));
  } else {
    return load_half(d, p);
  }
}
// Computed values as floats or doubles: exact.
template <class D, class V>
HWY_INLINE hn::Vec<D> widened([[maybe_unused]] D d, V v) {
  if constexpr (std::is_same_v<V, hn::Vec<D>>) {
    return v;
  } else {
    return hn::PromoteTo(d, v);
  }
}

// The upper 16 bits of each lane.
template <class D>
HWY_INLINE auto upper_halves([[maybe_unused]] D d32, hn::Vec<D> v) {
#if HWY_TARGET == HWY_AVX3  // in one instruction, which Highway has no operation for
  if constexpr (hn::MaxLanes(d32) == 16) {
    HWY_ALIGN static constexpr std::uint16_t kOdd[32] = {1,  3,  5,  7,  9,  11, 13, 15,
                                                         17, 19, 21, 23, 25, 27, 29, 31};
    const hn::Repartition<std::uint16_t, D> d16;
    const hn::Vec<decltype(d16)> halves{_mm512_permutexvar_epi16(hn::Load(d16, kOdd).raw, v.raw)};
    return hn::LowerHalf(hn::Half<decltype(d16)>(), halves);
  }
#endif
  const auto shifted = hn::BitCast(hn::RebindToSigned<D>(), hn::ShiftRight<16>(v));
  return hn::DemoteTo(hn::Rebind<std::uint16_t, D>(), shifted);
}

// Rounded to the nearest, ties to even.
template <class D>
HWY_INLINE auto to_bfloat16([[maybe_unused]] D d, hn::Vec<D> v) {
  const hn::RebindToUnsigned<D> d32;
  const auto bits = hn::BitCast(d32, v);
  const auto odd = hn::TestBit(bits, hn::Set(d32, 0x10000u));
  const auto half = hn::IfThenElse(odd, hn::Set(d32, 0x8000u), hn::Set(d32, 0x7fffu));
  const auto quiet = hn::Or(bits, hn::Set(d32, 0x400000u));
  const auto is_nan = hn::RebindMask(d32, hn::IsNaN(v));
  return upper_halves(d32, hn::IfThenElse(is_nan, quiet, hn::Add(bits, half)));
}

// Computed values to memory. `kStream`: past the caches, to an address that is a multiple of the
// vector's size.
template <bool kStream = false, class D, class T>
HWY_INLINE void store(hn::Vec<D> v, D d, T* p) {
  if constexpr (std::is_same_v<T, hn::TFromD<D>>) {
    if constexpr (kStream) {
      hn::Stream(v, d, p);
    } else {
      hn::StoreU(v, d, p);
    }
  } else if constexpr (std::is_same_v<T, bfloat16> || kConvertsFloat16) {
    const hn::Rebind<std::uint16_t, D> d16;
    const auto half = [&] {
      if constexpr (std::is_same_v<T, bfloat16>) {
        return to_bfloat16(d, v);
      } else {
        const hn::Rebind<hwy::float16_t, D> d_half;
        return hn::BitCast(d16, hn::DemoteTo(d_half, v));
      }
    }();
    // Highway streams no less than 16 bytes, even of a shorter vector.
    if constexpr (kStream && hn::MaxLanes(d16) * sizeof(T) >= 16) {
      hn::Stream(half, d16, reinterpret_cast<std::uint16_t*>(p));
    } else {
      hn::StoreU(half, d16, reinterpret_cast<std::uint16_t*>(p));
    }
  } else {
    HWY_ALIGN float values[hn::MaxLanes(D())];
    hn::Store(v, d, values);
    for (std::size_t i = 0; i < hn::MaxLanes(D()); ++i) p[i] = float16(values[i]);
  }
}

// What the sums of a leaf are taken in; values of 16 bits leave a float digits enough
// (docs/numerics.md).
template <class T>
using Sum = std::conditional_t<sizeof(T) == 2, float, double>;
// Whether it was wide enough: neither has a term overflowed, nor has what terms lost by being too
// small counted. (False for a sum of 0, and for NaN.)
template <class D>
HWY_INLINE hn::Mask<D> fits_float(D d, hn::Vec<D> sum_of_products) {
  const auto size = hn::Abs(sum_of_products);
  return hn::And(hn::Ge(size, hn::Set(d, 0x1p-100)), hn::Le(size, hn::Set(d, 0x1p120)));
}

// Asks for the lines of memory of `count` values that begin `ahead` values behind p, wherever that
// is, into L2: some streams, each some KiB ahead, are all that L1 has room for. (hwy::Prefetch is
// dropped by GCC where a function does nothing else.)
template <class T>
HWY_INLINE void FetchLines(const T* p, std::int64_t ahead, std::int64_t count) {
  constexpr std::uintptr_t kLine = 64;
  const auto begin =
      reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead) * sizeof(T);
  const std::uintptr_t bytes = static_cast<std::uintptr_t>(count) * sizeof(T);
  for (std::uintptr_t at = 0; at < bytes; at += kLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(begin + at), 0, 2);
  }
}

// Asks for channels [c, c + count) of column j, so many values further on.
template <class T>
HWY_INLINE void FetchChannels(const Columns<const T>& x, std::int64_t j, std::int64_t c,
                              std::int64_t count) {
  if (x.ahead != 0) FetchLines(x.base + (j * x.column + c), x.ahead, count);
}

// Asks for a line that is written in part, before those that go past the caches: stores are done in
// their order, and one that waited for its line would hold them up.
template <class T>
HWY_INLINE void FetchToWrite(const T* p) {
  __builtin_prefetch(p, 1, 3);
}

// visit(divided), divided(d, v) being v / n. The inverse of a power of two is exact: times it is
// the same, and sooner done.
template <class Visit>
HWY_INLINE void with_divided_by(double n, const Visit& visit) {
  int exponent;
  if (std::frexp(n, &exponent) == 0.5 && std::abs(exponent) < 1000) {
    return visit([inverse = 1.0 / n](auto d, auto v) { return hn::Mul(v, hn::Set(d, inverse)); });
  }
  visit([n](auto d, auto v) { return hn::Div(v, hn::Set(d, n)); });
}

// The coefficients of u = (x - center) * scale + shift, as vectors.
template <class V>
struct Lanes {
  V center, scale, shift;
};
template <class D, class C>
HWY_INLINE Lanes<hn::Vec<D>> broadcast(D d, const Affine<C>& k) {
  return {hn::Set(d, k.center), hn::Set(d, k.scale), hn::Set(d, k.shift)};
}
template <class V>
HWY_INLINE V apply(V x, const Lanes<V>& k) {
  return hn::MulAdd(hn::Sub(x, k.center), k.scale, k.shift);
}

// max(u, 0) that keeps NaN.
template <class D, class V>
HWY_INLINE V relu(D d, V u) {
  return hn::IfThenZeroElse(hn::Le(u, hn::Zero(d)), u);
}

// What the relu of the forward pass lets through of the gradient dy at input x.
template <class D, class V>
HWY_INLINE V through_relu(D d, V x, V dy, const Lanes<V>& forward) {
  return hn::IfThenZeroElse(hn::Le(apply(x, forward), hn::Zero(d)), dy);
}

// Bits i .. i + lanes of a row of bits, i a multiple of the lanes: where u > 0, or NaN.
template <class D>
HWY_INLINE void put_relu_bits(D d, hn::Vec<D> u, std::uint8_t* bits, std::int64_t i) {
  constexpr std::size_t lanes = hn::MaxLanes(d);
  std::uint8_t mask[8] = {};
  hn::StoreMaskBits(d, hn::Not(hn::Le(u, hn::Zero(d))), mask);
  if constexpr (lanes >= 8) {
    std::memcpy(bits + i / 8, mask, lanes / 8);
  } else {
    const auto shift = static_cast<unsigned>(i % 8);
    const unsigned ones = ((1u << lanes) - 1) << shift;
    const unsigned byte = (bits[i / 8] & ~ones) | (static_cast<unsigned>(mask[0]) << shift & ones);
    bits[i / 8] = static_cast<std::uint8_t>(byte);
  }
}
// What they let through of the gradient, at any i. Reads up to kBitsPadding bytes from i / 8 on.
template <class D>
HWY_INLINE hn::Vec<D> through_bits(D d, hn::Vec<D> dy, const std::uint8_t* bits, std::int64_t i) {
  static_assert(hn::MaxLanes(D()) <= 16);
  std::uint32_t word;
  std::memcpy(&word, bits + i / 8, sizeof word);
  word >>= i % 8;
  std::uint8_t mask[8] = {};
  std::memcpy(mask, &word, sizeof word);
  return hn::IfThenElseZero(hn::LoadMaskBits(d, mask), dy);
}

// How a relu is undone, known when a loop is compiled: not at all, by its bits, or by computing u
// again.
enum class Gate { open, bits, forward };

// visit(kind) with kind() being the Gate of a ReluGate or ColumnGate.
template <class AnyGate, class Visit>
HWY_INLINE auto with_gate(const AnyGate& gate, const Visit& visit) {
  if (gate.bits.base != nullptr) return visit(std::integral_constant<Gate, Gate::bits>());
  if (gate.forward != nullptr) return visit(std::integral_constant<Gate, Gate::forward>());
  return visit(std::integral_constant<Gate, Gate::open>());
}
// The same for what a loop does or leaves out: visit(does) with does() being the flag.
template <class Visit>
HWY_INLINE void with_flag(bool flag, const Visit& visit) {
  if (flag) return visit(std::true_type());
  visit(std::false_type());
}

// out[i] = value(d, i) for whole vectors of at most kLimit lanes. The last vector ends with the row
// and overlaps the one before; both are computed before they are stored, so that out may be an
// input. Rows shorter than a vector go through the next smaller one.
template <std::size_t kLimit, class T, class Value>
HWY_INLINE void ForCachedRow(T* out, std::int64_t n, const Value& value) {
  const hn::CappedTag<NormParameter<T>, kLimit> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  if (n >= lanes) {
    std::int64_t i = 0;
    for (; i + 2 * lanes < n; i += lanes) store(value(d, i), d, out + i);
    const auto first = value(d, i), last = value(d, n - lanes);
    store(first, d, out + i);
    store(last, d, out + n - lanes);
    return;
  }
  if constexpr (lanes > 1) {
    ForCachedRow<static_cast<std::size_t>(lanes / 2)>(out, n, value);
  }
}

// The same for begin <= i < end.
template <class T, class Value>
HWY_INLINE void ForPartOfRow(T* out, std::int64_t begin, std::int64_t end, const Value& value) {
  const auto from_begin = [begin, value](auto d, std::int64_t i)
                              EVENROW_INLINE { return value(d, begin + i); };
  ForCachedRow<hn::MaxLanes(hn::ScalableTag<NormParameter<T>>())>(out + begin, end - begin,
                                                                  from_begin);
}

// The same for a whole row; `stream`: past the caches, then out is no input. A line goes one way or
// the other: one that has gone past the caches would come back for another byte.
template <class T, class Value>
HWY_INLINE void ForRow(T* out, std::int64_t n, bool stream, const Value& value) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  if (!stream || n < 2 * kLine) return ForPartOfRow(out, 0, n, value);
  const hn::ScalableTag<NormParameter<T>> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  const auto address = reinterpret_cast<std::uintptr_t>(out) / sizeof(T);
  const auto head = static_cast<std::int64_t>(-address % kLine);
  const std::int64_t end = head + (n - head) / kLine * kLine;
  if (head > 0) FetchToWrite(out);
  if (end < n) FetchToWrite(out + end);
  for (std::int64_t i = head; i < end; i += lanes) store<true>(value(d, i), d, out + i);
  ForPartOfRow(out, 0, head, value);
  ForPartOfRow(out, end, n, value);
}

// 0 to where nothing is valid.
template <class T>
HWY_INLINE void Zero(T* out, std::int64_t n, bool stream) {
  ForRow(out, n, stream, [](auto d, std::int64_t) { return hn::Zero(d); });
}

// visit(d, i) for whole vectors of at most kLimit lanes from `at` on, then for narrower ones: every
// i once, each a multiple of the lanes away from 0.
template <class C, std::size_t kLimit = hn::MaxLanes(hn::ScalableTag<C>()), class Visit>
HWY_INLINE void ForVectors(std::int64_t at, std::int64_t n, Visit visit) {
  const hn::CappedTag<C, kLimit> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (; at + lanes <= n; at += lanes) visit(d, at);
  if constexpr (lanes > 1) ForVectors<C, static_cast<std::size_t>(lanes / 2)>(at, n, visit);
}

inline void round_to_float(const double* from, float* to, std::int64_t n) {
  ForVectors<double>(0, n, [=](auto d, std::int64_t i) {
    const hn::Rebind<float, decltype(d)> d32;
    hn::StoreU(hn::DemoteTo(d32, hn::LoadU(d, from + i)), d32, to + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
