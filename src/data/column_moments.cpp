#include "data/column_moments.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/sizes.hpp"
#include "core/threads.hpp"

namespace evenrow::data {
namespace {

/// Rows of a leaf: at 784 bytes a row they stay in the second-level cache for the second pass.
constexpr std::int64_t kLeafRows = 256;
/// Leaves are computed in groups of this many and then merged, so that memory does not grow with
/// the rows.
constexpr std::int64_t kGroupLeaves = 64;

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

template <class T>
std::vector<ColumnMoments> moments_of(const std::vector<T>& values,
                                      std::span<const std::uint32_t> rows, std::int64_t columns,
                                      int threads) {
  const std::vector<double> pivot = first_values(values, rows, static_cast<std::size_t>(columns));
  const std::int64_t leaves = core::block_count(static_cast<std::int64_t>(rows.size()), kLeafRows);
  std::vector<Moments> group(static_cast<std::size_t>(std::min(leaves, kGroupLeaves)),
                             Moments(columns));
  Moments all(columns);
  for (std::int64_t first = 0; first < leaves; first += kGroupLeaves) {
    const std::int64_t count = std::min(kGroupLeaves, leaves - first);
    core::parallel_for(threads, count, [&](std::int64_t i) {
      const auto begin = static_cast<std::size_t>((first + i) * kLeafRows);
      const std::size_t length = std::min(static_cast<std::size_t>(kLeafRows), rows.size() - begin);
      leaf_moments(values, rows.subspan(begin, length), pivot, group[static_cast<std::size_t>(i)]);
    });
    for (std::int64_t i = 0; i < count; ++i) merge(group[static_cast<std::size_t>(i)], all);
  }
  std::vector<ColumnMoments> moments;
  moments.reserve(pivot.size());
  for (std::size_t c = 0; c < pivot.size(); ++c) {
    moments.push_back({.count = static_cast<std::int64_t>(all.count[c]),
                       .mean = pivot[c] + all.mean[c],
                       .m2 = all.m2[c]});
  }
  return moments;
}

// Of bytes, by sums of whole numbers, which are exact: only the last steps round.
std::vector<ColumnMoments> moments_of(const std::vector<std::uint8_t>& bytes,
                                      std::span<const std::uint32_t> rows, std::int64_t columns,
                                      int threads) {
  const auto width = static_cast<std::size_t>(columns);
  const auto n = static_cast<std::int64_t>(rows.size());
  std::vector<std::int64_t> sum(width), squares(width);
  std::mutex mutex;
  core::parallel_shares(threads, core::block_count(n, kLeafRows),
                        [&](std::int64_t leaf, std::int64_t last) {
                          // 32 bits hold the squares of a leaf.
                          std::vector<std::uint32_t> leaf_sum(width), leaf_squares(width);
                          std::vector<std::int64_t> own_sum(width), own_squares(width);
                          for (; leaf < last; ++leaf) {
                            std::ranges::fill(leaf_sum, 0u);
                            std::ranges::fill(leaf_squares, 0u);
                            for (std::int64_t row = leaf * kLeafRows;
                                 row < std::min(n, (leaf + 1) * kLeafRows); ++row) {
                              const std::uint8_t* const x =
                                  bytes.data() + rows[static_cast<std::size_t>(row)] * width;
                              for (std::size_t c = 0; c < width; ++c) {
                                const std::uint32_t value = x[c];
                                leaf_sum[c] += value;
                                leaf_squares[c] += value * value;
                              }
                            }
                            for (std::size_t c = 0; c < width; ++c) {
                              own_sum[c] += leaf_sum[c];
                              own_squares[c] += leaf_squares[c];
                            }
                          }
                          const std::lock_guard lock(mutex);
                          for (std::size_t c = 0; c < width; ++c) {
                            sum[c] += own_sum[c];
                            squares[c] += own_squares[c];
                          }
                        });
  std::vector<ColumnMoments> moments(width);
  for (std::size_t c = 0; c < width && n > 0; ++c) {
    // Around the whole number next to the mean: what is subtracted at the end is at most half.
    const std::int64_t pivot = (2 * sum[c] + n) / (2 * n), around = sum[c] - n * pivot;
    const std::int64_t square_sum = squares[c] - 2 * pivot * sum[c] + n * pivot * pivot;
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
