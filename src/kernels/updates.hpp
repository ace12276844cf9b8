// Loops over contiguous parameters and gradients: optimizer updates (formulas:
// include/evenrow/optimizer.hpp), and what their products read.
#pragma once

#include <cstdint>

#include "evenrow/half.hpp"

namespace evenrow::kernels {

/// sum(x[i]^2) in double, over a fixed tree of lanes that depends on n alone. Infinite or NaN when
/// any value is.
template <class T>
double sum_of_squares(const T* x, std::int64_t n) noexcept;

/// y[i] = x[i], rounded to the nearest bfloat16, ties to even.
void round_to_bfloat16(const float* x, bfloat16* y, std::int64_t n) noexcept;

/// What every update starts with: g' = clip * g + decay * w.
template <class T>
struct UpdateGradient {
  T clip = 1;
  T decay = 0;
};

/// w -= lr g'
template <class T>
void sgd_update(T* w, const T* g, std::int64_t n, UpdateGradient<T> gradient, T lr) noexcept;

/// v = mu v + g';  w -= lr v, or with nesterov w -= lr (g' + mu v)
template <class T>
void momentum_update(T* w, const T* g, T* v, std::int64_t n, UpdateGradient<T> gradient, T lr, T mu,
                     bool nesterov) noexcept;

/// s = rho s + (1 - rho) g'^2;  w -= lr g' / (sqrt(s) + eps)
template <class T>
void rmsprop_update(T* w, const T* g, T* s, std::int64_t n, UpdateGradient<T> gradient, T lr, T rho,
                    T eps) noexcept;

template <class T>
struct AdamCoefficients {
  T beta1, one_minus_beta1, beta2, one_minus_beta2;
  T step;        ///< lr / (1 - beta1^t)
  T inverse_c2;  ///< 1 / sqrt(1 - beta2^t)
  T eps;
  T keep;  ///< w is first multiplied by it: 1 - lr decay for adamw, else 1.
};

/// m = beta1 m + (1 - beta1) g';  s = beta2 s + (1 - beta2) g'^2;
/// w = keep w - step m / (sqrt(s) inverse_c2 + eps)
template <class T>
void adam_update(T* w, const T* g, T* m, T* s, std::int64_t n, UpdateGradient<T> gradient,
                 const AdamCoefficients<T>& k) noexcept;

}  // namespace evenrow::kernels
