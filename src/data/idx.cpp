#include "data/idx.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/fail.hpp"
#include "data/csv_layout.hpp"
#include "data/elements.hpp"
#include "data/targets.hpp"

namespace evenrow::data {
namespace {

struct IdxArray {
  std::vector<std::int64_t> shape;
  Values values;
};

std::optional<Element> element_of_code(std::uint8_t code) {
  switch (code) {
    case 0x08:
      return Element::u1;
    case 0x09:
      return Element::i1;
    case 0x0B:
      return Element::i2;
    case 0x0C:
      return Element::i4;
    case 0x0D:
      return Element::f4;
    case 0x0E:
      return Element::f8;
    default:
      return std::nullopt;
  }
}

/// Header (big-endian): 0, 0, element type, number of dimensions; each dimension as 32 bits.
IdxArray read_array(ByteSource& source, const char* what) {
  std::array<std::uint8_t, 4> magic{};
  const std::int64_t found = source.read(magic);
  const std::optional<Element> element = element_of_code(magic[2]);
  if (found < 4 || magic[0] != 0 || magic[1] != 0 || !element || magic[3] == 0) {
    core::fail(ErrorKind::data,
               "{}: wrong magic number: an IDX file begins with 00 00, a type (08 for bytes) and "
               "the number of dimensions, this one with {:02x}",
               source.name(),
               fmt::join(magic.begin(), magic.begin() + static_cast<std::ptrdiff_t>(found), " "));
  }
  IdxArray array;
  for (int axis = 0; axis < magic[3]; ++axis) {
    std::array<std::uint8_t, 4> bytes{};
    if (source.read(bytes) < 4) {
      core::fail(ErrorKind::data,
                 "{}: truncated: it ends inside the IDX header; copy or download it again",
                 source.name());
    }
    array.shape.push_back(std::int64_t{bytes[0]} << 24 | std::int64_t{bytes[1]} << 16 |
                          std::int64_t{bytes[2]} << 8 | std::int64_t{bytes[3]});
  }
  const ElementType type{.element = *element, .big_endian = true};
  const std::int64_t count = checked_count(source, array.shape, type);
  if (count == 0) {
    core::fail(ErrorKind::data, "{}: has no elements: its dimensions are {}", source.name(),
               fmt::join(array.shape, " x "));
  }
  array.values = read_elements(source, type, count, what);
  expect_end(source, what);
  return array;
}

}  // namespace

Dataset read_idx(ByteSource& images, ByteSource* labels, const ReadOptions& options) {
  IdxArray array = read_array(images, "the IDX array");
  if (array.shape.size() < 2) {
    core::fail(ErrorKind::data,
               "{}: has one dimension, as labels have; give the file of the images (its labels are "
               "found beside it)",
               images.name());
  }
  Dataset data{.source = images.name(), .rows = array.shape[0]};
  std::int64_t columns = 1;  // a divisor of the element count: no overflow
  for (std::size_t axis = 1; axis < array.shape.size(); ++axis) columns *= array.shape[axis];
  data.columns = feature_columns(images.name(), columns, options);
  data.values = std::move(array.values);
  if (array.shape.size() == 3) {
    data.image_height = array.shape[1];
    data.image_width = array.shape[2];
  }
  if (labels != nullptr) {
    const IdxArray label_array = read_array(*labels, "the IDX array");
    if (label_array.shape.size() != 1 || label_array.shape[0] != data.rows) {
      core::fail(ErrorKind::data,
                 "{}: expected one label for each of the {} rows of {}, found an array of {}",
                 labels->name(), data.rows, images.name(), fmt::join(label_array.shape, " x "));
    }
    data.target = target_of_numbers(labels->name(), "label", as_doubles(label_array.values));
  }
  return data;
}

std::vector<std::filesystem::path> label_paths(const std::filesystem::path& images) {
  std::string name = images.filename().string();
  const std::size_t word = name.rfind("images");
  if (word == std::string::npos) return {};
  std::string tail = name.substr(word + 6);
  if (const std::size_t at = tail.find("idx"); at != std::string::npos) {
    const std::size_t digits = std::min(tail.find_first_not_of("0123456789", at + 3), tail.size());
    tail = tail.substr(0, at) + "idx1" + tail.substr(digits);
  }
  name = name.substr(0, word) + "labels" + tail;
  std::string other = name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name + ".gz";
  return {images.parent_path() / name, images.parent_path() / other};
}

}  // namespace evenrow::data
