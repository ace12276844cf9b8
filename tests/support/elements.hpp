// The four element types as the tests see them: exact values, rounding, units in the last place,
// comparison of bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "evenrow/batch_norm.hpp"
#include "evenrow/half.hpp"

namespace evenrow {

template <class T>
inline constexpr bool kIsHalf = std::same_as<T, bfloat16> || std::same_as<T, float16>;

/// The value, exactly.
template <class T>
constexpr long double as_real(T value) {
  if constexpr (kIsHalf<T>) {
    return static_cast<long double>(static_cast<float>(value));
  } else {
    return static_cast<long double>(value);
  }
}

/// A value near `value`: to nearest, by way of float for the halves.
template <class T>
constexpr T rounded(double value) {
  if constexpr (kIsHalf<T>) {
    return T(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

/// Digits of the fraction, the first one included, and the smallest exponent of a normal number.
template <class T>
struct Format {
  static constexpr int digits = std::numeric_limits<T>::digits;
  static constexpr int lowest = std::numeric_limits<T>::min_exponent - 1;
  static constexpr const char* name = std::same_as<T, float> ? "float" : "double";
};
template <>
struct Format<bfloat16> {
  static constexpr int digits = 8, lowest = -126;
  static constexpr const char* name = "bfloat16";
};
template <>
struct Format<float16> {
  static constexpr int digits = 11, lowest = -14;
  static constexpr const char* name = "float16";
};

/// The distance of neighbouring numbers of type T around `value`.
template <class T>
long double ulp(long double value) {
  const int exponent = value == 0 ? Format<T>::lowest : std::ilogb(value);
  return std::ldexp(1.0L, std::max(exponent, Format<T>::lowest) - (Format<T>::digits - 1));
}

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}
template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return same_bits(std::span<const T>(a), std::span<const T>(b));
}

}  // namespace evenrow
