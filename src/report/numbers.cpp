#include "report/numbers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace evenrow::report {

std::string number(double value, int significant) {
  if (std::isnan(value)) return "-";
  if (value == 0) return "0";
  const double magnitude = std::abs(value);
  // Integers below a million are exact in few enough characters to be shown whole.
  if (magnitude < 1e6 && value == std::trunc(value)) return fmt::format("{:.0f}", value);
  if (magnitude >= 1e6 || magnitude < 0.01) return fmt::format("{:#.{}g}", value, significant);
  // Trailing zeros stay, so that columns of one quantity line up: one more digit
  // before the point is one less behind it.
  const int before = magnitude < 1 ? 0 : static_cast<int>(std::floor(std::log10(magnitude))) + 1;
  return fmt::format("{:.{}f}", value, std::max(significant - before, 0));
}

std::string percent(double fraction, int decimals) {
  if (std::isnan(fraction)) return "-";
  return fmt::format("{:.{}f} %", 100.0 * fraction, decimals);
}

std::string count(std::int64_t value) {
  const std::string plain = fmt::format("{}", value);
  const std::size_t sign = value < 0 ? 1 : 0;
  std::string grouped;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (i > sign && (plain.size() - i) % 3 == 0) grouped += ',';
    grouped += plain[i];
  }
  return grouped;
}

std::string duration(double seconds) {
  if (!(seconds >= 0) || !(seconds < 1e12)) return "-";
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string range(double low, double high, int significant) {
  if (std::isnan(low) || std::isnan(high)) return "-";
  return fmt::format("{} .. {}", number(low, significant), number(high, significant));
}

}  // namespace evenrow::report
