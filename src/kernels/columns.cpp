#include "kernels/columns.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE  // the foreach_target.h below includes this file again
#define HWY_COMPILE_ALL_ATTAINABLE  // the scalar target too, whatever the compiler's baseline is
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/columns.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "kernels/column_maps-inl.h"
#include "kernels/column_sums-inl.h"

// HWY_EXPORT takes plain functions: one of each for every element type.
#define EVENROW_COLUMNS(SUFFIX, T)                                                              \
  void ColumnMoments##SUFFIX(const Columns<const T>& x, const Runs& runs, std::int64_t first,   \
                             std::int64_t count, std::int64_t channels, double* records,        \
                             std::int64_t record, std::int64_t m2) {                            \
    ColumnMoments(x, runs, first, count, channels, records, record, m2);                        \
  }                                                                                             \
  void ColumnGradientSums##SUFFIX(const Columns<const T>& x, const Columns<const T>& dy,        \
                                  const Runs& runs, std::int64_t first, std::int64_t count,     \
                                  std::int64_t channels, const double* mean,                    \
                                  const ColumnGate<NormParameter<T>>& gate, double* records,    \
                                  std::int64_t record, std::int64_t centered) {                 \
    ColumnGradientSums(x, dy, runs, first, count, channels, mean, gate, records, record,        \
                       centered);                                                               \
  }                                                                                             \
  void ColumnNormalize##SUFFIX(const Columns<const T>& x, const Columns<const T>& residual,     \
                               const Columns<T>& y, const Runs& runs, const ColumnRange& range, \
                               std::int64_t channels, const ChannelAffine<NormParameter<T>>& k, \
                               bool relu, const ColumnBits& bits) {                             \
    ColumnNormalize(x, residual, y, runs, range, channels, k, relu, bits);                      \
  }                                                                                             \
  void ColumnInputGradient##SUFFIX(                                                             \
      const Columns<const T>& x, const Columns<const T>& dy, const Columns<T>& dx,              \
      const Columns<T>& dresidual, const Runs& runs, const ColumnRange& range,                  \
      std::int64_t channels, const ChannelGradient<NormParameter<T>>& k,                        \
      const ColumnGate<NormParameter<T>>& gate) {                                               \
    ColumnInputGradient(x, dy, dx, dresidual, runs, range, channels, k, gate);                  \
  }

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

EVENROW_COLUMNS(F32, float)
EVENROW_COLUMNS(F64, double)
EVENROW_COLUMNS(BF16, bfloat16)
EVENROW_COLUMNS(F16, float16)

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenrow::kernels {

HWY_EXPORT(MergeColumnMoments);
HWY_EXPORT(MergeColumnGradientSums);

void merge_column_moments(double* records, std::int64_t record, std::int64_t m2,
                          const double* counts, std::int64_t nodes, std::int64_t channels,
                          double divisor, double* mean, double* squares) noexcept {
  HWY_DYNAMIC_DISPATCH(MergeColumnMoments)
  (records, record, m2, counts, nodes, channels, divisor, mean, squares);
}

void merge_column_gradient_sums(double* records, std::int64_t record, std::int64_t centered,
                                std::int64_t nodes, std::int64_t channels, const double* rstd,
                                double* dy, double* dy_times) noexcept {
  HWY_DYNAMIC_DISPATCH(MergeColumnGradientSums)
  (records, record, centered, nodes, channels, rstd, dy, dy_times);
}

#define EVENROW_EXPORT_COLUMNS(SUFFIX, T)                                                          \
  HWY_EXPORT(ColumnMoments##SUFFIX);                                                               \
  HWY_EXPORT(ColumnGradientSums##SUFFIX);                                                          \
  HWY_EXPORT(ColumnNormalize##SUFFIX);                                                             \
  HWY_EXPORT(ColumnInputGradient##SUFFIX);                                                         \
  template <>                                                                                      \
  void column_moments<T>(const Columns<const T>& x, const Runs& runs, std::int64_t first,          \
                         std::int64_t count, std::int64_t channels, double* records,               \
                         std::int64_t record, std::int64_t m2) noexcept {                          \
    HWY_DYNAMIC_DISPATCH(ColumnMoments##SUFFIX)                                                    \
    (x, runs, first, count, channels, records, record, m2);                                        \
  }                                                                                                \
  template <>                                                                                      \
  void column_gradient_sums<T>(const Columns<const T>& x, const Columns<const T>& dy,              \
                               const Runs& runs, std::int64_t first, std::int64_t count,           \
                               std::int64_t channels, const double* mean,                          \
                               const ColumnGate<NormParameter<T>>& gate, double* records,          \
                               std::int64_t record, std::int64_t centered) noexcept {              \
    HWY_DYNAMIC_DISPATCH(ColumnGradientSums##SUFFIX)                                               \
    (x, dy, runs, first, count, channels, mean, gate, records, record, centered);                  \
  }                                                                                                \
  template <>                                                                                      \
  void column_normalize<T>(const Columns<const T>& x, const Columns<const T>& residual,            \
                           const Columns<T>& y, const Runs& runs, const ColumnRange& range,        \
                           std::int64_t channels, const ChannelAffine<NormParameter<T>>& k,        \
                           bool relu, const ColumnBits& bits) noexcept {                           \
    HWY_DYNAMIC_DISPATCH(ColumnNormalize##SUFFIX)                                                  \
    (x, residual, y, runs, range, channels, k, relu, bits);                                        \
  }                                                                                                \
  template <>                                                                                      \
  void column_input_gradient<T>(const Columns<const T>& x, const Columns<const T>& dy,             \
                                const Columns<T>& dx, const Columns<T>& dresidual,                 \
                                const Runs& runs, const ColumnRange& range, std::int64_t channels, \
                                const ChannelGradient<NormParameter<T>>& k,                        \
                                const ColumnGate<NormParameter<T>>& gate) noexcept {               \
    HWY_DYNAMIC_DISPATCH(ColumnInputGradient##SUFFIX)                                              \
    (x, dy, dx, dresidual, runs, range, channels, k, gate);                                        \
  }

EVENROW_EXPORT_COLUMNS(F32, float)
EVENROW_EXPORT_COLUMNS(F64, double)
EVENROW_EXPORT_COLUMNS(BF16, bfloat16)
EVENROW_EXPORT_COLUMNS(F16, float16)

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
