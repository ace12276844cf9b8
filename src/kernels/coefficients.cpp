#include "kernels/coefficients.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE  // the foreach_target.h below includes this file again
#define HWY_COMPILE_ALL_ATTAINABLE  // the scalar target too, whatever the compiler's baseline is
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/coefficients.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <cmath>
#include <limits>

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

// As inverse_deviation, for several channels.
template <class D>
HWY_INLINE hn::Vec<D> InverseDeviation(D d, hn::Vec<D> variance, double eps) {
  const auto deviation = hn::Sqrt(hn::Add(variance, hn::Set(d, eps)));
  const auto inverse = hn::Div(hn::Set(d, 1.0), deviation);
  return hn::IfThenZeroElse(hn::Eq(deviation, hn::Zero(d)), inverse);
}

inline bool AreStatistics(std::int64_t channels, const double* mean, const double* variance) {
  bool fine = true;
  ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
    const auto v = hn::LoadU(d, variance + c);
    const auto largest = hn::Set(d, std::numeric_limits<double>::max());
    const auto in_range = hn::And(hn::Ge(v, hn::Zero(d)), hn::Le(v, largest));
    fine &= hn::AllTrue(d, hn::And(in_range, hn::Le(hn::Abs(hn::LoadU(d, mean + c)), largest)));
  });
  return fine;
}

// `variance`: null where rstd has been made.
template <class C>
void ForwardCoefficients(std::int64_t channels, const Deviations& deviations,
                         const Normalization<C>& with, bool may_fold, const ChannelAffine<C>& k) {
  with_flag(deviations.variance != nullptr, [&](auto make) {
    ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
      const auto mean = hn::LoadU(d, with.mean + c);
      auto rstd = hn::Zero(d);
      if constexpr (make()) {
        rstd = InverseDeviation(d, hn::LoadU(d, deviations.variance + c), deviations.eps);
        hn::StoreU(rstd, d, deviations.rstd + c);
      } else {
        rstd = hn::LoadU(d, with.rstd + c);
      }
      const auto scale = hn::Mul(parameter(d, with.gamma, c, 1.0), rstd);
      auto center = mean;
      if (may_fold) {
        const auto few = hn::Le(hn::Mul(hn::Abs(mean), rstd), hn::Set(d, 8.0));
        center = hn::IfThenZeroElse(hn::And(few, hn::Gt(rstd, hn::Zero(d))), mean);
      }
      center = rounded(d, center, k.center + c);
      rounded(d, scale, k.scale + c);
      const auto lost = hn::Mul(hn::Sub(mean, center), scale);
      rounded(d, hn::Sub(parameter(d, with.beta, c, 0.0), lost), k.shift + c);
    });
  });
}

template <class C>
void GradientCoefficients(std::int64_t channels, const Normalization<C>& with, const double* dbeta,
                          const double* dgamma, double n, const ChannelGradient<C>& k) {
  with_divided_by(n, [&](const auto& divided) {
    ForVectors<double>(0, channels, [&](auto d, std::int64_t c) {
      const auto mean = hn::LoadU(d, with.mean + c), rstd = hn::LoadU(d, with.rstd + c);
      const auto center = rounded(d, mean, k.center + c);
      const auto b = hn::Neg(divided(d, hn::Mul(rstd, hn::LoadU(d, dgamma + c))));
      const auto average = hn::Neg(divided(d, hn::LoadU(d, dbeta + c)));
      rounded(d, hn::Mul(parameter(d, with.gamma, c, 1.0), rstd), k.a + c);
      rounded(d, b, k.b + c);
      rounded(d, hn::Sub(average, hn::Mul(b, hn::Sub(mean, center))), k.c + c);
    });
  });
}

#define EVENROW_COEFFICIENTS(SUFFIX, C)                                                           \
  void Forward##SUFFIX(std::int64_t channels, const Deviations& deviations,                       \
                       const Normalization<C>& with, bool may_fold, const ChannelAffine<C>& k) {  \
    ForwardCoefficients(channels, deviations, with, may_fold, k);                                 \
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

HWY_EXPORT(AreStatistics);
bool are_statistics(std::int64_t channels, const double* mean, const double* variance) noexcept {
  return HWY_DYNAMIC_DISPATCH(AreStatistics)(channels, mean, variance);
}

#define EVENROW_EXPORT_COEFFICIENTS(SUFFIX, C)                                                   \
  HWY_EXPORT(Forward##SUFFIX);                                                                   \
  HWY_EXPORT(Gradient##SUFFIX);                                                                  \
  template <>                                                                                    \
  void train_coefficients<C>(std::int64_t channels, const Normalization<C>& with,                \
                             const ChannelAffine<C>& k) noexcept {                               \
    HWY_DYNAMIC_DISPATCH(Forward##SUFFIX)(channels, Deviations{}, with, false, k);               \
  }                                                                                              \
  template <>                                                                                    \
  void train_coefficients<C>(std::int64_t channels, const Deviations& deviations,                \
                             const Normalization<C>& with, const ChannelAffine<C>& k) noexcept { \
    HWY_DYNAMIC_DISPATCH(Forward##SUFFIX)(channels, deviations, with, false, k);                 \
  }                                                                                              \
  template <>                                                                                    \
  void infer_coefficients<C>(std::int64_t channels, const Deviations& deviations,                \
                             const Normalization<C>& with, const ChannelAffine<C>& k) noexcept { \
    HWY_DYNAMIC_DISPATCH(Forward##SUFFIX)(channels, deviations, with, true, k);                  \
  }                                                                                              \
  template <>                                                                                    \
  void gradient_coefficients<C>(std::int64_t channels, const Normalization<C>& with,             \
                                const double* dbeta, const double* dgamma, double n,             \
                                const ChannelGradient<C>& k) noexcept {                          \
    HWY_DYNAMIC_DISPATCH(Gradient##SUFFIX)(channels, with, dbeta, dgamma, n, k);                 \
  }

EVENROW_EXPORT_COEFFICIENTS(F32, float)
EVENROW_EXPORT_COEFFICIENTS(F64, double)

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
