// What the loops over rows and over channels share, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_LANES_INL_H_
#undef EVENROW_KERNELS_LANES_INL_H_
#else
#define EVENROW_KERNELS_LANES_INL_H_
#endif

#include <hwy/highway.h>

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

// u = (x - center) * scale + shift.
template <class D, class V, class T>
HWY_INLINE V apply(D d, V x, const Affine<T>& k) {
  return hn::MulAdd(hn::Sub(x, hn::Set(d, k.center)), hn::Set(d, k.scale), hn::Set(d, k.shift));
}

// max(u, 0) that keeps NaN.
template <class D, class V>
HWY_INLINE V relu(D d, V u) {
  return hn::IfThenZeroElse(hn::Le(u, hn::Zero(d)), u);
}

// What the relu of the forward pass lets through of the gradient dy at input x.
template <class D, class V, class T>
HWY_INLINE V through_relu(D d, V x, V dy, const Affine<T>& forward) {
  return hn::IfThenZeroElse(hn::Le(apply(d, x, forward), hn::Zero(d)), dy);
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
