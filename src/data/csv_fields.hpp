// What the text of one field means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace evenrow::data {

enum class FieldKind : std::uint8_t { number, missing, word };

struct Field {
  FieldKind kind = FieldKind::missing;
  double value = 0;  ///< number: may be infinite ("inf", "1e400"); missing: NaN.
};

/// number: a decimal number with '.' or an exponent or neither, perhaps after a sign, blanks
/// around it, or "inf"/"infinity" in any case; missing: nothing, "NA", "N/A", "n/a", "null",
/// "NULL", "?", or "nan" in any case; word: everything else. Quoted or not makes no difference.
Field parse_field(std::string_view text) noexcept;

/// As parse_field(), faster: reads up to kFieldMargin bytes before the end of `text`, whatever they
/// are, as are there in front of every field of a RecordReader.
Field parse_record_field(std::string_view text) noexcept;
inline constexpr std::size_t kFieldMargin = 16;

}  // namespace evenrow::data
