#include "kernels/updates.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/updates.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "kernels/updates-inl.h"

// HWY_EXPORT takes plain functions: one of each for every element type.
#define EVENROW_UPDATES(SUFFIX, T)                                                                \
  double SumOfSquares##SUFFIX(const T* x, std::int64_t n) {                                       \
    return SumOfSquares(x, n);                                                                    \
  }                                                                                               \
  void Sgd##SUFFIX(T* w, const T* g, std::int64_t n, UpdateGradient<T> gradient, T lr) {          \
    Sgd(w, g, n, gradient, lr);                                                                   \
  }                                                                                               \
  void Momentum##SUFFIX(T* w, const T* g, T* v, std::int64_t n, UpdateGradient<T> gradient, T lr, \
                        T mu, bool nesterov) {                                                    \
    Momentum(w, g, v, n, gradient, lr, mu, nesterov);                                             \
  }                                                                                               \
  void RmsProp##SUFFIX(T* w, const T* g, T* s, std::int64_t n, UpdateGradient<T> gradient, T lr,  \
                       T rho, T eps) {                                                            \
    RmsProp(w, g, s, n, gradient, lr, rho, eps);                                                  \
  }                                                                                               \
  void Adam##SUFFIX(T* w, const T* g, T* m, T* s, std::int64_t n, UpdateGradient<T> gradient,     \
                    const AdamCoefficients<T>& k) {                                               \
    Adam(w, g, m, s, n, gradient, k);                                                             \
  }

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

EVENROW_UPDATES(F32, float)
EVENROW_UPDATES(F64, double)

void RoundFloats(const float* x, bfloat16* y, std::int64_t n) {
  RoundToBfloat16(x, y, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

#define EVENROW_EXPORT_UPDATES(SUFFIX, T)                                                        \
  HWY_EXPORT(SumOfSquares##SUFFIX);                                                              \
  HWY_EXPORT(Sgd##SUFFIX);                                                                       \
  HWY_EXPORT(Momentum##SUFFIX);                                                                  \
  HWY_EXPORT(RmsProp##SUFFIX);                                                                   \
  HWY_EXPORT(Adam##SUFFIX);                                                                      \
  template <>                                                                                    \
  double sum_of_squares<T>(const T* x, std::int64_t n) noexcept {                                \
    return HWY_DYNAMIC_DISPATCH(SumOfSquares##SUFFIX)(x, n);                                     \
  }                                                                                              \
  template <>                                                                                    \
  void sgd_update<T>(T * w, const T* g, std::int64_t n, UpdateGradient<T> gradient,              \
                     T lr) noexcept {                                                            \
    HWY_DYNAMIC_DISPATCH(Sgd##SUFFIX)(w, g, n, gradient, lr);                                    \
  }                                                                                              \
  template <>                                                                                    \
  void momentum_update<T>(T * w, const T* g, T* v, std::int64_t n, UpdateGradient<T> gradient,   \
                          T lr, T mu, bool nesterov) noexcept {                                  \
    HWY_DYNAMIC_DISPATCH(Momentum##SUFFIX)(w, g, v, n, gradient, lr, mu, nesterov);              \
  }                                                                                              \
  template <>                                                                                    \
  void rmsprop_update<T>(T * w, const T* g, T* s, std::int64_t n, UpdateGradient<T> gradient,    \
                         T lr, T rho, T eps) noexcept {                                          \
    HWY_DYNAMIC_DISPATCH(RmsProp##SUFFIX)(w, g, s, n, gradient, lr, rho, eps);                   \
  }                                                                                              \
  template <>                                                                                    \
  void adam_update<T>(T * w, const T* g, T* m, T* s, std::int64_t n, UpdateGradient<T> gradient, \
                      const AdamCoefficients<T>& k) noexcept {                                   \
    HWY_DYNAMIC_DISPATCH(Adam##SUFFIX)(w, g, m, s, n, gradient, k);                              \
  }

EVENROW_EXPORT_UPDATES(F32, float)
EVENROW_EXPORT_UPDATES(F64, double)

HWY_EXPORT(RoundFloats);
void round_to_bfloat16(const float* x, bfloat16* y, std::int64_t n) noexcept {
  HWY_DYNAMIC_DISPATCH(RoundFloats)(x, y, n);
}

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
