// The loops of activations.hpp, compiled once for every SIMD target (no include guard of the usual
// kind: see Highway's foreach_target.h).
#if defined(EVENROW_KERNELS_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_ACTIVATIONS_INL_H_
#undef EVENROW_KERNELS_ACTIVATIONS_INL_H_
#else
#define EVENROW_KERNELS_ACTIVATIONS_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstdint>
#include <numbers>

#include "evenrow/activation.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr double kLeakySlope = 0.01;

// function(vector of a, vector of b) over n values; the tail through a zero-padded vector.
template <class T, class Function>
void map(const T* a, const T* b, T* out, std::int64_t n, Function function) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(function(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  }
  if (i == n) return;
  HWY_ALIGN T tail_a[hn::MaxLanes(d)] = {};
  HWY_ALIGN T tail_b[hn::MaxLanes(d)] = {};
  for (std::int64_t j = i; j < n; ++j) {
    tail_a[j - i] = a[j];
    tail_b[j - i] = b[j];
  }
  hn::Store(function(hn::Load(d, tail_a), hn::Load(d, tail_b)), d, tail_a);
  for (std::int64_t j = i; j < n; ++j) out[j] = tail_a[j - i];
}

// With e = exp(-|u|) <= 1 nothing overflows, and small results keep all their digits:
// 1 / (1 + exp(-u)) is 1 / (1 + e) for u >= 0 and e / (1 + e) below.
template <class D, class V>
V sigmoid(D d, V u) {
  const V one = hn::Set(d, hn::TFromD<D>{1});
  const V e = hn::Exp(d, hn::Neg(hn::Abs(u)));
  const V numerator = hn::IfThenElse(hn::Lt(u, hn::Zero(d)), e, one);
  return hn::IfThenElse(hn::IsNaN(u), u, hn::Div(numerator, hn::Add(one, e)));
}

template <class D, class V>
V hyperbolic_tangent(D d, V u) {
  const V limit = hn::Set(d, hn::TFromD<D>{20});  // tanh(20) rounds to 1 in double too
  const V clamped = hn::Min(hn::Max(u, hn::Neg(limit)), limit);
  return hn::IfThenElse(hn::IsNaN(u), u, hn::Tanh(d, clamped));
}

template <class T>
T normal_distribution(T u) {
  return T{0.5} * std::erfc(-u * (std::numbers::sqrt2_v<T> / 2));
}

// u * factor for a factor that vanishes faster than u grows: 0 where it has, infinite u included.
template <class T>
T times_vanishing(T u, T factor) {
  return factor == 0 ? T{0} : u * factor;
}

template <class T>
void Activate(Activation activation, const T* u, T* a, std::int64_t n) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  switch (activation) {
    case Activation::none:
      return map(u, u, a, n, [](V x, V) { return x; });
    case Activation::relu:  // written so that NaN stays NaN
      return map(u, u, a, n,
                 [d](V x, V) { return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x); });
    case Activation::leaky_relu:
      return map(u, u, a, n, [d](V x, V) {
        const V slope = hn::Set(d, static_cast<T>(kLeakySlope));
        return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(x, slope), x);
      });
    case Activation::gelu:
      for (std::int64_t i = 0; i < n; ++i) {
        a[i] = times_vanishing(u[i], normal_distribution(u[i]));
      }
      return;
    case Activation::tanh:
      return map(u, u, a, n, [d](V x, V) { return hyperbolic_tangent(d, x); });
    case Activation::sigmoid:
      return map(u, u, a, n, [d](V x, V) { return sigmoid(d, x); });
  }
}

template <class T>
void ActivationGradient(Activation activation, const T* u, const T* a, const T* da, T* du,
                        std::int64_t n) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V one = hn::Set(d, T{1});
  switch (activation) {
    case Activation::none:
      return map(da, da, du, n, [](V g, V) { return g; });
    case Activation::relu:
      return map(a, da, du, n,
                 [d](V y, V g) { return hn::IfThenElseZero(hn::Gt(y, hn::Zero(d)), g); });
    case Activation::leaky_relu:
      return map(a, da, du, n, [d](V y, V g) {
        const V slope = hn::Set(d, static_cast<T>(kLeakySlope));
        return hn::IfThenElse(hn::Gt(y, hn::Zero(d)), g, hn::Mul(g, slope));
      });
    case Activation::gelu: {
      const T density_scale = std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>;
      for (std::int64_t i = 0; i < n; ++i) {
        const T density = density_scale * std::exp(T{-0.5} * u[i] * u[i]);
        du[i] = da[i] * (normal_distribution(u[i]) + times_vanishing(u[i], density));
      }
      return;
    }
    case Activation::tanh:
      return map(a, da, du, n, [one](V y, V g) { return hn::Mul(g, hn::NegMulAdd(y, y, one)); });
    case Activation::sigmoid:
      return map(a, da, du, n, [one](V y, V g) { return hn::Mul(g, hn::Mul(y, hn::Sub(one, y))); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
