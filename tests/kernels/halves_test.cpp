// bfloat16 and float16: every bit pattern, rounding, and that every SIMD target loads and stores
// them as include/evenrow/half.hpp says.
#include "evenrow/half.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernel_cases.hpp"
#include "kernels/rows.hpp"
#include "kernels/updates.hpp"

namespace evenrow::kernels {
namespace {

template <class H>
H half_of(std::uint32_t bits) {
  H value;
  value.bits = static_cast<std::uint16_t>(bits);
  return value;
}

template <class H>
class Halves : public ::testing::Test {};
using Types = ::testing::Types<bfloat16, float16>;
TYPED_TEST_SUITE(Halves, Types);

// What the bits mean, from the format's definition.
template <class H>
long double meaning(std::uint32_t bits) {
  constexpr int fraction_bits = Format<H>::digits - 1;
  const std::uint32_t fraction = bits & ((1u << fraction_bits) - 1);
  const auto exponent = static_cast<int>((bits & 0x7fffu) >> fraction_bits);
  const long double sign = (bits & 0x8000u) != 0 ? -1 : 1;
  if (exponent == 0) {
    return sign * std::ldexp(static_cast<long double>(fraction), Format<H>::lowest - fraction_bits);
  }
  const auto significand = static_cast<long double>(fraction + (1u << fraction_bits));
  return sign * std::ldexp(significand, exponent - 1 + Format<H>::lowest - fraction_bits);
}
template <class H>
constexpr std::uint32_t kInfinity = ((1u << (16 - Format<H>::digits)) - 1)
                                    << (Format<H>::digits - 1);

TYPED_TEST(Halves, EveryBitPatternIsWhatItMeansAndComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const auto value = static_cast<float>(half_of<TypeParam>(bits));
    const std::uint16_t back = TypeParam(value).bits;
    if ((bits & 0x7fffu) > kInfinity<TypeParam>) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(static_cast<float>(half_of<TypeParam>(back)))) << bits;
      ASSERT_EQ(back & 0x8000u, bits & 0x8000u) << bits;
      continue;
    }
    if ((bits & 0x7fffu) == kInfinity<TypeParam>) {
      ASSERT_TRUE(std::isinf(value)) << bits;
    } else {
      ASSERT_EQ(value, meaning<TypeParam>(bits)) << bits;
    }
    ASSERT_EQ(std::signbit(value), (bits & 0x8000u) != 0) << bits;
    ASSERT_EQ(back, bits);
  }
}

// The nearest one of the numbers around it; of two equally near ones, the one with even bits.
template <class H>
void expect_rounded_to_nearest(float value) {
  const std::uint32_t bits = H(value).bits & 0x7fffu;
  const long double size = std::abs(static_cast<long double>(value));
  ASSERT_EQ((H(value).bits & 0x8000u) != 0, std::signbit(value)) << value;
  ASSERT_LE(bits, kInfinity<H>) << value;
  // Rounding counts infinity as the number after the largest one.
  const long double rounded = meaning<H>(bits), error = std::abs(rounded - size);
  if (bits < kInfinity<H>) {
    const long double above = meaning<H>(bits + 1) - size;
    ASSERT_TRUE(error < above || (error == above && bits % 2 == 0)) << value;
  } else {
    ASSERT_GE(size, meaning<H>(bits - 1) + (rounded - meaning<H>(bits - 1)) / 2) << value;
  }
  if (bits > 0 && bits < kInfinity<H>) {
    const long double below = size - meaning<H>(bits - 1);
    ASSERT_TRUE(error < below || (error == below && bits % 2 == 0)) << value;
  }
}

// Every float in steps of a prime, and the neighbours of every number and of every midpoint.
template <class H>
std::vector<float> sample() {
  std::vector<float> values;
  for (std::uint64_t bits = 0; bits < 0x7f800000u; bits += 7919) {
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (std::uint32_t bits = 0; bits < kInfinity<H>; ++bits) {
    const long double here = meaning<H>(bits), next = meaning<H>(bits + 1);
    for (const long double at : {here, (here + next) / 2}) {
      const auto value = static_cast<float>(at);
      values.insert(values.end(),
                    {value, std::nextafter(value, 0.0f), std::nextafter(value, 3e38f)});
    }
  }
  return values;
}

TYPED_TEST(Halves, RoundToTheNearestTiesToEven) {
  for (const float value : sample<TypeParam>()) {
    expect_rounded_to_nearest<TypeParam>(value);
    expect_rounded_to_nearest<TypeParam>(-value);
    if (this->HasFatalFailure()) return;
  }
}

TYPED_TEST(Halves, BeyondTheLargestIsInfinity) {
  const auto largest = static_cast<float>(half_of<TypeParam>(kInfinity<TypeParam> - 1));
  EXPECT_EQ(largest, (std::same_as<TypeParam, float16>) ? 65504.0f : 0x1.fep127f);
  const auto half_step = static_cast<float>(ulp<TypeParam>(static_cast<long double>(largest)) / 2);
  const float tie = largest + half_step;  // rounds to the even one: infinity
  EXPECT_EQ(TypeParam(tie).bits, kInfinity<TypeParam>);
  EXPECT_EQ(TypeParam(-tie).bits, kInfinity<TypeParam> | 0x8000u);
  EXPECT_EQ(TypeParam(std::nextafter(tie, 0.0f)).bits, kInfinity<TypeParam> - 1);
  EXPECT_EQ(TypeParam(INFINITY).bits, kInfinity<TypeParam>);
}

// The identity of row_normalize: loads, does nothing, stores. What SIMD code makes of a value is
// what the header makes of it, for every pattern, at every place of a vector.
class HalvesOnTargets : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, HalvesOnTargets, ::testing::ValuesIn(available_targets()),
                         target_test_name);

template <class H>
void loads_and_stores() {
  for (const std::int64_t misaligned : {0, 1, 7}) {
    Buffer<H> x(0x10000, misaligned), y(0x10000, misaligned + 1);
    for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) x[bits] = half_of<H>(bits);
    row_normalize(x.data(), y.data(), 0x10000, {0.0f, 1.0f, -0.0f}, false);
    for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
      const auto value = static_cast<float>(x[bits]);
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(static_cast<float>(y[bits]))) << bits;
      } else {
        ASSERT_EQ(y[bits].bits, bits);
      }
    }
    EXPECT_TRUE(y.untouched());
  }
}
TEST_P(HalvesOnTargets, LoadAndStoreEveryBfloat16) {
  loads_and_stores<bfloat16>();
}
TEST_P(HalvesOnTargets, LoadAndStoreEveryFloat16) {
  loads_and_stores<float16>();
}

// Stores round as the header does: the values are 1 * scale with every scale of the sample, once as
// whole vectors and once one by one.
template <class H>
void stores_round() {
  const std::vector<float> values = sample<H>();
  for (std::size_t i = 0; i < values.size(); i += 7) {
    for (const float scale : {values[i], -values[i]}) {
      Buffer<H> x(17, 0), y(17, 1);
      for (H& one : x.span()) one = H(1.0f);
      row_normalize(x.data(), y.data(), 17, {0.0f, scale, -0.0f}, false);
      for (const H result : y.span()) ASSERT_EQ(result.bits, H(scale).bits) << scale;
    }
  }
  for (const float scale : {INFINITY, -INFINITY, std::nanf("")}) {
    Buffer<H> x(17, 0), y(17, 1);
    for (H& one : x.span()) one = H(1.0f);
    row_normalize(x.data(), y.data(), 17, {0.0f, scale, 0.0f}, false);
    for (const H result : y.span()) {
      ASSERT_EQ(std::isnan(static_cast<float>(result)), std::isnan(scale));
      if (!std::isnan(scale)) {
        ASSERT_EQ(result.bits, H(scale).bits);
      }
    }
  }
}
TEST_P(HalvesOnTargets, StoresRoundBfloat16) {
  stores_round<bfloat16>();
}
TEST_P(HalvesOnTargets, RowsAreRoundedToBfloat16) {
  for (const std::int64_t n : {0, 1, 7, 8, 9, 31, 64, 65}) {
    Buffer<float> x(n, 1);
    Buffer<bfloat16> y(n, 1);
    const core::RandomStream stream(6, core::Purpose::test, 0);
    for (std::int64_t i = 0; i < n; ++i) {
      x[static_cast<std::size_t>(i)] =
          std::bit_cast<float>(stream.word(static_cast<std::uint64_t>(i)));
    }
    round_to_bfloat16(x.data(), y.data(), n);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      EXPECT_EQ(y[i].bits, bfloat16(x[i]).bits) << x[i];
    }
    EXPECT_TRUE(y.untouched());
  }
}
TEST_P(HalvesOnTargets, StoresRoundFloat16) {
  stores_round<float16>();
}

}  // namespace
}  // namespace evenrow::kernels
