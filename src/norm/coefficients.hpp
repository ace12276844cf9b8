// The coefficients of one channel, for dense blocks, which normalize a row at a time. The formulas
// are in kernels/coefficients.hpp.
#pragma once

#include "kernels/coefficients.hpp"
#include "kernels/rows.hpp"

namespace evenrow::norm {

using kernels::inverse_deviation;

template <class T>
kernels::Affine<T> train_coefficients(double mean, double biased_variance, double eps, T gamma,
                                      T beta) noexcept {
  kernels::Affine<T> k;
  kernels::train_coefficients<T>(1, {&mean, &biased_variance, eps, &gamma, &beta},
                                 {&k.center, &k.scale, &k.shift});
  return k;
}

template <class T>
kernels::Affine<T> infer_coefficients(double mean, double variance, double eps, T gamma,
                                      T beta) noexcept {
  kernels::Affine<T> k;
  kernels::infer_coefficients<T>(1, {&mean, &variance, eps, &gamma, &beta},
                                 {&k.center, &k.scale, &k.shift});
  return k;
}

template <class T>
kernels::InputGradient<T> backward_coefficients(double mean, double biased_variance, double eps,
                                                T gamma, double dgamma, double dbeta,
                                                double n) noexcept {
  kernels::InputGradient<T> k;
  kernels::gradient_coefficients<T>(1, {&mean, &biased_variance, eps, &gamma, nullptr}, &dbeta,
                                    &dgamma, n, {&k.center, &k.a, &k.b, &k.c});
  return k;
}

}  // namespace evenrow::norm
