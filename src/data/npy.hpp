// NumPy's array files (numpy.lib.format, versions 1.0 to 3.0).
#pragma once

#include <cstdint>
#include <vector>

#include "data/byte_source.hpp"
#include "data/elements.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow::data {

struct NpyArray {
  std::vector<std::int64_t> shape;
  Values values;  ///< Last axis fastest, whatever the file has.
};

/// One array, all of the source. Integers of 1 to 8 bytes, floating-point numbers of 2, 4 and 8,
/// and booleans, in either byte order and axis order. Errors (data): wrong magic, a damaged header,
/// other element types, truncated or overlong files, an array without elements.
NpyArray read_npy_array(ByteSource& source);

/// A data set from one array [rows, columns], its target among the columns: see ReadOptions.
Dataset read_npy(ByteSource& source, const ReadOptions& options);

}  // namespace evenrow::data
