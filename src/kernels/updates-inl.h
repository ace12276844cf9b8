// The loops of updates.hpp, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_UPDATES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_UPDATES_INL_H_
#undef EVENROW_KERNELS_UPDATES_INL_H_
#else
#define EVENROW_KERNELS_UPDATES_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

#include "kernels/lanes-inl.h"
#include "kernels/updates.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls body(d, i) for whole vectors, then for the rest with one-lane vectors: every operation of
// the bodies is element-wise, so the width changes nothing but speed.
template <class T, class Body>
void for_vectors(std::int64_t n, Body body) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(d, i);
  for (; i < n; ++i) body(hn::CappedTag<T, 1>(), i);
}

inline void RoundToBfloat16(const float* x, bfloat16* y, std::int64_t n) {
  for_vectors<float>(n, [&](auto d, std::int64_t i) { store(hn::LoadU(d, x + i), d, y + i); });
}

template <class D, class T, class V = hn::Vec<D>>
V effective_gradient(D d, const T* w, const T* g, std::int64_t i, UpdateGradient<T> gradient) {
  return hn::MulAdd(hn::Set(d, gradient.decay), hn::LoadU(d, w + i),
                    hn::Mul(hn::Set(d, gradient.clip), hn::LoadU(d, g + i)));
}

// Sixteen double partial sums, lane i taking the values i mod 16: the same tree on every target.
template <class T>
double SumOfSquares(const T* x, std::int64_t n) {
  double sums[16] = {};
  const std::int64_t whole = n / 16 * 16;
  for (std::int64_t i = 0; i < whole; i += 16) {
    for (int lane = 0; lane < 16; ++lane) {
      const double value = static_cast<double>(x[i + lane]);
      sums[lane] += value * value;
    }
  }
  for (std::int64_t i = whole; i < n; ++i) {
    const double value = static_cast<double>(x[i]);
    sums[i - whole] += value * value;
  }
  for (int width = 8; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
  }
  return sums[0];
}

template <class T>
void Sgd(T* w, const T* g, std::int64_t n, UpdateGradient<T> gradient, T lr) {
  for_vectors<T>(n, [&](auto d, std::int64_t i) {
    const auto step = effective_gradient(d, w, g, i, gradient);
    hn::StoreU(hn::NegMulAdd(hn::Set(d, lr), step, hn::LoadU(d, w + i)), d, w + i);
  });
}

template <class T>
void Momentum(T* w, const T* g, T* v, std::int64_t n, UpdateGradient<T> gradient, T lr, T mu,
              bool nesterov) {
  for_vectors<T>(n, [&](auto d, std::int64_t i) {
    const auto current = effective_gradient(d, w, g, i, gradient);
    const auto velocity = hn::MulAdd(hn::Set(d, mu), hn::LoadU(d, v + i), current);
    hn::StoreU(velocity, d, v + i);
    const auto step = nesterov ? hn::MulAdd(hn::Set(d, mu), velocity, current) : velocity;
    hn::StoreU(hn::NegMulAdd(hn::Set(d, lr), step, hn::LoadU(d, w + i)), d, w + i);
  });
}

template <class T>
void RmsProp(T* w, const T* g, T* s, std::int64_t n, UpdateGradient<T> gradient, T lr, T rho,
             T eps) {
  const T fresh = T{1} - rho;
  for_vectors<T>(n, [&](auto d, std::int64_t i) {
    const auto current = effective_gradient(d, w, g, i, gradient);
    const auto square = hn::MulAdd(hn::Set(d, rho), hn::LoadU(d, s + i),
                                   hn::Mul(hn::Set(d, fresh), hn::Mul(current, current)));
    hn::StoreU(square, d, s + i);
    const auto step =
        hn::Div(hn::Mul(hn::Set(d, lr), current), hn::Add(hn::Sqrt(square), hn::Set(d, eps)));
    hn::StoreU(hn::Sub(hn::LoadU(d, w + i), step), d, w + i);
  });
}

template <class T>
void Adam(T* w, const T* g, T* m, T* s, std::int64_t n, UpdateGradient<T> gradient,
          const AdamCoefficients<T>& k) {
  for_vectors<T>(n, [&](auto d, std::int64_t i) {
    const auto current = effective_gradient(d, w, g, i, gradient);
    const auto mean = hn::MulAdd(hn::Set(d, k.beta1), hn::LoadU(d, m + i),
                                 hn::Mul(hn::Set(d, k.one_minus_beta1), current));
    const auto square =
        hn::MulAdd(hn::Set(d, k.beta2), hn::LoadU(d, s + i),
                   hn::Mul(hn::Set(d, k.one_minus_beta2), hn::Mul(current, current)));
    hn::StoreU(mean, d, m + i);
    hn::StoreU(square, d, s + i);
    const auto spread = hn::MulAdd(hn::Sqrt(square), hn::Set(d, k.inverse_c2), hn::Set(d, k.eps));
    const auto step = hn::Div(hn::Mul(hn::Set(d, k.step), mean), spread);
    hn::StoreU(hn::Sub(hn::Mul(hn::Set(d, k.keep), hn::LoadU(d, w + i)), step), d, w + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
