// Every channels-last kernel, on every target, for awkward numbers of channels and columns, with
// gaps, padding and weights, misaligned, in place and past the caches. A channel is a row that is
// not contiguous: the expected values come from the same formulas, one channel at a time.
#include "kernels/columns.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernel_tensor.hpp"
#include "kernels/pairwise.hpp"

namespace evenrow::kernels {
namespace {

using oracle::Real;

class ColumnKernels : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, ColumnKernels, ::testing::ValuesIn(available_targets()),
                         target_test_name);

// None, one, few; around one leaf; three leaves.
constexpr std::int64_t kColumnCounts[] = {0, 1, 2, 3, 4, 5, 63, 64, 65, 130};

// visit(case) for every number of channels up to more than four vectors, for more channels than a
// kernel sums together, and for all numbers of columns; gaps and padding take turns, so that over
// the channels all of them meet.
template <class T, class Visit>
void for_each_case(const Visit& visit) {
  const auto add = [&](std::int64_t columns, std::int64_t channels, std::int64_t turn) {
    TensorCase<T> k(Layout::of_columns(columns, channels, turn / 3 % 2 * 3),
                    static_cast<Counting>(turn % 3));
    visit(k);
  };
  for (std::int64_t channels = 1; channels <= 67; ++channels) {
    for (std::int64_t i = 0; i < 3; ++i) {
      add(kColumnCounts[(3 * channels + i) % 10], channels, channels + i);
    }
  }
  for (std::int64_t turn = 0; turn < 6; ++turn) add(kColumnCounts[turn + 4], 129, turn);
  add(65, 1025, 2);
  add(3, 1025, 3);
}

// The records of a sum kernel: of every leaf two values a channel, with room between them that is
// not to be touched.
struct Records {
  Records(std::int64_t leaves, std::int64_t channels)
      : second(channels + 1), step(2 * channels + 3), memory(leaves * step, 1) {}

  double* leaf(std::int64_t i) { return memory.data() + i * step; }
  bool untouched(std::int64_t channels) const {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(memory.span().size()); ++i) {
      const std::int64_t at = i % step;
      const bool used = at < channels || (at >= second && at < second + channels);
      const double value = memory[static_cast<std::size_t>(i)];
      if (!used && !same_bits(value, Buffer<double>::guard())) return false;
    }
    return memory.untouched();
  }

  std::int64_t second, step;
  Buffer<double> memory;
};

// How the backward pass undoes a relu.
enum class Undo { nothing, forward, bits };

// A relu of u = (x - center) * scale + shift, and its two gates.
template <class T>
struct ForwardPass {
  explicit ForwardPass(TensorCase<T>& k) : affine(k.affine()), bits(k.layout), y(k.layout, {2}) {
    column_normalize<T>(k.x.columns(), {}, y.out_columns(), k.valid.runs(), {0, k.layout.columns()},
                        k.layout.channels, affine, true, bits.columns());
  }
  ColumnGate<NormParameter<T>> gate(Undo undo) {
    return {undo == Undo::forward ? &affine : nullptr,
            undo == Undo::bits ? bits.columns() : ColumnBits{}};
  }
  ChannelAffine<NormParameter<T>> affine;
  Bits bits;
  Tensor<T> y;
};

template <class T>
std::int64_t leaves_of(const TensorCase<T>& k) {
  return static_cast<std::int64_t>(k.valid.leaf_weights().size());
}

template <class T>
Records moment_records(const TensorCase<T>& k) {
  Records records(leaves_of(k), k.layout.channels);
  column_moments<T>(k.x.columns(), k.valid.runs(), 0, k.valid.count(), k.layout.channels,
                    records.leaf(0), records.step, records.second);
  EXPECT_TRUE(records.untouched(k.layout.channels)) << k.name();
  return records;
}

template <class T>
Records gradient_records(const TensorCase<T>& k, const Tensor<T>& dy, const double* mean,
                         const ColumnGate<NormParameter<T>>& gate) {
  Records records(leaves_of(k), k.layout.channels);
  column_gradient_sums<T>(k.x.columns(), dy.columns(), k.valid.runs(), 0, k.valid.count(),
                          k.layout.channels, mean, gate, records.leaf(0), records.step,
                          records.second);
  EXPECT_TRUE(records.untouched(k.layout.channels)) << k.name();
  return records;
}

// What is merged of all leaves.
struct Merged {
  std::vector<double> first, second;
  explicit Merged(std::int64_t channels)
      : first(static_cast<std::size_t>(channels)), second(first) {}
};
Merged merged_moments(Records records, const std::vector<double>& counts, std::int64_t channels,
                      double divisor) {
  Merged result(channels);
  merge_column_moments(records.leaf(0), records.step, records.second, counts.data(),
                       static_cast<std::int64_t>(counts.size()), channels, divisor,
                       result.first.data(), result.second.data());
  EXPECT_TRUE(records.untouched(channels));
  return result;
}
Merged merged_sums(Records records, std::int64_t leaves, std::int64_t channels,
                   const double* rstd) {
  Merged result(channels);
  merge_column_gradient_sums(records.leaf(0), records.step, records.second, leaves, channels, rstd,
                             result.first.data(), result.second.data());
  EXPECT_TRUE(records.untouched(channels));
  return result;
}

template <class T>
void expect_moments(const TensorCase<T>& k, const Merged& computed) {
  for (std::int64_t c = 0; c < k.layout.channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const std::vector<T> row = k.x.row(k.valid, c);
    const auto exact = oracle::moment_bounds(widened(std::span<const T>(row)),
                                             oracle::kChannelLeaf<T>, k.weights());
    ASSERT_LE(std::abs(computed.first[i] - exact.mean), exact.mean_error) << k.name();
    ASSERT_LE(std::abs(computed.second[i] - exact.m2), exact.m2_error) << k.name();
    ASSERT_GE(computed.second[i], 0.0) << k.name();
  }
}

template <class T>
void moments() {
  for_each_case<T>([](TensorCase<T>& k) {
    const std::int64_t channels = k.layout.channels;
    const Records records = moment_records(k);
    k.x.ahead = 100;
    const Records records_ahead = moment_records(k);
    EXPECT_TRUE(same_bits(records.memory.span(), records_ahead.memory.span()))
        << k.name() << ", memory asked for ahead";
    if (k.valid.count() == 0) return;
    const Merged whole = merged_moments(records, k.valid.leaf_weights(), channels, 1);
    const Merged halved = merged_moments(records, k.valid.leaf_weights(), channels, 2);
    expect_moments(k, whole);
    for (std::size_t i = 0; i < whole.first.size(); ++i) {
      ASSERT_EQ(halved.first[i], whole.first[i]) << k.name();
      ASSERT_EQ(halved.second[i], whole.second[i] / 2) << k.name();
    }
  });
}
EVENROW_EVERY_ELEMENT(ColumnKernels, Moments, moments)

// The first value of every leaf, its pivot, is far from the others and weighs nothing beside them:
// without the pass that finds a better pivot, M2 loses half of its digits.
TEST_P(ColumnKernels, MomentsWithAPivotThatWeighsNothing) {
  const Layout layout = Layout::of_columns(150, 9);
  std::vector<float> weights(150, 0.75f);
  for (std::size_t j = 0; j < 150; j += 64) weights[j] = 1e-20f;
  TensorCase<double> k(layout, weights, true);
  for (std::int64_t j = 0; j < 150; j += 64) {
    for (std::int64_t c = 0; c < 9; ++c) k.x(j, c) = 1e6;
  }
  expect_moments(k, merged_moments(moment_records(k), k.valid.leaf_weights(), 9, 1));
}

template <class T>
void gradient_sums() {
  const double eps = 1e-3;
  for_each_case<T>([&](TensorCase<T>& k) {
    const std::int64_t channels = k.layout.channels;
    const auto size = static_cast<std::size_t>(channels);
    std::vector<oracle::MomentBounds> rows(size);
    std::vector<double> mean(size), rstd(size);
    for (std::size_t i = 0; i < size; ++i) {
      const std::vector<T> row = k.x.row(k.valid, static_cast<std::int64_t>(i));
      rows[i] = oracle::moment_bounds(widened(std::span<const T>(row)), oracle::kChannelLeaf<T>,
                                      k.weights());
      mean[i] = static_cast<double>(rows[i].mean);
      rstd[i] = inverse_deviation(static_cast<double>(rows[i].variance()), eps);
    }
    ForwardPass<T> forward(k);
    const Records plain = gradient_records(k, k.dy, mean.data(), {});
    const Records expected = gradient_records(k, k.masked(forward.bits), mean.data(), {});
    k.x.ahead = k.dy.ahead = 100;
    for (const Undo undo : {Undo::forward, Undo::bits}) {
      const Records gated = gradient_records(k, k.dy, mean.data(), forward.gate(undo));
      EXPECT_TRUE(same_bits(gated.memory.span(), expected.memory.span())) << k.name();
    }
    if (k.valid.count() == 0) return;
    const Merged sums = merged_sums(plain, leaves_of(k), channels, rstd.data());
    const Merged centered = merged_sums(plain, leaves_of(k), channels, nullptr);
    EXPECT_EQ(centered.first, sums.first) << k.name();
    for (std::size_t i = 0; i < size; ++i) {
      const auto c = static_cast<std::int64_t>(i);
      const std::vector<T> x = k.x.row(k.valid, c), dy = k.dy.row(k.valid, c);
      const auto exact = oracle::gradient_bounds(rows[i], widened(std::span<const T>(x)),
                                                 widened(std::span<const T>(dy)), eps);
      ASSERT_LE(std::abs(sums.first[i] - exact.dbeta), exact.dbeta_error) << k.name();
      ASSERT_LE(std::abs(sums.second[i] - exact.dgamma), exact.dgamma_error) << k.name();
      ASSERT_EQ(centered.second[i] * rstd[i], sums.second[i]) << k.name();
    }
  });
}
EVENROW_EVERY_ELEMENT(ColumnKernels, GradientSums, gradient_sums)

// Aligned runs of 2^k leaves are whole subtrees: merged first, as several threads do, in place of
// their first leaf, they give the bits of all leaves merged at once.
TEST_P(ColumnKernels, AlignedRunsOfLeavesAreMergedFirstWithTheSameBits) {
  for (const std::int64_t columns : {64, 65, 130, 449, 640, 1469}) {
    for (const std::int64_t channels : {1, 3, 8, 33}) {
      for (const Counting counting : {Counting::all, Counting::weighted}) {
        const TensorCase<float> k(Layout::of_columns(columns, channels), counting);
        const std::vector<double>& counts = k.valid.leaf_weights();
        const std::vector<double> mean(static_cast<std::size_t>(channels), 5);
        const Records leaves = moment_records(k);
        const Records sum_leaves = gradient_records(k, k.dy, mean.data(), {});
        const Merged whole = merged_moments(leaves, counts, channels, 1);
        const Merged sums = merged_sums(sum_leaves, leaves_of(k), channels, nullptr);
        for (const std::int64_t run : {2, 4, 8}) {
          Records parts = leaves, sum_parts = sum_leaves;
          std::vector<double> part_counts;
          for (std::int64_t i = 0; i < leaves_of(k); i += run) {
            const std::int64_t nodes = std::min(run, leaves_of(k) - i);
            double* const to = parts.leaf(i);
            merge_column_moments(to, parts.step, parts.second, counts.data() + i, nodes, channels,
                                 1, to, to + parts.second);
            double* const sum_to = sum_parts.leaf(i);
            merge_column_gradient_sums(sum_to, parts.step, parts.second, nodes, channels, nullptr,
                                       sum_to, sum_to + parts.second);
            PairwiseMerge<Moments> weight;  // weights are added over the same tree
            for (std::int64_t n = i; n < i + nodes; ++n) {
              weight.push({counts[static_cast<std::size_t>(n)], 0, 0});
            }
            part_counts.push_back(weight.total().count);
          }
          const auto nodes = static_cast<std::int64_t>(part_counts.size());
          parts.step *= run;
          sum_parts.step *= run;
          Merged of_runs(channels), sums_of_runs(channels);
          merge_column_moments(parts.leaf(0), parts.step, parts.second, part_counts.data(), nodes,
                               channels, 1, of_runs.first.data(), of_runs.second.data());
          merge_column_gradient_sums(sum_parts.leaf(0), sum_parts.step, parts.second, nodes,
                                     channels, nullptr, sums_of_runs.first.data(),
                                     sums_of_runs.second.data());
          EXPECT_EQ(of_runs.first, whole.first) << k.name() << ' ' << run;
          EXPECT_EQ(of_runs.second, whole.second) << k.name() << ' ' << run;
          EXPECT_EQ(sums_of_runs.first, sums.first) << k.name() << ' ' << run;
          EXPECT_EQ(sums_of_runs.second, sums.second) << k.name() << ' ' << run;
        }
      }
    }
  }
}

template <class T>
void normalize() {
  for_each_case<T>([](TensorCase<T>& k) {
    for (const bool add : {false, true}) {
      const auto run = [&](const Tensor<T>& x, const Tensor<T>& residual, Tensor<T>& y, bool relu,
                           bool stream, const ColumnBits& bits = {}) {
        column_normalize<T>(x.columns(), add ? residual.columns() : Columns<const T>{},
                            y.out_columns(), k.valid.runs(), {0, k.layout.columns(), stream},
                            k.layout.channels, k.affine(), relu, bits);
      };
      Tensor<T> plain(k.layout, {3});
      run(k.x, k.residual, plain, false, false);
      expect_outputs(k, plain, add);
      for (const bool relu : {false, true}) {
        const std::vector<T> values = plain.values(k.valid);
        const std::vector<T> expected = relu ? rectified(values) : values;
        const auto expect = [&](const Tensor<T>& y, const std::string& what) {
          expect_values(y, k.valid, expected, k.name() + ", " + what);
        };
        for (const std::int64_t misaligned : {0, 1, 5}) {
          Tensor<T> y(k.layout, {misaligned}), past_caches(k.layout, {misaligned});
          run(k.x, k.residual, y, relu, false);
          expect(y, "misaligned");
          run(k.x, k.residual, past_caches, relu, true);
          expect(past_caches, "past the caches");
        }
        Tensor<T> x = k.x.copied(), residual = k.residual.copied(), ahead(k.layout);
        run(x, k.residual, x, relu, false);
        expect(x, "in place");
        if (add) {
          run(k.x, residual, residual, relu, false);
          expect(residual, "in place of the residual");
        }
        Tensor<T> from = k.x.copied({2});
        from.ahead = 100;
        run(from, k.residual, ahead, relu, false);
        expect(ahead, "memory asked for ahead");
        if (!relu) continue;
        for (const bool stream : {false, true}) {
          Bits bits(k.layout);
          Tensor<T> y(k.layout, {1});
          run(k.x, k.residual, y, true, stream, bits.columns());
          expect(y, "with bits");
          expect_bits(k, bits, add);
        }
      }
    }
  });
}
EVENROW_EVERY_ELEMENT(ColumnKernels, Normalize, normalize)

// A task's columns begin and end inside a run: they are written as with all others, and nothing is
// written beside them.
TEST_P(ColumnKernels, ARangeOfColumnsIsWrittenAlone) {
  for_each_case<float>([](TensorCase<float>& k) {
    const std::int64_t columns = k.layout.columns();
    const std::int64_t begin = columns / 3, end = columns - columns / 4;
    for (const bool stream : {false, true}) {
      const auto expect_alone = [&](const std::string& what, const auto& map) {
        Tensor<float> all(k.layout), some(k.layout);
        map(all, ColumnRange{0, columns, stream});
        map(some, ColumnRange{begin, end, stream});
        std::int64_t wrong = 0;
        for (std::int64_t j = 0; j < columns; ++j) {
          for (std::int64_t c = 0; c < k.layout.channels; ++c) {
            const bool inside = j >= begin && j < end;
            if (!same_bits(some(j, c), inside ? all(j, c) : Buffer<float>::guard())) ++wrong;
          }
        }
        EXPECT_EQ(wrong, 0) << k.name() << ", " << what << ", past the caches: " << stream;
      };
      expect_alone("normalize", [&](Tensor<float>& y, const ColumnRange& range) {
        column_normalize<float>(k.x.columns(), {}, y.out_columns(), k.valid.runs(), range,
                                k.layout.channels, k.affine(), false, {});
      });
      expect_alone("input gradient", [&](Tensor<float>& dx, const ColumnRange& range) {
        column_input_gradient<float>(k.x.columns(), k.dy.columns(), dx.out_columns(), {},
                                     k.valid.runs(), range, k.layout.channels, k.gradient(), {});
      });
    }
  });
}

template <class T>
void input_gradient() {
  for_each_case<T>([](TensorCase<T>& k) {
    ForwardPass<T> forward(k);
    const auto run = [&](const Tensor<T>& x, const Tensor<T>& dy, Tensor<T>& dx, Undo undo,
                         Tensor<T>* dresidual = nullptr, bool stream = false) {
      column_input_gradient<T>(x.columns(), dy.columns(), dx.out_columns(),
                               dresidual != nullptr ? dresidual->out_columns() : Columns<T>{},
                               k.valid.runs(), {0, k.layout.columns(), stream}, k.layout.channels,
                               k.gradient(), forward.gate(undo));
    };
    Tensor<T> plain(k.layout, {1});
    run(k.x, k.dy, plain, Undo::nothing);
    expect_input_gradients(k, plain);
    const Tensor<T> masked = k.masked(forward.bits);
    Tensor<T> of_masked(k.layout);
    run(k.x, masked, of_masked, Undo::nothing);
    for (const Undo undo : {Undo::nothing, Undo::forward, Undo::bits}) {
      const bool open = undo == Undo::nothing;
      const std::vector<T> expected = (open ? plain : of_masked).values(k.valid);
      const std::vector<T> through = (open ? k.dy : masked).values(k.valid);
      const auto expect = [&](const Tensor<T>& dx, const std::string& what) {
        expect_values(dx, k.valid, expected, k.name() + ", " + what);
      };
      for (const std::int64_t misaligned : {0, 1, 5}) {
        for (const bool stream : {false, true}) {
          Tensor<T> dx(k.layout, {misaligned}), with_residual(k.layout, {misaligned});
          Tensor<T> dresidual(k.layout, {misaligned + 1});
          run(k.x, k.dy, dx, undo, nullptr, stream);
          expect(dx, "misaligned or past the caches");
          run(k.x, k.dy, with_residual, undo, &dresidual, stream);
          expect(with_residual, "with dresidual");
          expect_values(dresidual, k.valid, through, k.name() + ", dresidual");
        }
      }
      Tensor<T> dy = k.dy.copied(), x = k.x.copied(), both = k.dy.copied(), ahead(k.layout);
      run(k.x, dy, dy, undo);
      expect(dy, "in place of dy");
      run(x, k.dy, x, undo);
      expect(x, "in place of x");
      Tensor<T> dx(k.layout), from = k.x.copied();
      run(k.x, both, dx, undo, &both);
      expect(dx, "dresidual in place of dy");
      expect_values(both, k.valid, through, k.name() + ", dresidual in place of dy");
      from.ahead = 100;
      run(from, k.dy, ahead, undo);
      expect(ahead, "memory asked for ahead");
    }
  });
}
EVENROW_EVERY_ELEMENT(ColumnKernels, InputGradient, input_gradient)

}  // namespace
}  // namespace evenrow::kernels
