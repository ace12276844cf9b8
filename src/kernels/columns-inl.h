// The loops of columns.hpp, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_COLUMNS_INL_H_
#undef EVENROW_KERNELS_COLUMNS_INL_H_
#else
#define EVENROW_KERNELS_COLUMNS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/columns.hpp"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sum_a[c] += a, sum_ab[c] += a * b over a few columns, for whole vectors of at most kLimit
// channels from `at` on, then for the rest with narrower ones. load(d, column, channel, a, b) gives
// both as vectors of doubles. Four vectors at a time hide the latency of the additions.
template <std::size_t kLimit, class Load>
HWY_INLINE void TileSums(std::int64_t columns, std::int64_t at, std::int64_t channels,
                         double* sum_a, double* sum_ab, const Load& load) {
  const hn::CappedTag<double, kLimit> d;
  using V = hn::Vec<decltype(d)>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (; at + 4 * lanes <= channels; at += 4 * lanes) {
    double* const to_a = sum_a + at;
    double* const to_ab = sum_ab + at;
    V a0 = hn::LoadU(d, to_a), a1 = hn::LoadU(d, to_a + lanes);
    V a2 = hn::LoadU(d, to_a + 2 * lanes), a3 = hn::LoadU(d, to_a + 3 * lanes);
    V ab0 = hn::LoadU(d, to_ab), ab1 = hn::LoadU(d, to_ab + lanes);
    V ab2 = hn::LoadU(d, to_ab + 2 * lanes), ab3 = hn::LoadU(d, to_ab + 3 * lanes);
    for (std::int64_t j = 0; j < columns; ++j) {
      V a, b;
      load(d, j, at, a, b);
      a0 = hn::Add(a0, a);
      ab0 = hn::MulAdd(a, b, ab0);
      load(d, j, at + lanes, a, b);
      a1 = hn::Add(a1, a);
      ab1 = hn::MulAdd(a, b, ab1);
      load(d, j, at + 2 * lanes, a, b);
      a2 = hn::Add(a2, a);
      ab2 = hn::MulAdd(a, b, ab2);
      load(d, j, at + 3 * lanes, a, b);
      a3 = hn::Add(a3, a);
      ab3 = hn::MulAdd(a, b, ab3);
    }
    hn::StoreU(a0, d, to_a);
    hn::StoreU(a1, d, to_a + lanes);
    hn::StoreU(a2, d, to_a + 2 * lanes);
    hn::StoreU(a3, d, to_a + 3 * lanes);
    hn::StoreU(ab0, d, to_ab);
    hn::StoreU(ab1, d, to_ab + lanes);
    hn::StoreU(ab2, d, to_ab + 2 * lanes);
    hn::StoreU(ab3, d, to_ab + 3 * lanes);
  }
  for (; at + lanes <= channels; at += lanes) {
    V a_sum = hn::LoadU(d, sum_a + at);
    V ab_sum = hn::LoadU(d, sum_ab + at);
    for (std::int64_t j = 0; j < columns; ++j) {
      V a, b;
      load(d, j, at, a, b);
      a_sum = hn::Add(a_sum, a);
      ab_sum = hn::MulAdd(a, b, ab_sum);
    }
    hn::StoreU(a_sum, d, sum_a + at);
    hn::StoreU(ab_sum, d, sum_ab + at);
  }
  if constexpr (lanes > 1) {
    TileSums<static_cast<std::size_t>(lanes / 2)>(columns, at, channels, sum_a, sum_ab, load);
  }
}

// Columns a tile: few enough for a tile to be still in L1 when its next channels are read.
inline constexpr std::int64_t kTile = 16;

template <class Load>
HWY_INLINE void ColumnSums(std::int64_t columns, std::int64_t channels, double* sum_a,
                           double* sum_ab, const Load& load) {
  for (std::int64_t first = 0; first < columns; first += kTile) {
    TileSums<hn::MaxLanes(hn::ScalableTag<double>())>(
        std::min(kTile, columns - first), 0, channels, sum_a, sum_ab,
        [&load, first](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
          load(d, first + j, c, a, b);
        });
  }
}

template <class T>
void ColumnMomentSums(const T* x, std::int64_t columns, std::int64_t stride, std::int64_t channels,
                      const double* pivot, double* sum, double* squares) {
  ColumnSums(columns, channels, sum, squares,
             [x, stride, pivot](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
               a = hn::Sub(load_double(d, x + j * stride + c), hn::LoadU(d, pivot + c));
               b = a;
             });
}

template <class D, class T>
HWY_INLINE Lanes<hn::Vec<D>> load_affine(D d, const ChannelAffine<T>& k, std::int64_t c) {
  return {hn::LoadU(d, k.center + c), hn::LoadU(d, k.scale + c), hn::LoadU(d, k.shift + c)};
}

template <class T>
void ColumnGradientSums(const T* x, const T* dy, std::int64_t columns, std::int64_t stride,
                        std::int64_t channels, const double* mean, double* sum_dy,
                        double* sum_dy_centered, const ChannelAffine<T>* relu_of) {
  if (relu_of == nullptr) {
    ColumnSums(columns, channels, sum_dy, sum_dy_centered,
               [x, dy, stride, mean](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
                 a = load_double(d, dy + j * stride + c);
                 b = hn::Sub(load_double(d, x + j * stride + c), hn::LoadU(d, mean + c));
               });
  } else {
    const ChannelAffine<T> k = *relu_of;
    ColumnSums(columns, channels, sum_dy, sum_dy_centered,
               [x, dy, stride, mean, k](auto d, std::int64_t j, std::int64_t c, auto& a, auto& b) {
                 const hn::Rebind<T, decltype(d)> dt;
                 const auto value = hn::LoadU(dt, x + j * stride + c);
                 const auto g = hn::LoadU(dt, dy + j * stride + c);
                 a = to_double(d, through_relu(dt, value, g, load_affine(dt, k, c)));
                 b = hn::Sub(to_double(d, value), hn::LoadU(d, mean + c));
               });
  }
}

template <class T>
void ColumnNormalize(const T* x, T* y, std::int64_t columns, std::int64_t stride,
                     std::int64_t channels, const ChannelAffine<T>& k, bool with_relu) {
  for (std::int64_t j = 0; j < columns; ++j, x += stride, y += stride) {
    if (with_relu) {
      ForRow(y, channels, [x, &k](auto d, std::int64_t c) {
        return relu(d, apply(hn::LoadU(d, x + c), load_affine(d, k, c)));
      });
    } else {
      ForRow(y, channels, [x, &k](auto d, std::int64_t c) {
        return apply(hn::LoadU(d, x + c), load_affine(d, k, c));
      });
    }
  }
}

template <class T>
void ColumnInputGradient(const T* x, const T* dy, T* dx, std::int64_t columns, std::int64_t stride,
                         std::int64_t channels, const ChannelGradient<T>& k,
                         const ChannelAffine<T>* relu_of) {
  const auto gradient = [&k](auto d, std::int64_t c, auto value, auto g) {
    const auto centered = hn::Sub(value, hn::LoadU(d, k.center + c));
    const auto rest = hn::MulAdd(hn::LoadU(d, k.b + c), centered, hn::LoadU(d, k.c + c));
    return hn::Mul(hn::LoadU(d, k.a + c), hn::Add(g, rest));
  };
  for (std::int64_t j = 0; j < columns; ++j, x += stride, dy += stride, dx += stride) {
    if (relu_of == nullptr) {
      ForRow(dx, channels, [x, dy, &gradient](auto d, std::int64_t c) {
        return gradient(d, c, hn::LoadU(d, x + c), hn::LoadU(d, dy + c));
      });
    } else {
      ForRow(dx, channels, [x, dy, &gradient, relu_of](auto d, std::int64_t c) {
        const auto value = hn::LoadU(d, x + c);
        const auto g = through_relu(d, value, hn::LoadU(d, dy + c), load_affine(d, *relu_of, c));
        return gradient(d, c, value, g);
      });
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
