// What the tests of the kernels share: every target, awkward sizes, misaligned buffers with guards.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "kernels/targets.hpp"

namespace evenrow::kernels {

/// Runs each test once on every target that is compiled in and that this CPU has.
class EveryTarget : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(use_target(GetParam()));
    ASSERT_EQ(running_target(), GetParam());
  }
  void TearDown() override { use_target(""); }
};

inline std::string target_test_name(const ::testing::TestParamInfo<std::string>& info) {
  return info.param;
}

/// Empty, one, two; around one vector of 2, 4, 8 and 16 lanes, around 32 partial sums; primes;
/// around one leaf and several leaves.
inline const std::vector<std::int64_t>& awkward_sizes() {
  static const std::vector<std::int64_t> sizes = {
      0,  1,  2,  3,  4,  5,  7,   8,   9,   13,   15,   16,   17,   31,   32,   33,
      47, 61, 63, 64, 65, 97, 127, 128, 129, 1021, 1023, 1024, 1025, 2048, 3079, 5000};
  return sizes;
}

/// Values that start `misaligned` elements after the start of an allocation. What lies behind them
/// must never be written: see untouched().
template <class T>
class Buffer {
 public:
  Buffer(std::int64_t n, std::int64_t misaligned)
      : start_(static_cast<std::size_t>(misaligned)),
        size_(static_cast<std::size_t>(n)),
        storage_(start_ + size_ + kGuard, guard()) {}

  T* data() { return storage_.data() + start_; }
  const T* data() const { return storage_.data() + start_; }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }
  T& operator[](std::size_t i) { return storage_[start_ + i]; }
  T operator[](std::size_t i) const { return storage_[start_ + i]; }

  bool untouched() const {
    for (std::size_t i = 0; i < storage_.size(); ++i) {
      if ((i < start_ || i >= start_ + size_) && storage_[i] != guard()) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 32;
  static constexpr T guard() { return T{-12345.5}; }
  std::size_t start_, size_;
  std::vector<T> storage_;
};

/// offset + spread * standard normal numbers, a function of the seed.
template <class T>
void fill_normal(std::span<T> values, std::uint64_t seed, double offset = 0, double spread = 1) {
  const core::RandomStream stream(seed, core::Purpose::test, 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(offset + spread * stream.normal(i));
  }
}

template <class T>
std::vector<long double> widened(std::span<const T> values) {
  return {values.begin(), values.end()};
}

}  // namespace evenrow::kernels
