// Inputs of a network from values of every type, on every target: the bits of the formula.
#include "kernels/inputs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernel_cases.hpp"

namespace evenrow::kernels {
namespace {

class Inputs : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Inputs, ::testing::ValuesIn(available_targets()),
                         target_test_name);

template <class T>
T value_at(std::size_t i) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return static_cast<std::uint8_t>(i * 37);
  } else {
    return i % 7 == 3 ? std::numeric_limits<T>::quiet_NaN()
                      : static_cast<T>(std::sin(static_cast<double>(i)) * 1e3);
  }
}

template <class T>
void check_the_formula() {
  for (const std::int64_t n : awkward_sizes()) {
    const auto size = static_cast<std::size_t>(n);
    std::vector<T> x(size);
    std::vector<double> mean(size), scale(size);
    for (std::size_t i = 0; i < size; ++i) {
      x[i] = value_at<T>(i);
      mean[i] = static_cast<double>(i % 11) * 7.3;
      scale[i] = i % 5 == 0 ? 0.0 : 1.0 / (1.0 + static_cast<double>(i % 13));
    }
    for (const std::int64_t misaligned : {0, 1}) {
      Buffer<float> out(n, misaligned);
      EXPECT_TRUE(normalize_inputs(x.data(), n, mean.data(), scale.data(), out.data()));
      EXPECT_TRUE(out.untouched());
      for (std::size_t i = 0; i < size; ++i) {
        const auto value = static_cast<double>(x[i]);
        const float expected =
            std::isnan(value) ? 0.0f : static_cast<float>((value - mean[i]) * scale[i]);
        ASSERT_EQ(out[i], expected) << "value " << i << " of " << n;
      }
    }
  }
}

TEST_P(Inputs, AreTheFormulaOfBytes) {
  check_the_formula<std::uint8_t>();
}
TEST_P(Inputs, AreTheFormulaOfFloats) {
  check_the_formula<float>();
}
TEST_P(Inputs, AreTheFormulaOfDoubles) {
  check_the_formula<double>();
}

TEST_P(Inputs, ResultsThatAreNotFiniteAreTold) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double nearest_above = std::nextafter(0x1.ffffffp127, 0.0);  // still rounds to kLargest
  for (const double value : {kLargest, nearest_above, 0x1.ffffffp127, 1e300, kInfinity}) {
    for (const double sign : {1.0, -1.0}) {
      for (std::size_t at = 0; at < 19; ++at) {
        std::vector<double> x(19, 1.0);
        x[at] = sign * value;
        const std::vector<double> mean(19, 0.0), scale(19, 1.0);
        std::vector<float> out(19);
        EXPECT_EQ(normalize_inputs(x.data(), 19, mean.data(), scale.data(), out.data()),
                  value <= nearest_above);
      }
    }
  }
}

}  // namespace
}  // namespace evenrow::kernels
