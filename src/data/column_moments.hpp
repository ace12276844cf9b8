// Mean and centred sum of squares of the columns of a data set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evenrow/dataset.hpp"

namespace evenrow::data {

struct ColumnMoments {
  std::int64_t count = 0;  ///< Values present.
  double mean = 0;
  double m2 = 0;  ///< sum((x - mean)^2)
};

/// Moments of every column over `rows` (indices below data.rows), missing values left out. Leaves
/// of a fixed number of rows, two passes each over x minus the column's first value (so that a
/// constant column has m2 = 0 exactly, and an offset costs no precision), merged in order by the
/// formula of Chan, Golub and LeVeque (1979): the same bits for any number of threads. Bytes are
/// summed as whole numbers, exactly. Not finite
/// where a value is infinite, or where the squares exceed the range of a double.
std::vector<ColumnMoments> column_moments(const Dataset& data, std::span<const std::uint32_t> rows,
                                          int threads);

}  // namespace evenrow::data
