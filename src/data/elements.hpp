// Arrays of numbers as IDX and npy files store them.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "data/byte_source.hpp"

namespace evenrow::data {

using Values = std::variant<std::vector<std::uint8_t>, std::vector<float>, std::vector<double>>;

enum class Element { u1, i1, u2, i2, u4, i4, u8, i8, f2, f4, f8 };

struct ElementType {
  Element element = Element::u1;
  bool big_endian = false;
};

std::int64_t element_size(Element element) noexcept;

/// Product of the dimensions; fails (data) when one is negative, or the array would need more
/// bytes than `source` can give.
std::int64_t checked_count(const ByteSource& source, std::span<const std::int64_t> shape,
                           ElementType type);

/// Reads `count` elements, count from checked_count(). u1 stays as it is; i1, u2, i2, f2 and f4
/// become float and lose nothing; the others become double (8-byte integers beyond 2^53 are
/// rounded). Fails (data) when the source ends too early: `what` names the array.
Values read_elements(ByteSource& source, ElementType type, std::int64_t count, const char* what);

/// `values`, of an array stored with its first axis fastest (Fortran order), with its last axis
/// fastest. `shape` has one axis at least.
Values from_fortran_order(const Values& values, std::span<const std::int64_t> shape);

}  // namespace evenrow::data
