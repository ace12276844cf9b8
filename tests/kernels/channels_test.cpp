// The kernels over channels that lie in several segments, on every target: they give, bit for bit,
// what the kernels over one contiguous row give for the same values without gaps and padding. With
// weights or a residual, which those do not have, that row is compared with the reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernel_tensor.hpp"
#include "kernels/coefficients.hpp"
#include "kernels/pairwise.hpp"
#include "kernels/rows.hpp"

namespace evenrow::kernels {
namespace {

class ChannelKernels : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, ChannelKernels, ::testing::ValuesIn(available_targets()),
                         target_test_name);

// The same values, each channel contiguous: no padding, no gaps.
template <class T>
struct Flat : TensorCase<T> {
  explicit Flat(const TensorCase<T>& k)
      : TensorCase<T>(Layout::of_segments(1, k.layout.channels, k.valid.count()), weights_of(k),
                      k.weighted()) {
    for (std::int64_t channel = 0; channel < k.layout.channels; ++channel) {
      for (std::int64_t i = 0; i < k.valid.count(); ++i) {
        const std::int64_t j = k.valid.columns()[static_cast<std::size_t>(i)];
        this->x(i, channel) = k.x(j, channel);
        this->dy(i, channel) = k.dy(j, channel);
        this->residual(i, channel) = k.residual(j, channel);
      }
    }
  }
  static std::vector<float> weights_of(const TensorCase<T>& k) {
    std::vector<float> weights;
    for (const std::int64_t j : k.valid.columns()) weights.push_back(k.valid.weight(j));
    return weights;
  }
  Affine<NormParameter<T>> forward(std::int64_t channel) const {
    const auto i = static_cast<std::size_t>(channel);
    return {this->center[i], this->scale[i], this->shift[i]};
  }
  const T* row_of(const Tensor<T>& tensor, std::int64_t channel) const {
    return tensor.data() + channel * this->valid.count();
  }
};

// Segments that are shorter and longer than a leaf, and than what is staged on the way past the
// caches; leaves that lie in one segment, in two, and in hundreds.
template <class T, class Visit>
void for_each_case(const Visit& visit) {
  std::int64_t turn = 0;
  for (const std::int64_t segment : {1, 2, 7, 49, 64, 130, 1000, 1024, 1025, 3000}) {
    const std::int64_t outer = std::max<std::int64_t>(2, 2600 / segment);
    // Five channels of 1000 values are more than are staged together.
    const std::int64_t channels = segment < 1000 ? 3 : 5;
    for (const Counting counting : {Counting::all, Counting::padded, Counting::weighted}) {
      TensorCase<T> k(Layout::of_segments(outer, channels, segment, turn++ % 2 * 3), counting);
      visit(k);
    }
    TensorCase<T> gapless(Layout::of_segments(outer, channels, segment), Counting::all);
    visit(gapless);
  }
}

enum class Undo { nothing, forward, bits };

// A relu of u = (x - center) * scale + shift, and its two gates. (Bits belong to a forward pass
// with a residual: here it is 0.)
template <class T>
struct ForwardPass {
  explicit ForwardPass(TensorCase<T>& k) : affine(k.affine()), bits(k.layout) {
    Tensor<T> zero(k.layout), y(k.layout);
    std::fill_n(zero.data(), k.layout.reach(), T{});
    channel_normalize<T>(k.x.rows(), std::as_const(zero).rows(), y.out_rows(), k.valid.runs(),
                         {0, k.layout.columns()}, k.layout.channels, affine, true, bits.rows());
  }
  ReluGate<NormParameter<T>> gate(Undo undo) {
    return {undo == Undo::forward ? &affine : nullptr,
            undo == Undo::bits ? bits.rows() : ReluBits{}};
  }
  ChannelAffine<NormParameter<T>> affine;
  Bits bits;
};

// call(first position, positions, channel, channels, where the first leaf goes): for everything at
// once, or for every leaf of every channel by itself.
template <class Leaf, class T, class Call>
std::vector<Leaf> leaves(const TensorCase<T>& k, bool apart, const Call& call) {
  const std::int64_t channels = k.layout.channels, count = k.valid.count();
  const std::int64_t stride = (count + kLeaf - 1) / kLeaf;
  std::vector<Leaf> all(static_cast<std::size_t>(channels * stride));
  if (!apart) {
    call(0, count, 0, channels, all.data(), stride);
    return all;
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t i = 0; i < stride; ++i) {
      call(i * kLeaf, std::min(kLeaf, count - i * kLeaf), c, 1, &all[0] + c * stride + i, stride);
    }
  }
  return all;
}
template <class Leaf>
Leaf merged(const std::vector<Leaf>& all, std::int64_t c, std::int64_t channels) {
  const std::size_t stride = all.size() / static_cast<std::size_t>(channels);
  PairwiseMerge<Leaf> tree;
  for (std::size_t i = 0; i < stride; ++i) tree.push(all[static_cast<std::size_t>(c) * stride + i]);
  return tree.total();
}

template <class T>
std::vector<Moments> leaf_moments(const TensorCase<T>& k, bool apart = false) {
  return leaves<Moments>(
      k, apart, [&](auto first, auto count, auto c, auto channels, auto* to, std::int64_t stride) {
        channel_moments<T>(k.x.rows(c), k.valid.runs(), first, count, channels, to, stride);
      });
}

template <class T>
void expect_weighted(const TensorCase<T>& flat, std::int64_t c, const Moments& computed) {
  const std::vector<T> row = flat.x.row(flat.valid, c);
  const auto exact =
      oracle::moment_bounds(widened(std::span<const T>(row)), oracle::kRowLeaf<T>, flat.weights());
  EXPECT_LE(std::abs(computed.count - exact.n), exact.weight_error * exact.n) << flat.name();
  EXPECT_LE(std::abs(computed.mean - exact.mean), exact.mean_error) << flat.name();
  EXPECT_LE(std::abs(computed.m2 - exact.m2), exact.m2_error) << flat.name();
}

template <class T>
void moments() {
  for_each_case<T>([](TensorCase<T>& k) {
    const Flat<T> flat(k);
    const std::vector<Moments> expected = leaf_moments(flat);
    EXPECT_TRUE(same_bits(leaf_moments(k), expected)) << k.name();
    EXPECT_TRUE(same_bits(leaf_moments(k, true), expected)) << k.name() << ", leaf by leaf";
    k.x.far = true;
    EXPECT_TRUE(same_bits(leaf_moments(k), expected)) << k.name() << ", memory asked for ahead";
    for (std::int64_t c = 0; c < k.layout.channels; ++c) {
      const Moments total = merged(expected, c, k.layout.channels);
      if (k.weighted()) {
        expect_weighted(flat, c, total);
      } else {
        const Moments row = row_moments(flat.row_of(flat.x, c), flat.valid.count());
        EXPECT_TRUE(same_bits(total, row)) << k.name();
      }
    }
  });
}
EVENROW_EVERY_ELEMENT(ChannelKernels, Moments, moments)

// The first values of every leaf, its pivot, are far from the others and weigh nothing beside them.
TEST_P(ChannelKernels, MomentsWithAPivotThatWeighsNothing) {
  const Layout layout = Layout::of_segments(7, 2, 300);
  std::vector<float> weights(2100, 0.75f);
  for (std::size_t j = 0; j < 2100; ++j) {
    if (j % 1024 < 16) weights[j] = 1e-20f;
  }
  TensorCase<double> k(layout, weights, true);
  for (std::int64_t j = 0; j < 2100; ++j) {
    for (std::int64_t c = 0; c < 2 && j % 1024 < 16; ++c) k.x(j, c) = 1e6;
  }
  const std::vector<Moments> all = leaf_moments(k);
  for (std::int64_t c = 0; c < 2; ++c) expect_weighted(k, c, merged(all, c, 2));
}

template <class T>
std::vector<GradientSums> leaf_sums(TensorCase<T>& k, ForwardPass<T>& forward, Undo undo,
                                    const std::vector<double>& mean,
                                    const std::vector<double>& rstd, bool apart = false) {
  return leaves<GradientSums>(
      k, apart, [&](auto first, auto count, auto c, auto channels, auto* to, std::int64_t stride) {
        const ChannelAffine<NormParameter<T>> affine = k.affine(c);
        ReluGate<NormParameter<T>> gate = forward.gate(undo);
        if (undo == Undo::forward) gate.forward = &affine;
        if (undo == Undo::bits) gate.bits = forward.bits.rows(c);
        channel_gradient_sums<T>(k.x.rows(c), k.dy.rows(c), k.valid.runs(), first, count, channels,
                                 {mean.data() + c, rstd.data() + c, nullptr, nullptr}, gate, to,
                                 stride);
      });
}

template <class T>
void gradient_sums() {
  for_each_case<T>([](TensorCase<T>& k) {
    const Flat<T> flat(k);
    ForwardPass<T> forward(k);
    const auto channels = static_cast<std::size_t>(k.layout.channels);
    std::vector<double> mean(channels), rstd(channels);
    for (std::size_t i = 0; i < channels; ++i) {
      mean[i] = 5 + 0.01 * static_cast<double>(i);
      rstd[i] = 1 + 0.1 * static_cast<double>(i);
    }
    for (const Undo undo : {Undo::nothing, Undo::forward, Undo::bits}) {
      k.x.far = k.dy.far = false;
      const std::vector<GradientSums> all = leaf_sums(k, forward, undo, mean, rstd);
      EXPECT_TRUE(same_bits(leaf_sums(k, forward, undo, mean, rstd, true), all))
          << k.name() << ", leaf by leaf";
      k.x.far = k.dy.far = true;
      EXPECT_TRUE(same_bits(leaf_sums(k, forward, undo, mean, rstd), all))
          << k.name() << ", memory asked for ahead";
      for (std::size_t i = 0; i < channels; ++i) {
        const auto c = static_cast<std::int64_t>(i);
        const Affine<NormParameter<T>> affine = flat.forward(c);
        const GradientSums row =
            row_gradient_sums(flat.row_of(flat.x, c), flat.row_of(flat.dy, c), flat.valid.count(),
                              mean[i], rstd[i], undo == Undo::nothing ? nullptr : &affine);
        EXPECT_TRUE(same_bits(merged(all, c, k.layout.channels), row)) << k.name();
      }
    }
  });
}
EVENROW_EVERY_ELEMENT(ChannelKernels, GradientSums, gradient_sums)

// Where a range of columns may be cut: anywhere, or between segments.
std::vector<std::int64_t> cuts(const Layout& layout, bool stream) {
  const std::int64_t all = layout.columns(), some = stream ? layout.inner : all / 3 + 1;
  return {0, some, all};
}

template <class T>
void normalize() {
  for_each_case<T>([](TensorCase<T>& k) {
    Flat<T> flat(k);
    for (const bool add : {false, true}) {
      const auto run = [add](TensorCase<T>& with, const Tensor<T>& x, const Tensor<T>& residual,
                             Tensor<T>& y, bool relu, const ColumnRange& range,
                             const ReluBits& bits = {}) {
        channel_normalize<T>(x.rows(), add ? residual.rows() : Rows<const T>{}, y.out_rows(),
                             with.valid.runs(), range, with.layout.channels, with.affine(), relu,
                             bits);
      };
      const ColumnRange all{0, k.layout.columns()};
      Tensor<T> plain(flat.layout);
      run(flat, flat.x, flat.residual, plain, false, {0, flat.valid.count()});
      expect_outputs(flat, plain, add);
      for (const bool relu : {false, true}) {
        const std::vector<T> values = plain.values(flat.valid);
        const std::vector<T> expected = relu ? rectified(values) : values;
        Buffer<T> row(flat.valid.count(), 1);
        for (std::int64_t c = 0; c < k.layout.channels && !add; ++c) {
          row_normalize(flat.row_of(flat.x, c), row.data(), flat.valid.count(), flat.forward(c),
                        relu);
          EXPECT_EQ(std::memcmp(row.data(), expected.data() + c * flat.valid.count(),
                                row.span().size_bytes()),
                    0)
              << k.name();
        }
        const auto expect = [&](const Tensor<T>& y, const std::string& what) {
          expect_values(y, k.valid, expected, k.name() + ", " + what);
        };
        for (const std::int64_t misaligned : {0, 3}) {
          for (const bool stream : {false, true}) {
            Tensor<T> y(k.layout, {misaligned}), parts(k.layout, {misaligned});
            run(k, k.x, k.residual, y, relu, {0, all.end, stream});
            expect(y, stream ? "past the caches" : "misaligned");
            const std::vector<std::int64_t> at = cuts(k.layout, stream);
            for (std::size_t i = 0; i + 1 < at.size(); ++i) {
              run(k, k.x, k.residual, parts, relu, {at[i], at[i + 1], stream});
            }
            expect(parts, "in parts");
            if (!relu || !add) continue;
            Bits bits(k.layout);
            Tensor<T> with_bits(k.layout, {misaligned});
            run(k, k.x, k.residual, with_bits, true, {0, all.end, stream}, bits.rows());
            expect(with_bits, "with bits");
            expect_bits(k, bits, true);
          }
        }
        Tensor<T> x = k.x.copied(), residual = k.residual.copied(), ahead(k.layout);
        run(k, x, k.residual, x, relu, all);
        expect(x, "in place");
        if (add) {
          run(k, k.x, residual, residual, relu, all);
          expect(residual, "in place of the residual");
        }
        Tensor<T> from = k.x.copied({2});
        from.ahead = 1000;
        run(k, from, k.residual, ahead, relu, all);
        expect(ahead, "memory asked for ahead");
      }
    }
  });
}
EVENROW_EVERY_ELEMENT(ChannelKernels, Normalize, normalize)

template <class T>
void input_gradient() {
  using C = NormParameter<T>;
  for_each_case<T>([](TensorCase<T>& k) {
    Flat<T> flat(k);
    ForwardPass<T> forward(k);
    const auto run = [](TensorCase<T>& with, const Tensor<T>& x, const Tensor<T>& dy, Tensor<T>& dx,
                        const ReluGate<C>& gate, const ColumnRange& range,
                        Tensor<T>* dresidual = nullptr) {
      channel_input_gradient<T>(x.rows(), dy.rows(), dx.out_rows(),
                                dresidual != nullptr ? dresidual->out_rows() : Rows<T>{},
                                with.valid.runs(), range, with.layout.channels, with.gradient(),
                                gate);
    };
    const ColumnRange all{0, k.layout.columns()};
    const Tensor<T> masked = k.masked(forward.bits);
    Tensor<T> plain(flat.layout);
    run(flat, flat.x, flat.dy, plain, {}, {0, flat.valid.count()});
    expect_input_gradients(flat, plain);
    for (const Undo undo : {Undo::nothing, Undo::forward, Undo::bits}) {
      const ReluGate<C> gate = forward.gate(undo);
      const bool open = undo == Undo::nothing;
      const std::vector<T> through = (open ? k.dy : masked).values(k.valid);
      Tensor<T> of_flat(flat.layout), incoming(flat.layout);
      std::ranges::copy(through, incoming.data());
      run(flat, flat.x, incoming, of_flat, {}, {0, flat.valid.count()});
      const std::vector<T> expected = of_flat.values(flat.valid);
      Buffer<T> row(flat.valid.count(), 1);
      for (std::int64_t c = 0; c < k.layout.channels && !k.weighted(); ++c) {
        const auto i = static_cast<std::size_t>(c);
        const Affine<C> affine = flat.forward(c);
        row_input_gradient(flat.row_of(flat.x, c), flat.row_of(flat.dy, c), row.data(),
                           flat.valid.count(), {k.center[i], k.a[i], k.b[i], k.c[i]},
                           open ? nullptr : &affine);
        EXPECT_EQ(std::memcmp(row.data(), expected.data() + c * flat.valid.count(),
                              row.span().size_bytes()),
                  0)
            << k.name();
      }
      const auto expect = [&](const Tensor<T>& dx, const std::string& what) {
        expect_values(dx, k.valid, expected, k.name() + ", " + what);
      };
      for (const std::int64_t misaligned : {0, 3}) {
        for (const bool stream : {false, true}) {
          Tensor<T> dx(k.layout, {misaligned}), with_residual(k.layout, {misaligned});
          Tensor<T> dresidual(k.layout, {misaligned + 1});
          run(k, k.x, k.dy, dx, gate, {0, all.end, stream});
          expect(dx, stream ? "past the caches" : "misaligned");
          const std::vector<std::int64_t> at = cuts(k.layout, stream);
          for (std::size_t i = 0; i + 1 < at.size(); ++i) {
            run(k, k.x, k.dy, with_residual, gate, {at[i], at[i + 1], stream}, &dresidual);
          }
          expect(with_residual, "with dresidual, in parts");
          expect_values(dresidual, k.valid, through, k.name() + ", dresidual");
        }
      }
      Tensor<T> dy = k.dy.copied(), x = k.x.copied(), both = k.dy.copied(), ahead(k.layout);
      run(k, k.x, dy, dy, gate, all);
      expect(dy, "in place of dy");
      run(k, x, k.dy, x, gate, all);
      expect(x, "in place of x");
      Tensor<T> dx(k.layout), from = k.x.copied(), from_dy = k.dy.copied();
      run(k, k.x, both, dx, gate, all, &both);
      expect(dx, "dresidual in place of dy");
      expect_values(both, k.valid, through, k.name() + ", dresidual in place of dy");
      from.ahead = from_dy.ahead = 1000;
      run(k, from, from_dy, ahead, gate, all);
      expect(ahead, "memory asked for ahead");
    }
  });
}
EVENROW_EVERY_ELEMENT(ChannelKernels, InputGradient, input_gradient)

}  // namespace
}  // namespace evenrow::kernels
