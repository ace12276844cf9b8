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

// The gate of the values that follow each other from here on: what it lets through of dy at x.
template <class C, Gate kGate>
struct GateHere {
  Affine<C> forward{};
  BitsHere bits{};

  template <class D, class V>
  HWY_INLINE V operator()(D d, std::int64_t i, V x, V dy) const {
    if constexpr (kGate == Gate::bits) {
      return through_bits(d, dy, bits.base, bits.first + i);
    } else if constexpr (kGate == Gate::forward) {
      return through_relu(d, x, dy, broadcast(d, forward));
    } else {
      return dy;
    }
  }
};
// visit(gate) with that of a row: what relu_of undoes, or none if it is null.
template <class C, class Visit>
HWY_INLINE auto with_row_gate(const Affine<C>* relu_of, const Visit& visit) {
  if (relu_of != nullptr) return visit(GateHere<C, Gate::forward>{*relu_of, {}});
  return visit(GateHere<C, Gate::open>{});
}
// That of a channel.
template <Gate kGate, class C>
HWY_INLINE GateHere<C, kGate> gate_at(const ReluGate<C>& gate, std::int64_t outer,
                                      std::int64_t inner, std::int64_t c) {
  GateHere<C, kGate> here;
  if constexpr (kGate == Gate::bits) here.bits = at(gate.bits, outer, inner, c);
  if constexpr (kGate == Gate::forward) {
    const ChannelAffine<C>& k = *gate.forward;
    here.forward = {k.center[c], k.scale[c], k.shift[c]};
  }
  return here;
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
