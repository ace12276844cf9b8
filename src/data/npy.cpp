#include "data/npy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <type_traits>
#include <utility>

#include "core/fail.hpp"
#include "data/csv_layout.hpp"
#include "data/npy_header.hpp"
#include "data/targets.hpp"

namespace evenrow::data {
namespace {

[[noreturn]] void fail_in_header(const ByteSource& source) {
  core::fail(ErrorKind::data,
             "{}: truncated: it ends inside the npy header; copy or download it again",
             source.name());
}

NpyHeader read_header(ByteSource& source) {
  constexpr std::array<std::uint8_t, 6> kMagic = {0x93, 'N', 'U', 'M', 'P', 'Y'};
  std::array<std::uint8_t, 8> start{};  // magic, major and minor version
  const std::int64_t found = source.read(start);
  if (found < 6 || !std::equal(kMagic.begin(), kMagic.end(), start.begin())) {
    core::fail(ErrorKind::data,
               "{}: wrong magic number: an npy file begins with 93 4e 55 4d 50 59 (\\x93NUMPY), "
               "this one with {:02x}",
               source.name(),
               fmt::join(start.begin(), start.begin() + std::min<std::int64_t>(found, 6), " "));
  }
  if (found < 8) fail_in_header(source);
  if (start[6] < 1 || start[6] > 3) {
    core::fail(ErrorKind::data, "{}: expected npy format version 1, 2 or 3, found {}.{}",
               source.name(), start[6], start[7]);
  }
  std::array<std::uint8_t, 4> bytes{};  // little-endian, 2 of them in version 1
  const std::size_t width = start[6] == 1 ? 2 : 4;
  if (source.read(std::span(bytes).first(width)) < static_cast<std::int64_t>(width)) {
    fail_in_header(source);
  }
  const std::uint32_t length = std::uint32_t{bytes[0]} | std::uint32_t{bytes[1]} << 8 |
                               std::uint32_t{bytes[2]} << 16 | std::uint32_t{bytes[3]} << 24;
  // Only structured types, which are not read, need more.
  constexpr std::uint32_t kLongestHeader = 65535;
  if (length > kLongestHeader) {
    core::fail(ErrorKind::data, "{}: expected an npy header of at most {} bytes, found {}",
               source.name(), kLongestHeader, length);
  }
  std::string text(length, '\0');
  const std::span<std::uint8_t> room(reinterpret_cast<std::uint8_t*>(text.data()), text.size());
  if (source.read(room) < static_cast<std::int64_t>(length)) fail_in_header(source);
  return parse_npy_header(source.name(), text);
}

}  // namespace

NpyArray read_npy_array(ByteSource& source) {
  const NpyHeader header = read_header(source);
  const std::int64_t count = checked_count(source, header.shape, header.type);
  if (count == 0 || header.shape.empty()) {
    core::fail(ErrorKind::data, "{}: expected an array with rows, found one of shape ({})",
               source.name(), fmt::join(header.shape, ", "));
  }
  NpyArray array{.shape = header.shape,
                 .values = read_elements(source, header.type, count, "the npy array")};
  expect_end(source, "the npy array");
  if (header.fortran_order) array.values = from_fortran_order(array.values, array.shape);
  return array;
}

Dataset read_npy(ByteSource& source, const ReadOptions& options) {
  const NpyArray array = read_npy_array(source);
  if (array.shape.size() != 2) {
    core::fail(ErrorKind::data,
               "{}: expected an array of two axes, rows and columns, found shape ({}); save "
               "features and labels as x and y with numpy.savez",
               source.name(), fmt::join(array.shape, ", "));
  }
  const CsvLayout layout = lay_out_unnamed(source.name(), array.shape[1], options);
  Dataset data{.source = source.name(), .rows = array.shape[0], .columns = layout.columns};
  std::vector<double> target;
  std::visit(
      [&](const auto& values) {
        std::decay_t<decltype(values)> features;
        features.reserve(static_cast<std::size_t>(data.rows) * layout.fields.size());
        for (std::int64_t row = 0; row < data.rows; ++row) {
          const auto* const x = values.data() + row * layout.width;
          for (const std::int64_t field : layout.fields) features.push_back(x[field]);
          if (layout.target_field) target.push_back(static_cast<double>(x[*layout.target_field]));
        }
        data.values = std::move(features);
      },
      array.values);
  if (layout.target_field) {
    data.target = target_of_numbers(source.name(), layout.target, std::move(target));
  }
  return data;
}

}  // namespace evenrow::data
