#include "kernels/columns.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE  // the foreach_target.h below includes this file again
#define HWY_COMPILE_ALL_ATTAINABLE  // the scalar target too, whatever the compiler's baseline is
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/columns.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "kernels/columns-inl.h"

// HWY_EXPORT takes plain functions: one of each for every element type.
#define EVENROW_COLUMNS(SUFFIX, T)                                                                 \
  void ColumnMomentSums##SUFFIX(const T* x, std::int64_t columns, std::int64_t stride,             \
                                std::int64_t channels, const double* pivot, double* sum,           \
                                double* squares) {                                                 \
    ColumnMomentSums(x, columns, stride, channels, pivot, sum, squares);                           \
  }                                                                                                \
  void ColumnNormalize##SUFFIX(const T* x, T* y, std::int64_t columns, std::int64_t stride,        \
                               std::int64_t channels, const ChannelAffine<T>& k, bool with_relu) { \
    ColumnNormalize(x, y, columns, stride, channels, k, with_relu);                                \
  }                                                                                                \
  void ColumnGradientSums##SUFFIX(const T* x, const T* dy, std::int64_t columns,                   \
                                  std::int64_t stride, std::int64_t channels, const double* mean,  \
                                  double* sum_dy, double* sum_dy_centered,                         \
                                  const ChannelAffine<T>* relu_of) {                               \
    ColumnGradientSums(x, dy, columns, stride, channels, mean, sum_dy, sum_dy_centered, relu_of);  \
  }                                                                                                \
  void ColumnInputGradient##SUFFIX(const T* x, const T* dy, T* dx, std::int64_t columns,           \
                                   std::int64_t stride, std::int64_t channels,                     \
                                   const ChannelGradient<T>& k, const ChannelAffine<T>* relu_of) { \
    ColumnInputGradient(x, dy, dx, columns, stride, channels, k, relu_of);                         \
  }

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

EVENROW_COLUMNS(F32, float)
EVENROW_COLUMNS(F64, double)

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

#define EVENROW_EXPORT_COLUMNS(SUFFIX, T)                                                          \
  HWY_EXPORT(ColumnMomentSums##SUFFIX);                                                            \
  HWY_EXPORT(ColumnNormalize##SUFFIX);                                                             \
  HWY_EXPORT(ColumnGradientSums##SUFFIX);                                                          \
  HWY_EXPORT(ColumnInputGradient##SUFFIX);                                                         \
  template <>                                                                                      \
  void column_moment_sums<T>(const T* x, std::int64_t columns, std::int64_t stride,                \
                             std::int64_t channels, const double* pivot, double* sum,              \
                             double* squares) noexcept {                                           \
    HWY_DYNAMIC_DISPATCH(ColumnMomentSums##SUFFIX)                                                 \
    (x, columns, stride, channels, pivot, sum, squares);                                           \
  }                                                                                                \
  template <>                                                                                      \
  void column_normalize<T>(const T* x, T* y, std::int64_t columns, std::int64_t stride,            \
                           std::int64_t channels, const ChannelAffine<T>& forward,                 \
                           bool relu) noexcept {                                                   \
    HWY_DYNAMIC_DISPATCH(ColumnNormalize##SUFFIX)(x, y, columns, stride, channels, forward, relu); \
  }                                                                                                \
  template <>                                                                                      \
  void column_gradient_sums<T>(const T* x, const T* dy, std::int64_t columns, std::int64_t stride, \
                               std::int64_t channels, const double* mean, double* sum_dy,          \
                               double* sum_dy_centered,                                            \
                               const ChannelAffine<T>* relu_of) noexcept {                         \
    HWY_DYNAMIC_DISPATCH(ColumnGradientSums##SUFFIX)                                               \
    (x, dy, columns, stride, channels, mean, sum_dy, sum_dy_centered, relu_of);                    \
  }                                                                                                \
  template <>                                                                                      \
  void column_input_gradient<T>(const T* x, const T* dy, T* dx, std::int64_t columns,              \
                                std::int64_t stride, std::int64_t channels,                        \
                                const ChannelGradient<T>& gradient,                                \
                                const ChannelAffine<T>* relu_of) noexcept {                        \
    HWY_DYNAMIC_DISPATCH(ColumnInputGradient##SUFFIX)                                              \
    (x, dy, dx, columns, stride, channels, gradient, relu_of);                                     \
  }

EVENROW_EXPORT_COLUMNS(F32, float)
EVENROW_EXPORT_COLUMNS(F64, double)

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
