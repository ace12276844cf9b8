// What the sums and the maps of columns.hpp share.
#if defined(EVENROW_KERNELS_COLUMN_GATES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_COLUMN_GATES_INL_H_
#undef EVENROW_KERNELS_COLUMN_GATES_INL_H_
#else
#define EVENROW_KERNELS_COLUMN_GATES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "kernels/columns.hpp"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Asks for channels [c, c + count) of column j, so many values further on.
template <class T>
HWY_INLINE void FetchChannels(const Columns<const T>& x, std::int64_t j, std::int64_t c,
                              std::int64_t count) {
  if (x.ahead != 0) FetchLines(x.base + (j * x.column + c), x.ahead, count);
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

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
