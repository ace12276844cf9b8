// What the loops over rows and over channels share, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_LANES_INL_H_
#undef EVENROW_KERNELS_LANES_INL_H_
#else
#define EVENROW_KERNELS_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Values of either type as doubles: exact.
template <class D, hwy::EnableIf<sizeof(hn::TFromD<D>) == 8>* = nullptr>
HWY_INLINE hn::Vec<D> to_double(D, hn::Vec<D> v) {
  return v;
}
template <class D>
HWY_INLINE hn::Vec<D> to_double(D d, hn::Vec<hn::Rebind<float, D>> v) {
  return hn::PromoteTo(d, v);
}
template <class T, class D>
HWY_INLINE hn::Vec<D> load_double(D d, const T* p) {
  return to_double(d, hn::LoadU(hn::Rebind<T, D>(), p));
}

// The coefficients of u = (x - center) * scale + shift, as vectors.
template <class V>
struct Lanes {
  V center, scale, shift;
};
template <class D, class T>
HWY_INLINE Lanes<hn::Vec<D>> broadcast(D d, const Affine<T>& k) {
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

// out[i] = value(d, i) for whole vectors of at most kLimit lanes. The last vector ends with the row
// and overlaps the one before; it is computed before anything is stored, so that out may be an
// input. Rows shorter than a vector go through the next smaller one.
template <std::size_t kLimit, class T, class Value>
HWY_INLINE void ForRow(T* out, std::int64_t n, const Value& value) {
  const hn::CappedTag<T, kLimit> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  if (n >= lanes) {
    const auto last = value(d, n - lanes);
    for (std::int64_t i = 0; i + lanes < n; i += lanes) hn::StoreU(value(d, i), d, out + i);
    hn::StoreU(last, d, out + n - lanes);
    return;
  }
  if constexpr (lanes > 1) ForRow<static_cast<std::size_t>(lanes / 2)>(out, n, value);
}

template <class T, class Value>
void ForRow(T* out, std::int64_t n, const Value& value) {
  ForRow<hn::MaxLanes(hn::ScalableTag<T>())>(out, n, value);
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
