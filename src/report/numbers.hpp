// Numbers as tables and progress lines show them: short, and honest about what is not a number.
#pragma once

#include <cstdint>
#include <string>

namespace evenrow::report {

/// `significant` digits, plain where that is readable and with an exponent where it is not:
/// "0.3312", "12.35", "1.230e-07", "0". NaN: "-".
std::string number(double value, int significant = 4);

/// A part of one as a percentage with `decimals` digits: 0.8942 -> "89.42 %". NaN: "-".
std::string percent(double fraction, int decimals = 2);

/// Digits in groups of three: "235,146".
std::string count(std::int64_t value);

/// "0.8 s", "12 s", "3 min 20 s", "1 h 05 min". Negative or not finite: "-".
std::string duration(double seconds);

/// "low .. high", both as number(). "-" when either is NaN.
std::string range(double low, double high, int significant = 3);

}  // namespace evenrow::report
