// Tests that run once on every SIMD target that is compiled in and that this CPU has.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "evenrow/half.hpp"
#include "kernels/targets.hpp"

namespace evenrow::kernels {

/// Instantiate with available_targets().
class EveryTarget : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(use_target(GetParam()));
    ASSERT_EQ(running_target(), GetParam());
  }
  void TearDown() override { use_target(""); }
};

/// TEST_P(SUITE, NAME<Type>) for every element type: function<T>().
#define EVENROW_EVERY_ELEMENT(SUITE, NAME, FUNCTION) \
  TEST_P(SUITE, NAME##Float) {                       \
    FUNCTION<float>();                               \
  }                                                  \
  TEST_P(SUITE, NAME##Double) {                      \
    FUNCTION<double>();                              \
  }                                                  \
  TEST_P(SUITE, NAME##Bfloat16) {                    \
    FUNCTION<bfloat16>();                            \
  }                                                  \
  TEST_P(SUITE, NAME##Float16) {                     \
    FUNCTION<float16>();                             \
  }

inline std::string target_test_name(const ::testing::TestParamInfo<std::string>& info) {
  return info.param;
}

inline bool has_avx2_and_avx512() {
  const std::vector<std::string> targets = available_targets();
  return std::ranges::find(targets, "avx2") != targets.end() &&
         std::ranges::find(targets, "avx512") != targets.end();
}

}  // namespace evenrow::kernels
