#include "kernels/coefficients.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE  // the foreach_target.h below includes this file again
#define HWY_COMPILE_ALL_ATTAINABLE  // the scalar target too, whatever the compiler's baseline is
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/coefficients.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <cmath>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

// One value a channel, or the same for all where there are none.
template <class D, class C>
HWY_INLINE hn::Vec<D> parameter(D d, const C* values, std::int64_t channel, double otherwise) {
  return values == nullptr ? hn::Set(d, otherwise) : load(d, values + channel);
}

// Rounded to C; and as a double again.
template <class C, class D>
HWY_INLINE hn::Vec<D> rounded([[maybe_unused]] D d, hn::Vec<D> v, C* to) {
  if constexpr (sizeof(C) == sizeof(double)) {
    hn::StoreU(v, d, to);
    return v;
  } else {
    const hn::Rebind<C, D> dc;
    const auto single = hn::DemoteTo(dc, v);
    hn::StoreU(single, dc, to);
    return hn::PromoteTo(d, single);
  }
}

template <class C>
void ForwardCoefficients(std::int64_t channels, const Normalization<C>& with, bool may_fold,
                         const ChannelAffine<C>& k) {
  ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
    const auto mean = hn::LoadU(d, with.mean + c), variance = hn::LoadU(d, with.variance + c);
    const auto deviation = hn::Sqrt(hn::Add(variance, hn::Set(d, with.eps)));
    const auto scale = hn::Mul(parameter(d, with.gamma, c, 1.0), inverse_of(d, deviation));
    auto center = mean;
    if (may_fold) {
      const auto fold = hn::Le(hn::Abs(mean), hn::Mul(hn::Set(d, 8.0), deviation));
      center = hn::IfThenZeroElse(fold, mean);
    }
    center = rounded(d, center, k.center + c);
    rounded(d, scale, k.scale + c);
    const auto lost = hn::Mul(hn::Sub(mean, center), scale);
    rounded(d, hn::Sub(parameter(d, with.beta, c, 0.0), lost), k.shift + c);
  });
}

template <class C>
void GradientCoefficients(std::int64_t channels, const Normalization<C>& with, const double* dbeta,
                          const double* dgamma, double n, const ChannelGradient<C>& k) {
  ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
    const auto mean = hn::LoadU(d, with.mean + c), count = hn::Set(d, n);
    const auto rstd = InverseDeviation(d, hn::LoadU(d, with.variance + c), with.eps);
    const auto center = rounded(d, mean, k.center + c);
    const auto b = hn::Neg(hn::Div(hn::Mul(rstd, hn::LoadU(d, dgamma + c)), count));
    const auto average = hn::Neg(hn::Div(hn::LoadU(d, dbeta + c), count));
    rounded(d, hn::Mul(parameter(d, with.gamma, c, 1.0), rstd), k.a + c);
    rounded(d, b, k.b + c);
    rounded(d, hn::Sub(average, hn::Mul(b, hn::Sub(mean, center))), k.c + c);
  });
}

#define EVENROW_COEFFICIENTS(SUFFIX, C)                                                           \
  void Forward##SUFFIX(std::int64_t channels, const Normalization<C>& with, bool may_fold,        \
                       const ChannelAffine<C>& k) {                                               \
    ForwardCoefficients(channels, with, may_fold, k);                                             \
  }                                                                                               \
  void Gradient##SUFFIX(std::int64_t channels, const Normalization<C>& with, const double* dbeta, \
                        const double* dgamma, double n, const ChannelGradient<C>& k) {            \
    GradientCoefficients(channels, with, dbeta, dgamma, n, k);                                    \
  }

EVENROW_COEFFICIENTS(F32, float)
EVENROW_COEFFICIENTS(F64, double)

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

double inverse_deviation(double variance, double eps) noexcept {
  const double square = variance + eps;
  return square == 0.0 ? 0.0 : 1.0 / std::sqrt(square);
}

#define EVENROW_EXPORT_COEFFICIENTS(SUFFIX, C)                                       \
  HWY_EXPORT(Forward##SUFFIX);                                                       \
  HWY_EXPORT(Gradient##SUFFIX);                                                      \
  template <>                                                                        \
  void train_coefficients<C>(std::int64_t channels, const Normalization<C>& with,    \
                             const ChannelAffine<C>& k) noexcept {                   \
    HWY_DYNAMIC_DISPATCH(Forward##SUFFIX)(channels, with, false, k);                 \
  }                                                                                  \
  template <>                                                                        \
  void infer_coefficients<C>(std::int64_t channels, const Normalization<C>& with,    \
                             const ChannelAffine<C>& k) noexcept {                   \
    HWY_DYNAMIC_DISPATCH(Forward##SUFFIX)(channels, with, true, k);                  \
  }                                                                                  \
  template <>                                                                        \
  void gradient_coefficients<C>(std::int64_t channels, const Normalization<C>& with, \
                                const double* dbeta, const double* dgamma, double n, \
                                const ChannelGradient<C>& k) noexcept {              \
    HWY_DYNAMIC_DISPATCH(Gradient##SUFFIX)(channels, with, dbeta, dgamma, n, k);     \
  }

EVENROW_EXPORT_COEFFICIENTS(F32, float)
EVENROW_EXPORT_COEFFICIENTS(F64, double)

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
