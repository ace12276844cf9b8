// The usable range of one curve of scores.
#pragma once

#include <optional>
#include <span>

namespace evenrow::tuning {

struct Range {
  double low = 0, high = 0;  ///< Positions.
  bool open_low = false, open_high = false;
};

/// Where `scores`, linear between ascending `positions`, are at least `threshold`: the connected
/// range around the highest one (the first of equals). Empty when that is below it.
std::optional<Range> range_above(std::span<const double> positions, std::span<const double> scores,
                                 double threshold);

}  // namespace evenrow::tuning
