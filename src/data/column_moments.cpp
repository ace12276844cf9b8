#include "data/column_moments.hpp"

#include <algorithm>
#include <cmath>

#include "core/sizes.hpp"
#include "core/threads.hpp"

namespace evenrow::data {
namespace {

/// Rows of a leaf: at 784 bytes a row they stay in the second-level cache for the second pass.
constexpr std::int64_t kLeafRows = 256;
/// Leaves are computed in groups of this many and then merged, so that memory does not grow with
/// the rows.
constexpr std::int64_t kGroupLeaves = 64;

std::int64_t leaves_of(std::span<const std::uint32_t> rows) {
  return core::block_count(static_cast<std::int64_t>(rows.size()), kLeafRows);
}
std::size_t group_size(std::span<const std::uint32_t> rows) {
  return static_cast<std::size_t>(std::min(leaves_of(rows), kGroupLeaves));
}

/// Moments of x - pivot for the columns of one leaf, or of several merged: one array a field.
struct Moments {
  explicit Moments(std::int64_t columns)
      : count(static_cast<std::size_t>(columns)), mean(count.size()), m2(count.size()) {}

  std::vector<double> count;  // whole numbers
  std::vector<double> mean;
  std::vector<double> m2;
};

template <class T>
void leaf_moments(const std::vector<T>& values, std::span<const std::uint32_t> rows,
                  const std::vector<double>& pivot, Moments& leaf) {
  const std::size_t columns = pivot.size();
  double* const count = leaf.count.data();
  double* const mean = leaf.mean.data();
  double* const m2 = leaf.m2.data();
  std::fill_n(count, columns, 0.0);
  std::fill_n(mean, columns, 0.0);
  std::fill_n(m2, columns, 0.0);
  for (const std::uint32_t row : rows) {
    const T* const x = values.data() + row * columns;
    for (std::size_t c = 0; c < columns; ++c) {
      const double d = static_cast<double>(x[c]) - pivot[c];
      const bool present = static_cast<double>(x[c]) == static_cast<double>(x[c]);
      count[c] += present ? 1.0 : 0.0;
      mean[c] += present ? d : 0.0;
    }
  }
  for (std::size_t c = 0; c < columns; ++c) mean[c] /= std::max(count[c], 1.0);
  for (const std::uint32_t row : rows) {
    const T* const x = values.data() + row * columns;
    for (std::size_t c = 0; c < columns; ++c) {
      const double d = static_cast<double>(x[c]) - pivot[c] - mean[c];
      const bool present = static_cast<double>(x[c]) == static_cast<double>(x[c]);
      m2[c] += present ? d * d : 0.0;
    }
  }
}

/// into = into and leaf together.
void merge(const Moments& leaf, Moments& into) {
  for (std::size_t c = 0; c < into.count.size(); ++c) {
    const double both = into.count[c] + leaf.count[c];
    const double share = leaf.count[c] / std::max(both, 1.0);
    const double delta = leaf.mean[c] - into.mean[c];
    into.mean[c] += delta * share;
    into.m2[c] += leaf.m2[c] + delta * delta * into.count[c] * share;
    into.count[c] = both;
  }
}

/// The first value present in each column, 0 where there is none.
template <class T>
std::vector<double> first_values(const std::vector<T>& values, std::span<const std::uint32_t> rows,
                                 std::size_t columns) {
  std::vector<double> first(columns, 0.0);
  for (std::size_t c = 0; c < columns; ++c) {
    for (const std::uint32_t row : rows) {
      const auto value = static_cast<double>(values[row * columns + c]);
      if (std::isnan(value)) continue;
      first[c] = value;
      break;
    }
  }
  return first;
}

/// reduce(rows, leaf) for the rows of every leaf, by several threads, then merge(leaf) in their
/// order; as many leaves at a time as `group` has.
template <class Leaf, class Reduce, class Merge>
void reduce_leaves(std::span<const std::uint32_t> rows, int threads, std::vector<Leaf>& group,
                   const Reduce& reduce, const Merge& merge) {
  const std::int64_t leaves = leaves_of(rows);
  for (std::int64_t first = 0; first < leaves; first += std::ssize(group)) {
    const std::int64_t count = std::min<std::int64_t>(std::ssize(group), leaves - first);
    core::parallel_for(threads, count, [&](std::int64_t i) {
      const auto begin = static_cast<std::size_t>((first + i) * kLeafRows);
      const std::size_t length = std::min(static_cast<std::size_t>(kLeafRows), rows.size() - begin);
      reduce(rows.subspan(begin, length), group[static_cast<std::size_t>(i)]);
    });
    for (std::int64_t i = 0; i < count; ++i) merge(group[static_cast<std::size_t>(i)]);
  }
}

template <class T>
std::vector<ColumnMoments> moments_of(const std::vector<T>& values,
                                      std::span<const std::uint32_t> rows, std::int64_t columns,
                                      int threads) {
  const std::vector<double> pivot = first_values(values, rows, static_cast<std::size_t>(columns));
  std::vector<Moments> group(group_size(rows), Moments(columns));
  Moments all(columns);
  reduce_leaves(
      rows, threads, group,
      [&](std::span<const std::uint32_t> some, Moments& leaf) {
        leaf_moments(values, some, pivot, leaf);
      },
      [&](const Moments& leaf) { merge(leaf, all); });
  std::vector<ColumnMoments> moments;
  moments.reserve(pivot.size());
  for (std::size_t c = 0; c < pivot.size(); ++c) {
    moments.push_back({.count = static_cast<std::int64_t>(all.count[c]),
                       .mean = pivot[c] + all.mean[c],
                       .m2 = all.m2[c]});
  }
  return moments;
}

/// Of the columns of one leaf of bytes, whose squares 32 bits can hold, or of all leaves.
template <class Integer>
struct ByteSums {
  explicit ByteSums(std::int64_t columns)
      : sum(static_cast<std::size_t>(columns)), squares(sum.size()) {}

  std::vector<Integer> sum, squares;
};

void leaf_sums(const std::vector<std::uint8_t>& bytes, std::span<const std::uint32_t> rows,
               ByteSums<std::uint32_t>& leaf) {
  const std::size_t columns = leaf.sum.size();
  std::uint32_t* const sum = leaf.sum.data();
  std::uint32_t* const squares = leaf.squares.data();
  std::fill_n(sum, columns, 0u);
  std::fill_n(squares, columns, 0u);
  for (const std::uint32_t row : rows) {
    const std::uint8_t* const x = bytes.data() + row * columns;
    for (std::size_t c = 0; c < columns; ++c) {
      const std::uint32_t value = x[c];
      sum[c] += value;
      squares[c] += value * value;
    }
  }
}

/// By sums of whole numbers, which are exact: only the last steps round.
std::vector<ColumnMoments> moments_of(const std::vector<std::uint8_t>& bytes,
                                      std::span<const std::uint32_t> rows, std::int64_t columns,
                                      int threads) {
  std::vector<ByteSums<std::uint32_t>> group(group_size(rows), ByteSums<std::uint32_t>(columns));
  ByteSums<std::int64_t> all(columns);
  reduce_leaves(
      rows, threads, group,
      [&](std::span<const std::uint32_t> some, ByteSums<std::uint32_t>& leaf) {
        leaf_sums(bytes, some, leaf);
      },
      [&](const ByteSums<std::uint32_t>& leaf) {
        for (std::size_t c = 0; c < all.sum.size(); ++c) {
          all.sum[c] += leaf.sum[c];
          all.squares[c] += leaf.squares[c];
        }
      });
  const auto n = static_cast<std::int64_t>(rows.size());
  std::vector<ColumnMoments> moments(all.sum.size());
  for (std::size_t c = 0; c < moments.size() && n > 0; ++c) {
    // Around the whole number next to the mean: what is subtracted at the end is at most half.
    const std::int64_t sum = all.sum[c], pivot = (2 * sum + n) / (2 * n), around = sum - n * pivot;
    const std::int64_t square_sum = all.squares[c] - 2 * pivot * sum + n * pivot * pivot;
    const auto count = static_cast<double>(n);
    moments[c] = {
        .count = n,
        .mean = static_cast<double>(pivot) + static_cast<double>(around) / count,
        .m2 = static_cast<double>(square_sum) - static_cast<double>(around * around) / count};
  }
  return moments;
}

}  // namespace

std::vector<ColumnMoments> column_moments(const Dataset& data, std::span<const std::uint32_t> rows,
                                          int threads) {
  return std::visit(
      [&](const auto& values) {
        return moments_of(values, rows, static_cast<std::int64_t>(data.columns.size()), threads);
      },
      data.values);
}

}  // namespace evenrow::data
