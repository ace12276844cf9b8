// Times of operations that are run in turn, so that a machine's slow moments meet all of them.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace evenrow::cli {

/// Medians, in seconds, of each operation's time. They are run one after the other, round by round,
/// for about `seconds` and at least three rounds; short ones several times in a row, so that each
/// time is of at least two milliseconds. `between` is called after every operation with the part of
/// the work that is done, and throws to stop.
std::vector<double> median_times(const std::vector<std::function<void()>>& operations,
                                 double seconds, const std::function<void(double)>& between);

}  // namespace evenrow::cli
