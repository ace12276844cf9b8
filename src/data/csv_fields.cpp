#include "data/csv_fields.hpp"

#include <fast_float/fast_float.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <system_error>

#include "data/text.hpp"

namespace evenrow::data {

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
