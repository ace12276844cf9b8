// Where a channel's values lie in rows, and what the backward pass lets through of a gradient
// there: for the loops of rows.hpp.
#if defined(EVENROW_KERNELS_ROW_GATES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_ROW_GATES_INL_H_
#undef EVENROW_KERNELS_ROW_GATES_INL_H_
#else
#define EVENROW_KERNELS_ROW_GATES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/lanes-inl.h"
#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
HWY_INLINE T* at(const Rows<T>& rows, std::int64_t outer, std::int64_t inner, std::int64_t c) {
  return rows.base == nullptr ? nullptr : rows.base + outer * rows.outer + c * rows.channel + inner;
}

// The bits of values that follow each other: from bit `first` on of base, or a null base.
struct BitsHere {
  std::uint8_t* base = nullptr;
  std::int64_t first = 0;
};
HWY_INLINE BitsHere at(const ReluBits& bits, std::int64_t outer, std::int64_t inner,
                       std::int64_t c) {
  if (bits.base == nullptr) return {};
  return {bits.base + outer * bits.outer, bits.first + c * bits.channel + inner};
}

// The gate of the values that follow each other from here on.
template <class C>
struct GateHere {
  const Affine<C>* forward = nullptr;
  BitsHere bits{};
};

// visit(gated) with gated(d, i, x, dy) being what the gate lets through of dy.
template <class C, class Visit>
HWY_INLINE auto with_gate(const GateHere<C>& gate, const Visit& visit) {
  if (gate.bits.base != nullptr) {
    return visit([bits = gate.bits](auto d, std::int64_t i, auto, auto dy) {
      return through_bits(d, dy, bits.base, bits.first + i);
    });
  }
  if (gate.forward != nullptr) {
    return visit([k = *gate.forward](auto d, std::int64_t, auto x, auto dy) {
      return through_relu(d, x, dy, broadcast(d, k));
    });
  }
  return visit([](auto, std::int64_t, auto, auto dy) { return dy; });
}

// The gate of one channel, without its bits; `forward` is what it refers to.
template <class C>
GateHere<C> gate_of(const ReluGate<C>& gate, std::int64_t channel, Affine<C>& forward) {
  if (gate.forward == nullptr) return {};
  const ChannelAffine<C>& k = *gate.forward;
  forward = {k.center[channel], k.scale[channel], k.shift[channel]};
  return {&forward};
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
