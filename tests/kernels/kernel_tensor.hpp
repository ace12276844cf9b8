// Tensors as the kernels over several channels see them, in both layouts: with gaps, misaligned or
// up to a page that may not be touched; what these kernels are given, and what they may deviate by.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "kernel_cases.hpp"
#include "kernels/columns.hpp"
#include "kernels/rows.hpp"
#include "support/fenced_memory.hpp"
#include "support/norm_oracle.hpp"

namespace evenrow::kernels {

/// Where a tensor `[outer, channels, inner]` has its values; column o * inner + i.
struct Layout {
  std::int64_t outer = 0, channels = 0, inner = 1;
  std::int64_t outer_stride = 0, channel_stride = 1;
  bool channels_last = false;

  /// The channels of a column are contiguous; `gap` other values lie before the next column.
  static Layout of_columns(std::int64_t columns, std::int64_t channels, std::int64_t gap = 0) {
    return {columns, channels, 1, channels + gap, 1, true};
  }
  /// A channel lies in `outer` segments; `gap` other values lie before the next segment.
  static Layout of_segments(std::int64_t outer, std::int64_t channels, std::int64_t segment,
                            std::int64_t gap = 0) {
    return {outer, channels, segment, channels * (segment + gap), segment + gap, false};
  }
  std::int64_t columns() const { return outer * inner; }
  std::int64_t reach() const {
    if (outer * channels == 0) return 0;
    return (outer - 1) * outer_stride + (channels - 1) * channel_stride + inner;
  }
  std::size_t at(std::int64_t column, std::int64_t channel) const {
    return static_cast<std::size_t>(column / inner * outer_stride + channel * channel_stride +
                                    column % inner);
  }
  std::string name() const {
    return std::to_string(outer) + " x " + std::to_string(channels) + " channels x " +
           std::to_string(inner) + ", strides " + std::to_string(outer_stride) + " and " +
           std::to_string(channel_stride);
  }
};

/// So many values behind an allocation's start, or at a page that may not be touched.
struct Place {
  std::int64_t misaligned = 0;
  std::optional<Fence> fence{};
};

template <class T>
class Tensor {
 public:
  explicit Tensor(const Layout& layout, const Place& place = {})
      : layout_(layout), plain_(place.fence ? 0 : layout.reach(), place.misaligned) {
    if (place.fence) {
      fenced_.emplace(layout.reach(), *place.fence);
      std::ranges::fill(fenced_->span(), Buffer<T>::guard());
    }
  }
  Tensor copied(const Place& place = {}) const {
    Tensor copy(layout_, place);
    std::copy_n(data(), layout_.reach(), copy.data());
    return copy;
  }

  std::int64_t ahead = 0;  ///< What the views below ask for ahead; it may not change a bit.
  bool far = false;

  T* data() { return fenced_ ? fenced_->data() : plain_.data(); }
  const T* data() const { return fenced_ ? fenced_->data() : plain_.data(); }
  T& operator()(std::int64_t column, std::int64_t channel) {
    return data()[layout_.at(column, channel)];
  }
  T operator()(std::int64_t column, std::int64_t channel) const {
    return data()[layout_.at(column, channel)];
  }

  /// The channels from c on.
  Columns<T> out_columns(std::int64_t c = 0) { return {data() + c, layout_.outer_stride, ahead}; }
  Columns<const T> columns(std::int64_t c = 0) const {
    return {data() + c, layout_.outer_stride, ahead};
  }
  Rows<T> out_rows(std::int64_t c = 0) {
    return {data() + c * layout_.channel_stride, layout_.outer_stride, layout_.channel_stride, far,
            ahead};
  }
  Rows<const T> rows(std::int64_t c = 0) const {
    return {data() + c * layout_.channel_stride, layout_.outer_stride, layout_.channel_stride, far,
            ahead};
  }

  /// Normal numbers where a column is valid. Elsewhere NaN: what padding holds does not matter.
  void fill(const RunList& valid, std::uint64_t seed, double offset = 0) {
    const std::int64_t columns = layout_.columns();
    std::vector<T> values(static_cast<std::size_t>(columns * layout_.channels));
    fill_normal(std::span<T>(values), seed, offset);
    std::size_t i = 0;
    for (std::int64_t j = 0; j < columns; ++j) {
      for (std::int64_t c = 0; c < layout_.channels; ++c, ++i) {
        (*this)(j, c) = valid.valid(j) ? values[i] : rounded<T>(std::nan(""));
      }
    }
  }
  /// The values of one channel's valid columns, in order.
  std::vector<T> row(const RunList& valid, std::int64_t c) const {
    std::vector<T> row;
    for (const std::int64_t j : valid.columns()) row.push_back((*this)(j, c));
    return row;
  }
  /// Those of all channels.
  std::vector<T> values(const RunList& valid) const {
    std::vector<T> all;
    for (std::int64_t c = 0; c < layout_.channels; ++c) {
      for (const std::int64_t j : valid.columns()) all.push_back((*this)(j, c));
    }
    return all;
  }
  bool zero_in_padding(const RunList& valid) const {
    for (std::int64_t j = 0; j < layout_.columns(); ++j) {
      for (std::int64_t c = 0; c < layout_.channels && !valid.valid(j); ++c) {
        if (!same_bits((*this)(j, c), T{})) return false;
      }
    }
    return true;
  }
  /// Whether what lies between and around the values is as it was.
  bool untouched() const {
    std::vector<bool> mine(static_cast<std::size_t>(layout_.reach()));
    for (std::int64_t j = 0; j < layout_.columns(); ++j) {
      for (std::int64_t c = 0; c < layout_.channels; ++c) mine[layout_.at(j, c)] = true;
    }
    for (std::size_t i = 0; i < mine.size(); ++i) {
      if (!mine[i] && !same_bits(data()[i], Buffer<T>::guard())) return false;
    }
    return plain_.untouched();
  }

 private:
  Layout layout_;
  Buffer<T> plain_;
  std::optional<Fenced<T>> fenced_;
};

/// What a fused relu let through. The last byte that may be read is kBitsPadding behind the last
/// one: then comes a page that may not be touched.
class Bits {
 public:
  explicit Bits(const Layout& layout)
      : layout_(layout),
        bytes_(((layout.channels_last ? layout.channels : layout.inner) + 7) / 8),
        memory_(layout.outer * (layout.channels_last ? 1 : layout.channels) * bytes_ + kBitsPadding,
                Fence::behind) {}
  /// From a channel on; in columns, a multiple of 8.
  ColumnBits columns(std::int64_t c = 0) { return {memory_.data() + c / 8, bytes_}; }
  ReluBits rows(std::int64_t c = 0) {
    return {memory_.data(), layout_.channels * bytes_, 8 * bytes_, c * 8 * bytes_};
  }
  bool operator()(std::int64_t column, std::int64_t channel) const {
    const std::int64_t outer = column / layout_.inner;
    const std::int64_t bit = layout_.channels_last ? channel : column % layout_.inner;
    const std::int64_t row = layout_.channels_last ? outer : outer * layout_.channels + channel;
    return (memory_[static_cast<std::size_t>(row * bytes_ + bit / 8)] >> bit % 8 & 1) != 0;
  }

 private:
  Layout layout_;
  std::int64_t bytes_;
  Fenced<std::uint8_t> memory_;
};

/// Which columns count.
enum class Counting { all, padded, weighted };

inline std::vector<float> column_weights(const Layout& layout, Counting counting) {
  const std::int64_t columns = layout.columns();
  if (counting != Counting::all) return random_weights(columns, 17, 0.7);
  return std::vector<float>(static_cast<std::size_t>(columns), 1.0f);
}

/// What the kernels are given.
template <class T>
struct TensorCase {
  using C = NormParameter<T>;

  TensorCase(const Layout& where, std::vector<float> weights, bool weighted,
             const Place& place = {.misaligned = 1})
      : layout(where),
        valid(where.channels_last ? 1 : where.outer,
              where.channels_last ? where.outer : where.inner, std::move(weights),
              where.channels_last ? kColumnLeaf : kLeaf, weighted),
        x(where, place),
        dy(where, place),
        residual(where, place) {
    x.fill(valid, 1, 5);
    dy.fill(valid, 2);
    residual.fill(valid, 3);
    std::uint64_t seed = 4;
    for (Buffer<C>* const values : {&center, &scale, &shift, &a, &b, &c}) {
      fill_normal(values->span(), seed++, values == &center ? 5 : 0);
    }
  }
  TensorCase(const Layout& where, Counting counting, const Place& place = {.misaligned = 1})
      : TensorCase(where, column_weights(where, counting), counting == Counting::weighted, place) {}

  /// The coefficients from channel `first` on.
  ChannelAffine<C> affine(std::int64_t first = 0) {
    return {center.data() + first, scale.data() + first, shift.data() + first};
  }
  ChannelGradient<C> gradient(std::int64_t first = 0) {
    return {center.data() + first, a.data() + first, b.data() + first, c.data() + first};
  }
  std::string name() const {
    return layout.name() + ", " + std::to_string(valid.count()) + " valid" +
           (weighted() ? ", weighted" : "");
  }
  bool weighted() const { return valid.runs().weights != nullptr; }
  /// The weights of the valid columns; none where they are not weighted.
  std::vector<oracle::Real> weights() const {
    std::vector<oracle::Real> all;
    for (const std::int64_t j : valid.columns()) {
      if (weighted()) all.push_back(valid.weight(j));
    }
    return all;
  }
  /// dy where a relu let it through, 0 elsewhere.
  Tensor<T> masked(const Bits& bits) const {
    Tensor<T> gated = dy.copied();
    for (const std::int64_t j : valid.columns()) {
      for (std::int64_t channel = 0; channel < layout.channels; ++channel) {
        if (!bits(j, channel)) gated(j, channel) = T{};
      }
    }
    return gated;
  }

  Layout layout;
  RunList valid;
  Tensor<T> x, dy, residual;
  Buffer<C> center{layout.channels, 1}, scale{layout.channels, 0}, shift{layout.channels, 3};
  Buffer<C> a{layout.channels, 2}, b{layout.channels, 5}, c{layout.channels, 1};
};

/// u before the activation, exactly, and what one that is computed may be away by.
template <class T>
oracle::Estimate exact_output(const TensorCase<T>& k, std::int64_t j, std::int64_t channel,
                              bool with_residual) {
  const auto i = static_cast<std::size_t>(channel);
  const oracle::Real scaled = (as_real(k.x(j, channel)) - k.center[i]) * k.scale[i];
  const oracle::Real shift = k.shift[i], residual = as_real(k.residual(j, channel));
  const oracle::Real error = oracle::affine_error<NormParameter<T>>(scaled, shift);
  return oracle::with_residual<T>({scaled + shift, error}, with_residual ? &residual : nullptr);
}

/// y without an activation is within the bounds of docs/numerics.md.
template <class T>
void expect_outputs(const TensorCase<T>& k, const Tensor<T>& y, bool with_residual) {
  for (const std::int64_t j : k.valid.columns()) {
    for (std::int64_t channel = 0; channel < k.layout.channels; ++channel) {
      const oracle::Estimate u = exact_output(k, j, channel, with_residual);
      ASSERT_LE(std::abs(as_real(y(j, channel)) - u.value),
                u.error + oracle::storage_error<T>(u.value, u.error))
          << k.name() << ": column " << j << ", channel " << channel;
    }
  }
}

/// A bit is set where u > 0, wherever its error leaves no doubt.
template <class T>
void expect_bits(const TensorCase<T>& k, const Bits& bits, bool with_residual) {
  for (const std::int64_t j : k.valid.columns()) {
    for (std::int64_t channel = 0; channel < k.layout.channels; ++channel) {
      const oracle::Estimate u = exact_output(k, j, channel, with_residual);
      if (std::abs(u.value) <= u.error) continue;
      ASSERT_EQ(bits(j, channel), u.value > 0) << k.name();
    }
  }
}

/// dx of a dy that went through no relu is within the bounds.
template <class T>
void expect_input_gradients(const TensorCase<T>& k, const Tensor<T>& dx) {
  using oracle::Real;
  for (const std::int64_t j : k.valid.columns()) {
    const Real w = k.valid.weight(j);
    for (std::int64_t channel = 0; channel < k.layout.channels; ++channel) {
      const auto i = static_cast<std::size_t>(channel);
      const Real a = k.a[i], dy = as_real(k.dy(j, channel)), c = k.c[i];
      const Real second = k.b[i] * (as_real(k.x(j, channel)) - k.center[i]);
      const Real exact = a * (dy + w * (second + c));
      const Real error =
          oracle::input_gradient_terms<NormParameter<T>>(a, dy, second, c, w, k.weighted());
      ASSERT_LE(std::abs(as_real(dx(j, channel)) - exact),
                error + oracle::storage_error<T>(exact, error))
          << k.name() << ": column " << j << ", channel " << channel;
    }
  }
}

/// These values in the valid columns, 0 in the others, and nothing else written.
template <class T>
void expect_values(const Tensor<T>& computed, const RunList& valid, const std::vector<T>& expected,
                   const std::string& what) {
  EXPECT_TRUE(same_bits(computed.values(valid), expected)) << what;
  EXPECT_TRUE(computed.zero_in_padding(valid)) << what;
  EXPECT_TRUE(computed.untouched()) << what;
}

/// What a relu makes of values that were stored without one.
template <class T>
std::vector<T> rectified(std::vector<T> values) {
  for (T& value : values) value = as_real(value) > 0 ? value : T{};
  return values;
}

}  // namespace evenrow::kernels
