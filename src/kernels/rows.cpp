#include "kernels/rows.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE  // the foreach_target.h below includes this file again
#define HWY_COMPILE_ALL_ATTAINABLE  // the scalar target too, whatever the compiler's baseline is
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "kernels/channel_sums-inl.h"
#include "kernels/row_maps-inl.h"
#include "kernels/row_sums-inl.h"

// HWY_EXPORT takes plain functions: one of each for every element type.
#define EVENROW_ROWS(SUFFIX, T)                                                                    \
  Moments RowMoments##SUFFIX(const T* x, std::int64_t n) {                                         \
    return RowMoments(x, n);                                                                       \
  }                                                                                                \
  void RowNormalize##SUFFIX(const T* x, T* y, std::int64_t n, const Affine<NormParameter<T>>& k,   \
                            bool relu) {                                                           \
    with_flag(relu,                                                                                \
              [&](auto does) { RowNormalize<false, does(), T>(x, nullptr, y, n, k, false, 0); });  \
  }                                                                                                \
  GradientSums RowGradientSums##SUFFIX(const T* x, const T* dy, std::int64_t n, double mean,       \
                                       double rstd, const Affine<NormParameter<T>>* relu_of) {     \
    return with_row_gate(                                                                          \
        relu_of, [&](const auto& gate) { return RowGradientSums(x, dy, n, mean, rstd, gate); });   \
  }                                                                                                \
  void RowInputGradient##SUFFIX(const T* x, const T* dy, T* dx, std::int64_t n,                    \
                                const InputGradient<NormParameter<T>>& k,                          \
                                const Affine<NormParameter<T>>* relu_of) {                         \
    with_row_gate(relu_of, [&](const auto& gate) {                                                 \
      RowInputGradient<false, false, T>(x, dy, dx, nullptr, nullptr, n, k, gate, false);           \
    });                                                                                            \
  }                                                                                                \
  void ChannelMoments##SUFFIX(const Rows<const T>& x, const Runs& runs, std::int64_t first,        \
                              std::int64_t count, std::int64_t channels, Moments* leaves,          \
                              std::int64_t stride) {                                               \
    return runs.weights == nullptr                                                                 \
               ? ChannelMoments(x, runs, first, count, channels, leaves, stride)                   \
               : ChannelWeightedMoments(x, runs, first, count, channels, leaves, stride);          \
  }                                                                                                \
  void ChannelNormalize##SUFFIX(const Rows<const T>& x, const Rows<const T>& residual,             \
                                const Rows<T>& y, const Runs& runs, const ColumnRange& range,      \
                                std::int64_t channels, const ChannelAffine<NormParameter<T>>& k,   \
                                bool relu, const ReluBits& bits) {                                 \
    return ChannelNormalize(x, residual, y, runs, range, channels, k, relu, bits);                 \
  }                                                                                                \
  void ChannelGradientSums##SUFFIX(                                                                \
      const Rows<const T>& x, const Rows<const T>& dy, const Runs& runs, std::int64_t first,       \
      std::int64_t count, std::int64_t channels, const Normalization<NormParameter<T>>& with,      \
      const ReluGate<NormParameter<T>>& gate, GradientSums* leaves, std::int64_t stride) {         \
    with_gate(gate, [&](auto kind) {                                                               \
      ChannelGradientSums<T, kind()>(x, dy, runs, first, count, channels, with, gate, leaves,      \
                                     stride);                                                      \
    });                                                                                            \
  }                                                                                                \
  void ChannelInputGradient##SUFFIX(                                                               \
      const Rows<const T>& x, const Rows<const T>& dy, const Rows<T>& dx,                          \
      const Rows<T>& dresidual, const Runs& runs, const ColumnRange& range, std::int64_t channels, \
      const ChannelGradient<NormParameter<T>>& k, const ReluGate<NormParameter<T>>& gate) {        \
    return ChannelInputGradient(x, dy, dx, dresidual, runs, range, channels, k, gate);             \
  }

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

EVENROW_ROWS(F32, float)
EVENROW_ROWS(F64, double)
EVENROW_ROWS(BF16, bfloat16)
EVENROW_ROWS(F16, float16)

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

std::size_t Runs::at_position(std::int64_t position) const noexcept {
  const Run* const after =
      std::upper_bound(data, data + size, position,
                       [](std::int64_t p, const Run& run) { return p < run.before + run.length; });
  return static_cast<std::size_t>(after - data);
}

std::size_t Runs::at_column(std::int64_t column) const noexcept {
  const Run* const after =
      std::upper_bound(data, data + size, column,
                       [](std::int64_t c, const Run& run) { return c < run.start + run.length; });
  return static_cast<std::size_t>(after - data);
}

#define EVENROW_EXPORT_ROWS(SUFFIX, T)                                                             \
  HWY_EXPORT(RowMoments##SUFFIX);                                                                  \
  HWY_EXPORT(RowNormalize##SUFFIX);                                                                \
  HWY_EXPORT(RowGradientSums##SUFFIX);                                                             \
  HWY_EXPORT(RowInputGradient##SUFFIX);                                                            \
  HWY_EXPORT(ChannelMoments##SUFFIX);                                                              \
  HWY_EXPORT(ChannelNormalize##SUFFIX);                                                            \
  HWY_EXPORT(ChannelGradientSums##SUFFIX);                                                         \
  HWY_EXPORT(ChannelInputGradient##SUFFIX);                                                        \
  template <>                                                                                      \
  Moments row_moments<T>(const T* x, std::int64_t n) noexcept {                                    \
    return HWY_DYNAMIC_DISPATCH(RowMoments##SUFFIX)(x, n);                                         \
  }                                                                                                \
  template <>                                                                                      \
  void row_normalize<T>(const T* x, T* y, std::int64_t n, const Affine<NormParameter<T>>& k,       \
                        bool relu) noexcept {                                                      \
    return HWY_DYNAMIC_DISPATCH(RowNormalize##SUFFIX)(x, y, n, k, relu);                           \
  }                                                                                                \
  template <>                                                                                      \
  GradientSums row_gradient_sums<T>(const T* x, const T* dy, std::int64_t n, double mean,          \
                                    double rstd,                                                   \
                                    const Affine<NormParameter<T>>* relu_of) noexcept {            \
    return HWY_DYNAMIC_DISPATCH(RowGradientSums##SUFFIX)(x, dy, n, mean, rstd, relu_of);           \
  }                                                                                                \
  template <>                                                                                      \
  void row_input_gradient<T>(const T* x, const T* dy, T* dx, std::int64_t n,                       \
                             const InputGradient<NormParameter<T>>& k,                             \
                             const Affine<NormParameter<T>>* relu_of) noexcept {                   \
    return HWY_DYNAMIC_DISPATCH(RowInputGradient##SUFFIX)(x, dy, dx, n, k, relu_of);               \
  }                                                                                                \
  template <>                                                                                      \
  void channel_moments<T>(const Rows<const T>& x, const Runs& runs, std::int64_t first,            \
                          std::int64_t count, std::int64_t channels, Moments* leaves,              \
                          std::int64_t stride) noexcept {                                          \
    return HWY_DYNAMIC_DISPATCH(ChannelMoments##SUFFIX)(x, runs, first, count, channels, leaves,   \
                                                        stride);                                   \
  }                                                                                                \
  template <>                                                                                      \
  void channel_normalize<T>(const Rows<const T>& x, const Rows<const T>& residual,                 \
                            const Rows<T>& y, const Runs& runs, const ColumnRange& range,          \
                            std::int64_t channels, const ChannelAffine<NormParameter<T>>& k,       \
                            bool relu, const ReluBits& bits) noexcept {                            \
    return HWY_DYNAMIC_DISPATCH(ChannelNormalize##SUFFIX)(x, residual, y, runs, range, channels,   \
                                                          k, relu, bits);                          \
  }                                                                                                \
  template <>                                                                                      \
  void channel_gradient_sums<T>(const Rows<const T>& x, const Rows<const T>& dy, const Runs& runs, \
                                std::int64_t first, std::int64_t count, std::int64_t channels,     \
                                const Normalization<NormParameter<T>>& with,                       \
                                const ReluGate<NormParameter<T>>& gate, GradientSums* leaves,      \
                                std::int64_t stride) noexcept {                                    \
    return HWY_DYNAMIC_DISPATCH(ChannelGradientSums##SUFFIX)(x, dy, runs, first, count, channels,  \
                                                             with, gate, leaves, stride);          \
  }                                                                                                \
  template <>                                                                                      \
  void channel_input_gradient<T>(const Rows<const T>& x, const Rows<const T>& dy,                  \
                                 const Rows<T>& dx, const Rows<T>& dresidual, const Runs& runs,    \
                                 const ColumnRange& range, std::int64_t channels,                  \
                                 const ChannelGradient<NormParameter<T>>& k,                       \
                                 const ReluGate<NormParameter<T>>& gate) noexcept {                \
    return HWY_DYNAMIC_DISPATCH(ChannelInputGradient##SUFFIX)(x, dy, dx, dresidual, runs, range,   \
                                                              channels, k, gate);                  \
  }

EVENROW_EXPORT_ROWS(F32, float)
EVENROW_EXPORT_ROWS(F64, double)
EVENROW_EXPORT_ROWS(BF16, bfloat16)
EVENROW_EXPORT_ROWS(F16, float16)

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
