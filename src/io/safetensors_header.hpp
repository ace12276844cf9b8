// The header of a safetensors file: parsing and checking it, and writing it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.hpp"

namespace evenrow::io {

inline constexpr std::string_view kMetadataKey = "__metadata__";

/// Largest header that the format allows.
inline constexpr std::uint64_t kLargestHeader = 100'000'000;

/// Whether all of `text` is well-formed UTF-8.
bool is_utf8(const std::string& text);

/// "[256, 784]".
std::string shape_text(const std::vector<std::int64_t>& shape);

/// Bytes of a tensor, or nothing when a size is negative or the product overflows.
std::optional<std::int64_t> byte_size(Dtype dtype, const std::vector<std::int64_t>& shape);

/// A tensor that lies at [begin, end) of the data.
struct TensorLocation {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::size_t begin = 0, end = 0;
};

struct Header {
  std::map<std::string, std::string> metadata;
  std::vector<TensorLocation> tensors;  ///< In the order of their bytes.
};

struct HeaderAndData {
  std::string_view header;
  std::span<const std::byte> data;
};

/// The two parts of a file. Errors (data): the header's size is missing, too large or beyond the
/// file.
HeaderAndData split(std::span<const std::byte> file, const std::string& source);

/// The checked header: every tensor lies within `data_size`, and together they fill it.
/// Errors (data): see SafetensorsFile::parse.
Header parse_header(std::string_view text, std::size_t data_size, const std::string& source);

/// In which order the tensors' bytes are written: see SafetensorsFile::serialize.
std::vector<std::size_t> layout(const std::vector<TensorEntry>& tensors);

/// The header of tensors written in this order, padded with spaces to a multiple of 8 bytes.
/// Errors (usage): metadata that is not UTF-8; a header larger than the format allows.
std::string header_text(const std::map<std::string, std::string>& metadata,
                        const std::vector<TensorEntry>& tensors,
                        const std::vector<std::size_t>& order);

}  // namespace evenrow::io
