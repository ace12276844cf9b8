// The loops of rows.hpp that write a tensor, compiled once for every SIMD target.
#if defined(EVENROW_KERNELS_ROW_MAPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENROW_KERNELS_ROW_MAPS_INL_H_
#undef EVENROW_KERNELS_ROW_MAPS_INL_H_
#else
#define EVENROW_KERNELS_ROW_MAPS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "kernels/lanes-inl.h"
#include "kernels/row_gates-inl.h"
#include "kernels/rows.hpp"

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y = act((x - center) * scale + shift + residual), the residual if it is there. Memory is asked
// for so many values ahead of what is read of it.
template <bool kAdd, bool kRelu, class T>
HWY_INLINE void RowNormalize(const T* x, const T* residual, T* y, std::int64_t n,
                             const Affine<NormParameter<T>>& k, bool stream,
                             std::int64_t residual_ahead) {
  ForRow(y, n, stream, [=](auto d, std::int64_t i) EVENROW_INLINE {
    auto u = apply(load(d, x + i), broadcast(d, k));
    if constexpr (kAdd) {
      if (residual_ahead != 0) FetchLines(residual + i, residual_ahead, hn::MaxLanes(d));
      u = hn::Add(u, load(d, residual + i));
    }
    if constexpr (kRelu) u = relu(d, u);
    return u;
  });
}

// The same with relu, and its bits. These are written in whole bytes from the second one on; so
// that y can be written past the caches at its own alignment, blocks of it are made in L1.
template <class T>
void RowNormalizeWithBits(const T* x, const T* residual, T* y, std::int64_t n,
                          const Affine<NormParameter<T>>& k, bool stream,
                          std::int64_t residual_ahead, const BitsHere& bits) {
  using C = NormParameter<T>;
  const auto block_of = [&](const T* from, const T* add, std::int64_t count, T* out,
                            std::int64_t bit) {
    const auto write = [&](auto d, std::int64_t i) {
      if (residual_ahead != 0) FetchLines(add + i, residual_ahead, hn::MaxLanes(d));
      const auto u = hn::Add(apply(load(d, from + i), broadcast(d, k)), load(d, add + i));
      put_relu_bits(d, u, bits.base, bit + i);
      store(relu(d, u), d, out + i);
    };
    const std::int64_t head = std::min(count, (8 - bit % 8) % 8);
    const hn::CappedTag<C, 1> one;
    for (std::int64_t i = 0; i < head; ++i) write(one, i);
    ForVectors<C>(head, count, write);
  };
  if (!stream) return block_of(x, residual, n, y, bits.first);
  T block[kLeaf];
  for (std::int64_t i = 0; i < n; i += kLeaf) {
    const std::int64_t count = std::min(kLeaf, n - i);
    block_of(x + i, residual + i, count, block, bits.first + i);
    ForRow(y + i, count, true, [&block](auto d, std::int64_t j) { return load(d, block + j); });
  }
}

// dx = a * (dy + w * (b * (x - center) + c)), dresidual = dy, after the gate; weights and dresidual
// if they are there.
template <bool kWeights, bool kResidual, class T, Gate kGate>
HWY_INLINE void RowInputGradient(const T* x, const T* dy, T* dx, T* dresidual, const float* w,
                                 std::int64_t n, const InputGradient<NormParameter<T>>& k,
                                 const GateHere<NormParameter<T>, kGate>& gate, bool stream) {
  const auto through = [x, dy, gate](auto d, std::int64_t i)
                           EVENROW_INLINE { return gate(d, i, load(d, x + i), load(d, dy + i)); };
  const auto gradient = [x, w, k, through](auto d, std::int64_t i) EVENROW_INLINE {
    const auto centered = hn::Sub(load(d, x + i), hn::Set(d, k.center));
    auto rest = hn::MulAdd(hn::Set(d, k.b), centered, hn::Set(d, k.c));
    if constexpr (kWeights) rest = hn::Mul(load(d, w + i), rest);
    return hn::Mul(hn::Set(d, k.a), hn::Add(through(d, i), rest));
  };
  if constexpr (kResidual) {
    // A block at a time: dresidual may be dy, or dx may be.
    T block[kLeaf];
    for (std::int64_t at = 0; at < n; at += kLeaf) {
      const std::int64_t count = std::min(kLeaf, n - at);
      const auto from_there = [at](const auto& value) {
        return [at, value](auto d, std::int64_t i) EVENROW_INLINE { return value(d, at + i); };
      };
      ForRow(block, count, false, from_there(through));
      ForRow(dx + at, count, stream, from_there(gradient));
      ForRow(dresidual + at, count, stream,
             [&block](auto d, std::int64_t i) { return load(d, block + i); });
    }
  } else {
    ForRow(dx, n, stream, gradient);
  }
}

// For the columns [begin, end), segment by segment, and in each for every channel: piece(outer,
// inner, n, channel) for the valid columns, zero(outer, inner, n, channel) for the others.
template <class Zero, class Piece>
HWY_INLINE void ForPieces(const Runs& runs, const ColumnRange& range, std::int64_t channels,
                          const Zero& zero, const Piece& piece) {
  std::size_t r = runs.at_column(range.begin);
  std::int64_t outer = range.begin / runs.segment, first = outer * runs.segment;
  for (std::int64_t begin = range.begin; begin < range.end; ++outer, first += runs.segment) {
    const std::int64_t stop = std::min(range.end, first + runs.segment);
    std::size_t next = r;
    for (std::int64_t c = 0; c < channels; ++c) {
      next = r;
      for (std::int64_t at = begin; at < stop;) {
        const std::int64_t from = next < runs.size ? std::min(runs.data[next].start, stop) : stop;
        if (from > at) {
          zero(outer, at - first, from - at, c);
          at = from;
          continue;
        }
        const std::int64_t run_end = runs.data[next].start + runs.data[next].length;
        const std::int64_t to = std::min(run_end, stop);
        piece(outer, at - first, to - at, c);
        at = to;
        if (to == run_end) ++next;
      }
    }
    r = next;
    begin = stop;
  }
}

template <class T>
void ChannelNormalize(const Rows<const T>& x, const Rows<const T>& residual, const Rows<T>& y,
                      const Runs& runs, const ColumnRange& range, std::int64_t channels,
                      const ChannelAffine<NormParameter<T>>& k, bool with_relu,
                      const ReluBits& bits) {
  using I = std::int64_t;
  const auto for_pieces = [&](const auto& piece) {
    ForPieces(
        runs, range, channels, [&](I o, I i, I n, I c) { Zero(at(y, o, i, c), n, range.stream); },
        [&](I o, I i, I n, I c) EVENROW_INLINE {
          const Affine<NormParameter<T>> here{k.center[c], k.scale[c], k.shift[c]};
          piece(o, i, n, c, here);
        });
  };
  if (bits.base != nullptr) {
    for_pieces([&](I o, I i, I n, I c, const auto& here) {
      RowNormalizeWithBits(at(x, o, i, c), at(residual, o, i, c), at(y, o, i, c), n, here,
                           range.stream, residual.ahead, at(bits, o, i, c));
    });
  } else {
    with_flag(residual.base != nullptr, [&](auto add) {
      with_flag(with_relu, [&](auto relu) {
        for_pieces([&](I o, I i, I n, I c, const auto& here) EVENROW_INLINE {
          RowNormalize<add(), relu()>(at(x, o, i, c), at(residual, o, i, c), at(y, o, i, c), n,
                                      here, range.stream, residual.ahead);
        });
      });
    });
  }
  if (range.stream) hwy::FlushStream();
}

template <class T>
void ChannelInputGradient(const Rows<const T>& x, const Rows<const T>& dy, const Rows<T>& dx,
                          const Rows<T>& dresidual, const Runs& runs, const ColumnRange& range,
                          std::int64_t channels, const ChannelGradient<NormParameter<T>>& k,
                          const ReluGate<NormParameter<T>>& gate) {
  using I = std::int64_t;
  const auto zero = [&](I o, I i, I n, I c) {
    Zero(at(dx, o, i, c), n, range.stream);
    if (dresidual.base != nullptr) Zero(at(dresidual, o, i, c), n, range.stream);
  };
  with_gate(gate, [&](auto kind) {
    with_flag(dresidual.base != nullptr, [&](auto residual) {
      with_flag(runs.weights != nullptr, [&](auto weights) {
        ForPieces(runs, range, channels, zero, [&](I o, I i, I n, I c) EVENROW_INLINE {
          RowInputGradient<weights(), residual()>(
              at(x, o, i, c), at(dy, o, i, c), at(dx, o, i, c), at(dresidual, o, i, c),
              runs.weights + (weights() ? o * runs.segment + i : 0), n,
              {k.center[c], k.a[c], k.b[c], k.c[c]}, gate_at<kind()>(gate, o, i, c), range.stream);
        });
      });
    });
  });
  if (range.stream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard
