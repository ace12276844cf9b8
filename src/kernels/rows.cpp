#include "kernels/rows.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE  // the foreach_target.h below includes this file again
#define HWY_COMPILE_ALL_ATTAINABLE  // the scalar target too, whatever the compiler's baseline is
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "kernels/rows-inl.h"

// HWY_EXPORT takes plain functions: one of each for every element type.
#define EVENROW_ROWS(SUFFIX, T)                                                                \
  Moments RowMoments##SUFFIX(const T* x, std::int64_t n) {                                     \
    return RowMoments(x, n);                                                                   \
  }                                                                                            \
  void RowNormalize##SUFFIX(const T* x, T* y, std::int64_t n, Affine<T> k, bool with_relu) {   \
    RowNormalize(x, y, n, k, with_relu);                                                       \
  }                                                                                            \
  GradientSums RowGradientSums##SUFFIX(const T* x, const T* dy, std::int64_t n, double mean,   \
                                       double rstd, const Affine<T>* relu_of) {                \
    return RowGradientSums(x, dy, n, mean, rstd, relu_of);                                     \
  }                                                                                            \
  void RowInputGradient##SUFFIX(const T* x, const T* dy, T* dx, std::int64_t n, T center, T a, \
                                T b, T c, const Affine<T>* relu_of) {                          \
    RowInputGradient(x, dy, dx, n, center, a, b, c, relu_of);                                  \
  }

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

EVENROW_ROWS(F32, float)
EVENROW_ROWS(F64, double)

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

Moments merge(const Moments& a, const Moments& b) noexcept {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  const double count = a.count + b.count;
  const double delta = b.mean - a.mean;
  const double weight = b.count / count;
  return {count, a.mean + delta * weight, a.m2 + b.m2 + delta * (delta * (a.count * weight))};
}

GradientSums merge(const GradientSums& a, const GradientSums& b) noexcept {
  return {a.dy + b.dy, a.dy_xhat + b.dy_xhat};
}

#define EVENROW_EXPORT_ROWS(SUFFIX, T)                                                           \
  HWY_EXPORT(RowMoments##SUFFIX);                                                                \
  HWY_EXPORT(RowNormalize##SUFFIX);                                                              \
  HWY_EXPORT(RowGradientSums##SUFFIX);                                                           \
  HWY_EXPORT(RowInputGradient##SUFFIX);                                                          \
  template <>                                                                                    \
  Moments row_moments<T>(const T* x, std::int64_t n) noexcept {                                  \
    return HWY_DYNAMIC_DISPATCH(RowMoments##SUFFIX)(x, n);                                       \
  }                                                                                              \
  template <>                                                                                    \
  void row_normalize<T>(const T* x, T* y, std::int64_t n, T center, T scale, T shift,            \
                        bool relu) noexcept {                                                    \
    HWY_DYNAMIC_DISPATCH(RowNormalize##SUFFIX)(x, y, n, {center, scale, shift}, relu);           \
  }                                                                                              \
  template <>                                                                                    \
  GradientSums row_gradient_sums<T>(const T* x, const T* dy, std::int64_t n, double mean,        \
                                    double rstd, const Affine<T>* relu_of) noexcept {            \
    return HWY_DYNAMIC_DISPATCH(RowGradientSums##SUFFIX)(x, dy, n, mean, rstd, relu_of);         \
  }                                                                                              \
  template <>                                                                                    \
  void row_input_gradient<T>(const T* x, const T* dy, T* dx, std::int64_t n, T center, T a, T b, \
                             T c, const Affine<T>* relu_of) noexcept {                           \
    HWY_DYNAMIC_DISPATCH(RowInputGradient##SUFFIX)(x, dy, dx, n, center, a, b, c, relu_of);      \
  }

EVENROW_EXPORT_ROWS(F32, float)
EVENROW_EXPORT_ROWS(F64, double)

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
