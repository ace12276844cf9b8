// The loops of rows.hpp, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_ROWS_INL_H_
#undef EVENROW_KERNELS_ROWS_INL_H_
#else
#define EVENROW_KERNELS_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/lanes-inl.h"
#include "kernels/pairwise.hpp"
#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Partial sums of a leaf. Four vectors of doubles at a time (two chains of additions each) hide the
// latency; with 8 lanes that is the whole width, with fewer the width is swept several times.
inline constexpr std::int64_t kPartials = 32;
inline constexpr std::int64_t kVectors = 4;

struct TwoSums {
  double a = 0;
  double ab = 0;
};

inline double fold(double* partial) {
  for (std::int64_t width = kPartials / 2; width > 0; width /= 2) {
    for (std::int64_t i = 0; i < width; ++i) partial[i] += partial[i + width];
  }
  return partial[0];
}

// sum(a) and sum(a * b) over one leaf; load(d, i, a, b) gives both as vectors of doubles from i on.
template <class Load>
TwoSums LeafSums(std::int64_t n, const Load& load) {
  const hn::CappedTag<double, kPartials / kVectors> d;
  using V = hn::Vec<decltype(d)>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  HWY_ALIGN double sum_a[kPartials];
  HWY_ALIGN double sum_ab[kPartials];
  const std::int64_t whole = n / kPartials * kPartials;
  for (std::int64_t at = 0; at < kPartials; at += kVectors * lanes) {
    V a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0, ab0 = a0, ab1 = a0, ab2 = a0, ab3 = a0;
    for (std::int64_t i = at; i < whole; i += kPartials) {
      V a, b;
      load(d, i, a, b);
      a0 = hn::Add(a0, a);
      ab0 = hn::MulAdd(a, b, ab0);
      load(d, i + lanes, a, b);
      a1 = hn::Add(a1, a);
      ab1 = hn::MulAdd(a, b, ab1);
      load(d, i + 2 * lanes, a, b);
      a2 = hn::Add(a2, a);
      ab2 = hn::MulAdd(a, b, ab2);
      load(d, i + 3 * lanes, a, b);
      a3 = hn::Add(a3, a);
      ab3 = hn::MulAdd(a, b, ab3);
    }
    hn::Store(a0, d, sum_a + at);
    hn::Store(a1, d, sum_a + at + lanes);
    hn::Store(a2, d, sum_a + at + 2 * lanes);
    hn::Store(a3, d, sum_a + at + 3 * lanes);
    hn::Store(ab0, d, sum_ab + at);
    hn::Store(ab1, d, sum_ab + at + lanes);
    hn::Store(ab2, d, sum_ab + at + 2 * lanes);
    hn::Store(ab3, d, sum_ab + at + 3 * lanes);
  }
  // The rest goes to the first partial sums: whole vectors, then single values.
  std::int64_t i = whole;
  for (; i + lanes <= n; i += lanes) {
    V a, b;
    load(d, i, a, b);
    double* const to_a = sum_a + (i - whole);
    double* const to_ab = sum_ab + (i - whole);
    hn::Store(hn::Add(hn::Load(d, to_a), a), d, to_a);
    hn::Store(hn::MulAdd(a, b, hn::Load(d, to_ab)), d, to_ab);
  }
  for (; i < n; ++i) {
    const hn::CappedTag<double, 1> d1;
    hn::Vec<decltype(d1)> a, b;
    load(d1, i, a, b);
    double* const to_a = sum_a + (i - whole);
    double* const to_ab = sum_ab + (i - whole);
    hn::StoreU(hn::Add(hn::LoadU(d1, to_a), a), d1, to_a);
    hn::StoreU(hn::MulAdd(a, b, hn::LoadU(d1, to_ab)), d1, to_ab);
  }
  return {fold(sum_a), fold(sum_ab)};
}

// The mean of the first k values, k the largest power of two up to 16 and n; as a difference to the
// first one, so that equal values give exactly themselves.
template <class T>
double Pivot(const T* x, std::int64_t n) {
  const std::int64_t k = std::min<std::int64_t>(
      16, static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n))));
  const double first = static_cast<double>(x[0]);
  double difference[16];
  for (std::int64_t i = 0; i < k; ++i) difference[i] = static_cast<double>(x[i]) - first;
  for (std::int64_t width = k / 2; width > 0; width /= 2) {
    for (std::int64_t i = 0; i < width; ++i) difference[i] += difference[i + width];
  }
  return first + difference[0] / static_cast<double>(k);
}

template <class T>
Moments LeafMoments(const T* x, std::int64_t n) {
  const double pivot = Pivot(x, n);
  const TwoSums sums = LeafSums(n, [x, pivot](auto d, std::int64_t i, auto& a, auto& b) {
    a = hn::Sub(load_double(d, x + i), hn::Set(d, pivot));
    b = a;
  });
  // sum((x - mean)^2) = sum((x - p)^2) - sum(x - p)^2 / n; rounding alone could leave it below 0.
  const double count = static_cast<double>(n);
  const double m2 = sums.ab - sums.a * (sums.a / count);
  return {count, pivot + sums.a / count, m2 < 0.0 ? 0.0 : m2};
}

template <class T>
Moments RowMoments(const T* x, std::int64_t n) {
  if (n <= kLeaf) return n > 0 ? LeafMoments(x, n) : Moments{};
  PairwiseMerge<Moments> tree;
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    tree.push(LeafMoments(x + i, std::min(kLeaf, n - i)));
  }
  return tree.total();
}

template <class T>
GradientSums LeafGradientSums(const T* x, const T* dy, std::int64_t n, double mean, double rstd,
                              const Affine<T>* relu_of) {
  TwoSums sums;
  if (relu_of == nullptr) {
    sums = LeafSums(n, [x, dy, mean](auto d, std::int64_t i, auto& a, auto& b) {
      a = load_double(d, dy + i);
      b = hn::Sub(load_double(d, x + i), hn::Set(d, mean));
    });
  } else {
    const Affine<T> forward = *relu_of;
    sums = LeafSums(n, [x, dy, mean, forward](auto d, std::int64_t i, auto& a, auto& b) {
      const hn::Rebind<T, decltype(d)> dt;
      const auto value = hn::LoadU(dt, x + i);
      a = to_double(d, through_relu(dt, value, hn::LoadU(dt, dy + i), broadcast(dt, forward)));
      b = hn::Sub(to_double(d, value), hn::Set(d, mean));
    });
  }
  return {sums.a, sums.ab * rstd};
}

template <class T>
GradientSums RowGradientSums(const T* x, const T* dy, std::int64_t n, double mean, double rstd,
                             const Affine<T>* relu_of) {
  if (n <= kLeaf) return LeafGradientSums(x, dy, n, mean, rstd, relu_of);
  PairwiseMerge<GradientSums> tree;
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    tree.push(LeafGradientSums(x + i, dy + i, std::min(kLeaf, n - i), mean, rstd, relu_of));
  }
  return tree.total();
}

template <class T>
void RowNormalize(const T* x, T* y, std::int64_t n, Affine<T> k, bool with_relu) {
  if (with_relu) {
    ForRow(y, n, [x, k](auto d, std::int64_t i) {
      return relu(d, apply(hn::LoadU(d, x + i), broadcast(d, k)));
    });
  } else {
    ForRow(y, n,
           [x, k](auto d, std::int64_t i) { return apply(hn::LoadU(d, x + i), broadcast(d, k)); });
  }
}

template <class T>
void RowInputGradient(const T* x, const T* dy, T* dx, std::int64_t n, T center, T a, T b, T c,
                      const Affine<T>* relu_of) {
  const auto gradient = [center, a, b, c](auto d, auto value, auto g) {
    const auto centered = hn::Sub(value, hn::Set(d, center));
    const auto mean_free = hn::Add(g, hn::MulAdd(hn::Set(d, b), centered, hn::Set(d, c)));
    return hn::Mul(hn::Set(d, a), mean_free);
  };
  if (relu_of == nullptr) {
    ForRow(dx, n, [x, dy, gradient](auto d, std::int64_t i) {
      return gradient(d, hn::LoadU(d, x + i), hn::LoadU(d, dy + i));
    });
  } else {
    const Affine<T> forward = *relu_of;
    ForRow(dx, n, [x, dy, gradient, forward](auto d, std::int64_t i) {
      const auto value = hn::LoadU(d, x + i);
      return gradient(d, value,
                      through_relu(d, value, hn::LoadU(d, dy + i), broadcast(d, forward)));
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
