// The inputs of a network from the values of a data set. No allocation, no threads.
#pragma once

#include <cstdint>

namespace evenrow::kernels {

/// out[i] = (x[i] - mean[i]) * scale[i] in double, rounded to float once; 0 where x[i] is NaN, a
/// missing value. False when a result is not finite. The same bits on every target. T: uint8_t,
/// float, double.
template <class T>
bool normalize_inputs(const T* x, std::int64_t n, const double* mean, const double* scale,
                      float* out) noexcept;

}  // namespace evenrow::kernels
