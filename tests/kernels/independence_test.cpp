// What the results of a channel, or of a segment, do not depend on: how work is split over calls,
// what the channels beside it hold, the vector's length, and what lies behind the tensor: a page
// that may not be touched.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernel_tensor.hpp"
#include "kernels/columns.hpp"
#include "kernels/rows.hpp"

namespace evenrow::kernels {
namespace {

class KernelsAlone : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, KernelsAlone, ::testing::ValuesIn(available_targets()),
                         target_test_name);

enum class Undo { nothing, forward, bits };
constexpr Undo kUndos[] = {Undo::nothing, Undo::forward, Undo::bits};

// The bytes of all that was computed for one channel.
using Bytes = std::string;
template <class V>
void append(Bytes& bytes, const V& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// How the calls are made: these channels and these columns together, sums in calls of so many
// leaves; outputs there.
struct Calls {
  std::vector<std::int64_t> channels, columns;
  std::int64_t leaves = 1 << 20;
  bool stream = false;
  Place place{};

  static Calls one(const Layout& layout) {
    return {.channels = {0, layout.channels}, .columns = {0, layout.columns()}};
  }
};

// The outputs of a layout's kernels.
template <class T>
struct Outputs {
  Outputs(const Layout& layout, const Place& place)
      : y(layout, place), dx(layout, place), dresidual(layout, place), bits(layout) {}

  // What they hold of each channel, appended.
  void append_to(std::vector<Bytes>& results, const TensorCase<T>& k, bool with_bits) const {
    for (std::int64_t c = 0; c < k.layout.channels; ++c) {
      Bytes& bytes = results[static_cast<std::size_t>(c)];
      for (std::int64_t j = 0; j < k.layout.columns(); ++j) {
        append(bytes, y(j, c));
        append(bytes, dx(j, c));
        append(bytes, dresidual(j, c));
        if (with_bits && k.valid.valid(j)) append(bytes, bits(j, c));
      }
    }
    EXPECT_TRUE(y.untouched() && dx.untouched() && dresidual.untouched()) << k.name();
  }

  Tensor<T> y, dx, dresidual;
  Bits bits;
};

// All results of the channels-last kernels. Bits belong to a forward pass with a residual.
template <class T>
std::vector<Bytes> column_results(TensorCase<T>& k, Undo undo, const Calls& calls) {
  const std::int64_t all = k.layout.channels, count = k.valid.count(), record = 4 * all;
  const std::vector<double>& counts = k.valid.leaf_weights();
  const auto leaves = static_cast<std::int64_t>(counts.size());
  std::vector<double> records(static_cast<std::size_t>(leaves * record));
  std::vector<double> mean(static_cast<std::size_t>(all), 5), merged(records.size() + 4);
  std::vector<Bytes> results(static_cast<std::size_t>(all));
  Outputs<T> out(k.layout, calls.place);
  const Runs runs = k.valid.runs();
  const bool by_bits = undo == Undo::bits;
  for (std::size_t part = 0; part + 1 < calls.channels.size(); ++part) {
    const std::int64_t c = calls.channels[part], width = calls.channels[part + 1] - c;
    const ChannelAffine<NormParameter<T>> forward = k.affine(c);
    const ColumnBits bits = by_bits ? out.bits.columns(c) : ColumnBits{};
    const ColumnGate<NormParameter<T>> gate{undo == Undo::forward ? &forward : nullptr, bits};
    for (std::size_t i = 0; i + 1 < calls.columns.size(); ++i) {
      const ColumnRange range{calls.columns[i], calls.columns[i + 1], calls.stream};
      column_normalize<T>(k.x.columns(c), by_bits ? k.residual.columns(c) : Columns<const T>{},
                          out.y.out_columns(c), runs, range, width, forward, undo != Undo::nothing,
                          bits);
      column_input_gradient<T>(k.x.columns(c), k.dy.columns(c), out.dx.out_columns(c),
                               out.dresidual.out_columns(c), runs, range, width, k.gradient(c),
                               gate);
    }
    for (std::int64_t leaf = 0; leaf < leaves; leaf += calls.leaves) {
      const std::int64_t first = leaf * kColumnLeaf;
      const std::int64_t here = std::min(calls.leaves * kColumnLeaf, count - first);
      double* const to = records.data() + leaf * record + c;
      column_moments<T>(k.x.columns(c), runs, first, here, width, to, record, all);
      column_gradient_sums<T>(k.x.columns(c), k.dy.columns(c), runs, first, here, width,
                              mean.data() + c, gate, to + 2 * all, record, all);
    }
    if (leaves == 0) continue;
    std::copy(records.begin(), records.end(), merged.begin());
    double* const to = merged.data() + c;
    merge_column_moments(to, record, all, counts.data(), leaves, width, 3, to, to + all);
    merge_column_gradient_sums(to + 2 * all, record, all, leaves, width, mean.data() + c,
                               to + 2 * all, to + 3 * all);
    for (std::int64_t i = 0; i < 4 * width; ++i) {
      append(results[static_cast<std::size_t>(c + i / 4)], to[i % 4 * all + i / 4]);
    }
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    append(results[i % static_cast<std::size_t>(all)], records[i]);
  }
  out.append_to(results, k, by_bits);
  return results;
}

// The same of the kernels over segments.
template <class T>
std::vector<Bytes> channel_results(TensorCase<T>& k, Undo undo, const Calls& calls) {
  const std::int64_t all = k.layout.channels, stride = (k.valid.count() + kLeaf - 1) / kLeaf;
  std::vector<Moments> moments(static_cast<std::size_t>(all * stride));
  std::vector<GradientSums> sums(moments.size());
  const std::vector<double> mean(static_cast<std::size_t>(all), 5);
  Outputs<T> out(k.layout, calls.place);
  const Runs runs = k.valid.runs();
  const bool by_bits = undo == Undo::bits;
  const ChannelAffine<NormParameter<T>> forward = k.affine();
  const ReluBits bits = by_bits ? out.bits.rows() : ReluBits{};
  const ReluGate<NormParameter<T>> gate{undo == Undo::forward ? &forward : nullptr, bits};
  const ColumnRange range{0, k.layout.columns(), calls.stream};
  channel_normalize<T>(k.x.rows(), by_bits ? k.residual.rows() : Rows<const T>{}, out.y.out_rows(),
                       runs, range, all, forward, undo != Undo::nothing, bits);
  channel_input_gradient<T>(k.x.rows(), k.dy.rows(), out.dx.out_rows(), out.dresidual.out_rows(),
                            runs, range, all, k.gradient(), gate);
  if (stride > 0) {
    channel_moments<T>(k.x.rows(), runs, 0, k.valid.count(), all, moments.data(), stride);
    channel_gradient_sums<T>(k.x.rows(), k.dy.rows(), runs, 0, k.valid.count(), all,
                             {mean.data(), mean.data(), nullptr, nullptr}, gate, sums.data(),
                             stride);
  }
  std::vector<Bytes> results(static_cast<std::size_t>(all));
  for (std::size_t i = 0; i < moments.size(); ++i) {
    append(results[i / static_cast<std::size_t>(stride)], moments[i]);
    append(results[i / static_cast<std::size_t>(stride)], sums[i]);
  }
  out.append_to(results, k, by_bits);
  return results;
}

template <class T>
std::vector<Bytes> results(TensorCase<T>& k, Undo undo, const Calls& calls) {
  return k.layout.channels_last ? column_results(k, undo, calls) : channel_results(k, undo, calls);
}

// Wide and narrow, with more channels than are summed together, with and without gaps.
const std::vector<Layout>& wide_layouts() {
  static const std::vector<Layout> all = {
      Layout::of_columns(130, 67), Layout::of_columns(130, 67, 3), Layout::of_columns(203, 32),
      Layout::of_columns(70, 129, 1), Layout::of_columns(65, 1100)};
  return all;
}

template <class T>
void split() {
  std::int64_t turn = 0;
  for (const Layout& layout : wide_layouts()) {
    TensorCase<T> k(layout, static_cast<Counting>(turn++ % 3));
    for (const Undo undo : kUndos) {
      const std::vector<Bytes> whole = results(k, undo, Calls::one(layout));
      const std::int64_t end = layout.channels, columns = layout.columns();
      Calls calls{.channels = {0, 8, 24, end}, .columns = {0, 1, 7, 64, columns}, .leaves = 1};
      EXPECT_EQ(results(k, undo, calls), whole) << k.name();
      calls.stream = true;
      EXPECT_EQ(results(k, undo, calls), whole) << k.name() << ", past the caches";
      if (undo == Undo::bits) continue;  // which start at a multiple of 8 channels
      calls = {.channels = {0, 1, 3, 8, 21, 22, end}, .columns = {0, 50, columns}, .leaves = 2};
      EXPECT_EQ(results(k, undo, calls), whole) << k.name();
    }
  }
}
EVENROW_EVERY_ELEMENT(KernelsAlone, AreSplitInAnyWay, split)

// NaN in some channels shows there, and nowhere else.
template <class T>
void neighbours() {
  for (const Layout& layout : wide_layouts()) {
    TensorCase<T> k(layout, Counting::all), spoiled(layout, Counting::all);
    const auto is_spoiled = [](std::int64_t channel) { return channel % 11 == 3; };
    for (std::int64_t channel = 0; channel < layout.channels; ++channel) {
      if (is_spoiled(channel)) spoiled.x(40, channel) = rounded<T>(std::nan(""));
    }
    for (const Undo undo : kUndos) {
      const auto expected = results(k, undo, Calls::one(layout));
      const auto computed = results(spoiled, undo, Calls::one(layout));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(computed[i] != expected[i], is_spoiled(static_cast<std::int64_t>(i)))
            << k.name() << ": " << i;
      }
    }
    Tensor<T> y(layout);
    column_normalize<T>(spoiled.x.columns(), {}, y.out_columns(), spoiled.valid.runs(),
                        {0, layout.columns()}, layout.channels, spoiled.affine(), true, {});
    std::vector<double> records(static_cast<std::size_t>(2 * layout.channels));
    column_moments<T>(spoiled.x.columns(), spoiled.valid.runs(), 0, kColumnLeaf, layout.channels,
                      records.data(), 0, layout.channels);
    for (std::int64_t channel = 0; channel < layout.channels; ++channel) {
      const auto i = static_cast<std::size_t>(channel);
      const auto m2 = static_cast<std::size_t>(layout.channels + channel);
      EXPECT_EQ(std::isnan(as_real(y(40, channel))), is_spoiled(channel)) << channel;
      EXPECT_EQ(std::isnan(records[i]), is_spoiled(channel)) << channel;
      EXPECT_EQ(std::isnan(records[m2]), is_spoiled(channel)) << channel;
    }
  }
}
EVENROW_EVERY_ELEMENT(KernelsAlone, KeepNaNToItsChannel, neighbours)

// A channel of one value has it as mean, and no variance, over any number of leaves.
template <class T>
void constants() {
  for (const Counting counting : {Counting::all, Counting::padded}) {
    TensorCase<T> k(Layout::of_columns(203, 35, 2), counting);
    for (const std::int64_t j : k.valid.columns()) {
      for (std::int64_t c = 0; c < 35; ++c) k.x(j, c) = rounded<T>(0.1 + 100.0 * std::sin(c));
    }
    const std::vector<double>& counts = k.valid.leaf_weights();
    const auto leaves = static_cast<std::int64_t>(counts.size());
    std::vector<double> records(static_cast<std::size_t>(70 * leaves));
    column_moments<T>(k.x.columns(), k.valid.runs(), 0, k.valid.count(), 35, records.data(), 70,
                      35);
    merge_column_moments(records.data(), 70, 35, counts.data(), leaves, 35, 1, records.data(),
                         records.data() + 35);
    for (std::size_t i = 0; i < 35; ++i) {
      EXPECT_EQ(records[i], as_real(k.x(k.valid.columns()[0], static_cast<std::int64_t>(i)))) << i;
      EXPECT_EQ(records[35 + i], 0.0) << i;
    }
  }
}
EVENROW_EVERY_ELEMENT(KernelsAlone, ConstantsAreExact, constants)

// Every tensor ends, or starts, at a page that may not be touched; behind bits it comes
// kBitsPadding bytes later. For lengths around a vector and others.
template <class T>
void page_ends() {
  const auto check = [](const Layout& layout, Counting counting, Fence fence) {
    TensorCase<T> k(layout, counting), fenced(layout, counting, {.fence = fence});
    Calls calls = Calls::one(layout);
    for (const Undo undo : kUndos) {
      const std::vector<Bytes> expected = results(k, undo, Calls::one(layout));
      for (const bool stream : {false, true}) {
        calls.stream = stream;
        calls.place.fence = fence;
        EXPECT_EQ(results(fenced, undo, calls), expected) << k.name();
      }
    }
  };
  for (const Fence fence : {Fence::behind, Fence::before}) {
    for (std::int64_t n = 1; n <= 67; ++n) {
      const auto counting = static_cast<Counting>(n % 3);
      check(Layout::of_columns(n % 5 + 1, n, n % 2), counting, fence);
      check(Layout::of_columns(66, n / 2 + 1, n % 2), counting, fence);
      check(Layout::of_segments(3, 2, n, n % 2), counting, fence);
      check(Layout::of_segments(1, 1, 16 * n - 7), counting, fence);
    }
    for (const std::int64_t n : {1023, 1025, 2051}) {
      check(Layout::of_segments(2, 2, n), Counting::all, fence);
      check(Layout::of_columns(3, n), Counting::all, fence);
    }
  }
}
EVENROW_EVERY_ELEMENT(KernelsAlone, StayWithinTheirPages, page_ends)

template <class T>
std::vector<Bytes> results_of(const std::string& target) {
  EXPECT_TRUE(use_target(target));
  std::vector<Bytes> all;
  std::vector<Layout> layouts = wide_layouts();
  for (std::int64_t n = 1; n <= 40; ++n) {
    layouts.push_back(Layout::of_columns(2 * n, n));
    layouts.push_back(Layout::of_segments(40, 2, n, n % 2));
  }
  layouts.push_back(Layout::of_segments(3, 2, 1500));
  std::int64_t turn = 0;
  for (const Layout& layout : layouts) {
    TensorCase<T> k(layout, static_cast<Counting>(turn++ % 3));
    for (const Undo undo : kUndos) {
      const std::vector<Bytes> here = results(k, undo, Calls::one(layout));
      all.insert(all.end(), here.begin(), here.end());
    }
  }
  use_target("");
  return all;
}
TEST(KernelsAcrossTargets, Avx2AndAvx512GiveTheSameBits) {
  if (!has_avx2_and_avx512()) GTEST_SKIP() << "this CPU does not have both";
  EXPECT_EQ(results_of<float>("avx2"), results_of<float>("avx512"));
  EXPECT_EQ(results_of<double>("avx2"), results_of<double>("avx512"));
  EXPECT_EQ(results_of<bfloat16>("avx2"), results_of<bfloat16>("avx512"));
  EXPECT_EQ(results_of<float16>("avx2"), results_of<float16>("avx512"));
}

}  // namespace
}  // namespace evenrow::kernels
