#include "kernels/inputs.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/inputs.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const std::uint8_t* p) {
  const hn::Rebind<std::int32_t, D> d32;
  return hn::PromoteTo(d, hn::PromoteTo(d32, hn::LoadU(hn::Rebind<std::uint8_t, D>(), p)));
}

template <class T>
bool NormalizeInputs(const T* x, std::int64_t n, const double* mean, const double* scale,
                     float* out) {
  const auto part = [=](auto d, std::int64_t i) EVENROW_INLINE {
    const auto value = load(d, x + i);
    const auto centered = hn::Sub(value, hn::LoadU(d, mean + i));
    const auto even = hn::Mul(centered, hn::LoadU(d, scale + i));
    const auto result = hn::IfThenElseZero(hn::Eq(value, value), even);
    const hn::Rebind<float, decltype(d)> d32;
    hn::StoreU(hn::DemoteTo(d32, result), d32, out + i);
    return hn::Abs(result);
  };
  // From here on, half a unit above the largest float, a double is rounded to infinity.
  constexpr double kTooLarge = 0x1.ffffffp127;
  const hn::ScalableTag<double> d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  auto largest = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) largest = hn::Max(largest, part(d, i));
  bool finite = hn::AllTrue(d, hn::Lt(largest, hn::Set(d, kTooLarge)));
  ForVectors<double>(i, n, [&finite, part](auto narrow, std::int64_t at) {
    finite &= hn::AllTrue(narrow, hn::Lt(part(narrow, at), hn::Set(narrow, kTooLarge)));
  });
  return finite;
}

bool NormalizeInputsU8(const std::uint8_t* x, std::int64_t n, const double* mean,
                       const double* scale, float* out) {
  return NormalizeInputs(x, n, mean, scale, out);
}
bool NormalizeInputsF32(const float* x, std::int64_t n, const double* mean, const double* scale,
                        float* out) {
  return NormalizeInputs(x, n, mean, scale, out);
}
bool NormalizeInputsF64(const double* x, std::int64_t n, const double* mean, const double* scale,
                        float* out) {
  return NormalizeInputs(x, n, mean, scale, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

HWY_EXPORT(NormalizeInputsU8);
HWY_EXPORT(NormalizeInputsF32);
HWY_EXPORT(NormalizeInputsF64);

template <>
bool normalize_inputs<std::uint8_t>(const std::uint8_t* x, std::int64_t n, const double* mean,
                                    const double* scale, float* out) noexcept {
  return HWY_DYNAMIC_DISPATCH(NormalizeInputsU8)(x, n, mean, scale, out);
}
template <>
bool normalize_inputs<float>(const float* x, std::int64_t n, const double* mean,
                             const double* scale, float* out) noexcept {
  return HWY_DYNAMIC_DISPATCH(NormalizeInputsF32)(x, n, mean, scale, out);
}
template <>
bool normalize_inputs<double>(const double* x, std::int64_t n, const double* mean,
                              const double* scale, float* out) noexcept {
  return HWY_DYNAMIC_DISPATCH(NormalizeInputsF64)(x, n, mean, scale, out);
}

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
