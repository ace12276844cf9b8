#include "data/elements.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/fail.hpp"
#include "core/sizes.hpp"

namespace evenrow::data {
namespace {

/// IEEE 754 binary16, kept in its bits.
struct Half {
  std::uint16_t bits;
};

float to_float(Half half) noexcept {
  const int exponent = (half.bits >> 10) & 0x1f;
  const int fraction = half.bits & 0x3ff;
  float magnitude = 0;
  if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  } else if (exponent == 31) {
    magnitude = fraction == 0 ? std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN();
  } else {
    magnitude = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  }
  return (half.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

constexpr std::int64_t kChunkBytes = 1 << 16;

[[noreturn]] void fail_truncated(const ByteSource& source, const char* what, std::int64_t expected,
                                 std::int64_t found) {
  core::fail(ErrorKind::data,
             "{}: truncated: {} needs {} bytes by its header, {} are there; copy or download the "
             "file again",
             source.name(), what, expected, found);
}

template <class Stored, class Out>
std::vector<Out> read_as(ByteSource& source, bool big_endian, std::int64_t count,
                         const char* what) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(Stored));
  std::vector<Out> values(static_cast<std::size_t>(count));
  if constexpr (std::is_same_v<Stored, Out>) {
    if (sizeof(Stored) == 1 || big_endian == (std::endian::native == std::endian::big)) {
      const std::span<std::uint8_t> bytes(reinterpret_cast<std::uint8_t*>(values.data()),
                                          values.size() * sizeof(Out));
      const std::int64_t found = source.read(bytes);
      if (found < count * kSize) fail_truncated(source, what, count * kSize, found);
      return values;
    }
  }
  std::vector<std::uint8_t> chunk(static_cast<std::size_t>(std::min(count * kSize, kChunkBytes)));
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t items = std::min(count - done, kChunkBytes / kSize);
    const std::int64_t found =
        source.read(std::span(chunk).first(static_cast<std::size_t>(items * kSize)));
    if (found < items * kSize) fail_truncated(source, what, count * kSize, done * kSize + found);
    for (std::int64_t i = 0; i < items; ++i) {
      std::uint8_t* bytes = chunk.data() + i * kSize;
      if (big_endian != (std::endian::native == std::endian::big)) {
        std::reverse(bytes, bytes + kSize);
      }
      Stored stored;
      std::memcpy(&stored, bytes, sizeof stored);
      Out& value = values[static_cast<std::size_t>(done + i)];
      if constexpr (std::is_same_v<Stored, Half>) {
        value = to_float(stored);
      } else {
        value = static_cast<Out>(stored);
      }
    }
    done += items;
  }
  return values;
}

}  // namespace

std::int64_t element_size(Element element) noexcept {
  switch (element) {
    case Element::u1:
    case Element::i1:
      return 1;
    case Element::u2:
    case Element::i2:
    case Element::f2:
      return 2;
    case Element::u4:
    case Element::i4:
    case Element::f4:
      return 4;
    case Element::u8:
    case Element::i8:
    case Element::f8:
      break;
  }
  return 8;
}

std::int64_t checked_count(const ByteSource& source, std::span<const std::int64_t> shape,
                           ElementType type) {
  std::optional<std::int64_t> bytes = element_size(type.element);
  // Zeros last: a product that overflows on its way to zero is still a shape no file can have.
  for (const std::int64_t size : shape) {
    if (bytes && size != 0) bytes = core::checked_product(*bytes, size);
  }
  const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (!bytes || (!empty && *bytes > source.size_limit())) {
    core::fail(ErrorKind::data,
               "{}: its header asks for {} bytes of data, more than such a file can hold ({}); the "
               "header is damaged or the file truncated",
               source.name(), bytes ? std::to_string(*bytes) : "more than 2^63",
               source.size_limit());
  }
  return empty ? 0 : *bytes / element_size(type.element);
}

Values read_elements(ByteSource& source, ElementType type, std::int64_t count, const char* what) {
  const bool big = type.big_endian;
  switch (type.element) {
    case Element::u1:
      return read_as<std::uint8_t, std::uint8_t>(source, big, count, what);
    case Element::i1:
      return read_as<std::int8_t, float>(source, big, count, what);
    case Element::u2:
      return read_as<std::uint16_t, float>(source, big, count, what);
    case Element::i2:
      return read_as<std::int16_t, float>(source, big, count, what);
    case Element::f2:
      return read_as<Half, float>(source, big, count, what);
    case Element::f4:
      return read_as<float, float>(source, big, count, what);
    case Element::u4:
      return read_as<std::uint32_t, double>(source, big, count, what);
    case Element::i4:
      return read_as<std::int32_t, double>(source, big, count, what);
    case Element::u8:
      return read_as<std::uint64_t, double>(source, big, count, what);
    case Element::i8:
      return read_as<std::int64_t, double>(source, big, count, what);
    case Element::f8:
      break;
  }
  return read_as<double, double>(source, big, count, what);
}

Values from_fortran_order(const Values& values, std::span<const std::int64_t> shape) {
  if (std::visit([](const auto& stored) { return stored.empty(); }, values)) return values;
  // Where the elements of one row (all but the first axis, last axis fastest) lie in the file.
  std::vector<std::int64_t> offsets{0};
  std::int64_t stride = shape[0];
  for (std::size_t axis = 1; axis < shape.size(); ++axis) {
    std::vector<std::int64_t> longer;
    for (const std::int64_t offset : offsets) {
      for (std::int64_t i = 0; i < shape[axis]; ++i) longer.push_back(offset + i * stride);
    }
    offsets = std::move(longer);
    stride *= shape[axis];
  }
  return std::visit(
      [&](const auto& stored) -> Values {
        std::decay_t<decltype(stored)> ordered;
        ordered.reserve(stored.size());
        for (std::int64_t row = 0; row < shape[0]; ++row) {
          for (const std::int64_t offset : offsets) {
            ordered.push_back(stored[static_cast<std::size_t>(row + offset)]);
          }
        }
        return ordered;
      },
      values);
}

}  // namespace evenrow::data
