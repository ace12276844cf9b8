#include "data/csv_fields.hpp"

#include <fast_float/fast_float.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <system_error>

#include "data/text.hpp"

namespace evenrow::data {
namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x80 * kOnes;
constexpr std::array<double, kFieldMargin> kPowersOfTen = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

// Bit 8 i + 7 where byte i is zero.
std::uint64_t zero_bytes(std::uint64_t bytes) noexcept {
  return ~((bytes & ~kHigh) + ~kHigh) & ~bytes & kHigh;
}

// The value of eight decimal digits, the first one in the lowest byte: pairs, then fours, then all.
std::uint64_t eight_digits(std::uint64_t digits) noexcept {
  digits = digits * 10 + (digits >> 8);
  constexpr std::uint64_t kPairs = 0x000000FF000000FF;
  return ((digits & kPairs) * (100 + (std::uint64_t{1000000} << 32)) +
          ((digits >> 16) & kPairs) * (1 + (std::uint64_t{10000} << 32))) >>
         32;
}

// Takes byte `at` out of `bytes`: those before it move up by one, over `before`.
std::uint64_t without_byte(std::uint64_t bytes, int at, std::uint64_t before) noexcept {
  const std::uint64_t below = (std::uint64_t{1} << (8 * at)) - 1;
  return (bytes & ~below & ~(std::uint64_t{0xFF} << (8 * at))) | ((bytes & below) << 8) | before;
}

// Digits with '.' among them or not, perhaps after '-': 16 characters at most, and digits that make
// a number below 2^53. Both it and the power of ten are exact in a double, so that one division
// rounds correctly: the bits are fast_float's. Reads the kFieldMargin bytes that end with `text`.
std::optional<double> plain_decimal(std::string_view text) noexcept {
  static_assert(std::endian::native == std::endian::little && kFieldMargin == 16);
  if (text.empty()) return {};
  const bool negative = text.front() == '-';
  const std::size_t length = text.size() - std::size_t{negative};
  if (length == 0 || length > kFieldMargin || (length == 1 && text.back() == '.')) return {};
  std::uint64_t front = 0, back = 0;
  std::memcpy(&front, text.data() + text.size() - 16, 8);
  std::memcpy(&back, text.data() + text.size() - 8, 8);
  // '0' becomes 0, and so does what stands before the number.
  const auto unused = static_cast<int>(8 * (kFieldMargin - length));
  front = unused >= 64 ? 0 : (front ^ ('0' * kOnes)) >> unused << unused;
  back = unused <= 64 ? back ^ ('0' * kOnes)
                      : (back ^ ('0' * kOnes)) >> (unused - 64) << (unused - 64);
  constexpr std::uint64_t kPoint = ('.' ^ '0') * kOnes;
  int decimals = 0;
  if (const std::uint64_t in_back = zero_bytes(back ^ kPoint); in_back != 0) {
    const int at = std::countr_zero(in_back) / 8;
    decimals = 7 - at;
    back = without_byte(back, at, front >> 56);
    front <<= 8;
  } else if (const std::uint64_t in_front = zero_bytes(front ^ kPoint); in_front != 0) {
    const int at = std::countr_zero(in_front) / 8;
    decimals = 15 - at;
    front = without_byte(front, at, 0);
  }
  const auto no_digits = [](std::uint64_t bytes) {
    return ((bytes + 0x76 * kOnes) | bytes) & kHigh;
  };
  if ((no_digits(front) | no_digits(back)) != 0) return {};
  const std::uint64_t digits = eight_digits(front) * 100000000 + eight_digits(back);
  if (digits > std::uint64_t{1} << 53) return {};
  const double value = static_cast<double>(static_cast<std::int64_t>(digits)) /
                       kPowersOfTen[static_cast<std::size_t>(decimals)];
  // The sign is as good as random: set without a branch.
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) | std::uint64_t{negative} << 63);
}

}  // namespace

Field parse_record_field(std::string_view text) noexcept {
  if (const std::optional<double> value = plain_decimal(text)) return {FieldKind::number, *value};
  return parse_field(text);
}

Field parse_field(std::string_view text) noexcept {
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  constexpr std::array<std::string_view, 7> kMissingWords = {"",     "NA",   "N/A", "n/a",
                                                             "null", "NULL", "?"};
  text = trim(text);
  const char* first = text.data();
  const char* const end = first + text.size();
  // from_chars takes '-' but no '+'.
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') ++first;
  double value = 0;
  const auto [stop, error] = fast_float::from_chars(first, end, value);
  const bool too_large_or_small = error == std::errc::result_out_of_range;
  if (first != end && stop == end && (error == std::errc() || too_large_or_small)) {
    if (std::isnan(value)) return {FieldKind::missing, kMissing};
    return {FieldKind::number, value};
  }
  const bool missing =
      std::find(kMissingWords.begin(), kMissingWords.end(), text) != kMissingWords.end();
  return {missing ? FieldKind::missing : FieldKind::word, kMissing};
}

}  // namespace evenrow::data
