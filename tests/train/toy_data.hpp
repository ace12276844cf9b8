// Small data sets that are made, not read.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow {

/// Two features around one of three centres, with labels "red", "green", "blue".
inline Dataset three_clouds(std::int64_t rows, std::uint64_t seed = 1) {
  Dataset data;
  data.source = "clouds";
  data.rows = rows;
  data.columns = {{.name = "a"}, {.name = "b"}};
  std::vector<double> values;
  Target target{.name = "colour", .spellings = {"red", "green", "blue"}};
  const core::RandomStream stream(seed, core::Purpose::test, 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto label = static_cast<std::int32_t>(row % 3);
    const auto at = static_cast<std::uint64_t>(row * 2);
    values.push_back(1000 + 3 * std::cos(2.1 * label) + stream.normal(at));
    values.push_back(-5 + 3 * std::sin(2.1 * label) + stream.normal(at + 1));
    target.codes.push_back(label);
  }
  data.values = std::move(values);
  data.target = std::move(target);
  return data;
}

/// target = 500 + 20 a - 10 b + noise of standard deviation 1.
inline Dataset noisy_plane(std::int64_t rows) {
  Dataset data = three_clouds(rows);
  data.source = "plane";
  const auto& values = std::get<std::vector<double>>(data.values);
  Target target{.name = "height", .numeric = true};
  const core::RandomStream stream(2, core::Purpose::test, 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto at = static_cast<std::size_t>(row * 2);
    target.numbers.push_back(500 + 20 * (values[at] - 1000) - 10 * values[at + 1] +
                             stream.normal(static_cast<std::uint64_t>(row)));
  }
  data.target = std::move(target);
  return data;
}

}  // namespace evenrow
