#include "kernels/activations.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activations.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "kernels/activations-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

void ActivateF32(Activation f, const float* u, float* a, std::int64_t n) {
  Activate(f, u, a, n);
}
void ActivateF64(Activation f, const double* u, double* a, std::int64_t n) {
  Activate(f, u, a, n);
}
void GradientF32(Activation f, const float* u, const float* a, const float* da, float* du,
                 std::int64_t n) {
  ActivationGradient(f, u, a, da, du, n);
}
void GradientF64(Activation f, const double* u, const double* a, const double* da, double* du,
                 std::int64_t n) {
  ActivationGradient(f, u, a, da, du, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

HWY_EXPORT(ActivateF32);
HWY_EXPORT(ActivateF64);
HWY_EXPORT(GradientF32);
HWY_EXPORT(GradientF64);

template <>
void activate<float>(Activation f, const float* u, float* a, std::int64_t n) noexcept {
  HWY_DYNAMIC_DISPATCH(ActivateF32)(f, u, a, n);
}
template <>
void activate<double>(Activation f, const double* u, double* a, std::int64_t n) noexcept {
  HWY_DYNAMIC_DISPATCH(ActivateF64)(f, u, a, n);
}
template <>
void activation_gradient<float>(Activation f, const float* u, const float* a, const float* da,
                                float* du, std::int64_t n) noexcept {
  HWY_DYNAMIC_DISPATCH(GradientF32)(f, u, a, da, du, n);
}
template <>
void activation_gradient<double>(Activation f, const double* u, const double* a, const double* da,
                                 double* du, std::int64_t n) noexcept {
  HWY_DYNAMIC_DISPATCH(GradientF64)(f, u, a, da, du, n);
}

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
