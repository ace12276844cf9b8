#include "core/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace evenrow::core {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32, 10 rounds).
TEST(Philox, KnownAnswers) {
  using Block = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, NumbersDependOnSeedPurposeInstanceAndIndexOnly) {
  const RandomStream stream(7, Purpose::weights, 3);
  EXPECT_EQ(stream.word(5), RandomStream(7, Purpose::weights, 3).word(5));
  EXPECT_NE(stream.word(5), stream.word(6));
  EXPECT_NE(stream.word(5), RandomStream(8, Purpose::weights, 3).word(5));
  EXPECT_NE(stream.word(5), RandomStream(7, Purpose::dropout, 3).word(5));
  EXPECT_NE(stream.word(5), RandomStream(7, Purpose::weights, 4).word(5));
}

// With n = 100,000 the standard error of the mean of a normal is 0.0032, of its variance 0.0045:
// five of them as the limit.
TEST(RandomStream, UniformAndNormalHaveTheirMoments) {
  const RandomStream stream(1, Purpose::test, 0);
  const int n = 100000;
  double sum = 0, sum_normal = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double u = stream.uniform(static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    const double z = stream.normal(static_cast<std::uint64_t>(i));
    sum_normal += z;
    squares += z * z;
  }
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(sum_normal / n, 0.0, 5 * std::sqrt(1.0 / n));
  EXPECT_NEAR(squares / n, 1.0, 5 * std::sqrt(2.0 / n));
}

TEST(RandomPermutation, IsAPermutationAndDiffersByInstance) {
  for (std::uint32_t count : {0u, 1u, 2u, 17u, 1000u}) {
    auto order = random_permutation(RandomStream(1, Purpose::shuffle, 0), count);
    std::sort(order.begin(), order.end());
    for (std::uint32_t i = 0; i < count; ++i) ASSERT_EQ(order[i], i);
  }
  EXPECT_NE(random_permutation(RandomStream(1, Purpose::shuffle, 0), 100),
            random_permutation(RandomStream(1, Purpose::shuffle, 1), 100));
}

// Position of element 0 after a shuffle of 8: chi-squared with 7 degrees of freedom, 99.999th
// percentile 35.3.
TEST(RandomPermutation, EveryPositionIsEquallyLikely) {
  std::array<int, 8> hits{};
  const int shuffles = 8000;
  for (int s = 0; s < shuffles; ++s) {
    const auto order =
        random_permutation(RandomStream(3, Purpose::test, static_cast<std::uint64_t>(s)), 8);
    ++hits[static_cast<std::size_t>(std::find(order.begin(), order.end(), 0u) - order.begin())];
  }
  double chi_squared = 0;
  for (int h : hits) chi_squared += (h - 1000.0) * (h - 1000.0) / 1000.0;
  EXPECT_LT(chi_squared, 35.3);
}

}  // namespace
}  // namespace evenrow::core
