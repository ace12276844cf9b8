#include "io/safetensors_header.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "core/sizes.hpp"
#include "io/strict_json.hpp"

namespace evenrow::io {
namespace {

using nlohmann::json;

std::map<std::string, std::string> parse_metadata(const json& object, const std::string& source) {
  if (!object.is_object()) {
    core::fail(ErrorKind::data, "{}: {}: expected an object of texts, found {}", source,
               kMetadataKey, object.type_name());
  }
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) {
      core::fail(ErrorKind::data, "{}: {}: the value of {:?} is expected to be text, found {}",
                 source, kMetadataKey, key, value.type_name());
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// A size or an offset: a whole number in [0, 2^63).
std::int64_t parse_size(const json& value, const std::string& where, std::string_view what) {
  const bool fits = value.is_number_unsigned() &&
                    value.get<std::uint64_t>() <=
                        static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!fits) {
    core::fail(ErrorKind::data,
               "{}: {} is expected to hold whole numbers from 0 to 2^63 - 1, found {}", where, what,
               value.is_number() ? value.dump() : value.type_name());
  }
  return value.get<std::int64_t>();
}

const json& field(const json& tensor, const char* name, json::value_t type,
                  const std::string& where) {
  const auto at = tensor.find(name);
  if (at == tensor.end()) {
    core::fail(ErrorKind::data, "{}: \"{}\" is missing", where, name);
  }
  if (at->type() != type) {
    core::fail(ErrorKind::data, "{}: \"{}\" is expected to be {}, found {}", where, name,
               json(type).type_name(), at->type_name());
  }
  return *at;
}

TensorLocation parse_tensor(const std::string& name, const json& object, std::size_t data_size,
                            const std::string& source) {
  const std::string where = fmt::format("{}: tensor {:?}", source, name);
  if (!object.is_object()) {
    core::fail(ErrorKind::data, "{}: expected an object, found {}", where, object.type_name());
  }
  TensorLocation tensor{.name = name, .dtype = {}, .shape = {}, .begin = 0, .end = 0};

  const auto& dtype = field(object, "dtype", json::value_t::string, where);
  const auto known = core::parse_name<Dtype>(dtype.get_ref<const std::string&>());
  if (!known) {
    core::fail(ErrorKind::data, "{}: unknown dtype {:?}; known are {}", where,
               dtype.get_ref<const std::string&>(), core::joined_names<Dtype>());
  }
  tensor.dtype = *known;
  for (const json& size : field(object, "shape", json::value_t::array, where)) {
    tensor.shape.push_back(parse_size(size, where, "shape"));
  }
  const auto bytes = byte_size(tensor.dtype, tensor.shape);
  if (!bytes) {
    core::fail(ErrorKind::data, "{}: the size of {} {} overflows", where, core::name_of(*known),
               shape_text(tensor.shape));
  }

  const auto& offsets = field(object, "data_offsets", json::value_t::array, where);
  if (offsets.size() != 2) {
    core::fail(ErrorKind::data, "{}: data_offsets is expected to hold 2 numbers, found {}", where,
               offsets.size());
  }
  const std::int64_t begin = parse_size(offsets[0], where, "data_offsets");
  const std::int64_t end = parse_size(offsets[1], where, "data_offsets");
  if (end < begin) {
    core::fail(ErrorKind::data, "{}: data_offsets end before they begin: [{}, {}]", where, begin,
               end);
  }
  if (static_cast<std::uint64_t>(end) > data_size) {
    core::fail(ErrorKind::data,
               "{}: its bytes end at {} of the data, but the file has only {}; is it cut off?",
               where, end, data_size);
  }
  if (end - begin != *bytes) {
    core::fail(ErrorKind::data, "{}: {} {} has {} bytes, but data_offsets [{}, {}] hold {}", where,
               core::name_of(*known), shape_text(tensor.shape), *bytes, begin, end, end - begin);
  }
  tensor.begin = static_cast<std::size_t>(begin);
  tensor.end = static_cast<std::size_t>(end);
  return tensor;
}

// The tensors, in the order of their bytes, must fill [0, data_size) without gap or overlap.
void check_coverage(const std::vector<TensorLocation>& tensors, std::size_t data_size,
                    const std::string& source) {
  std::size_t filled = 0;
  for (const TensorLocation& tensor : tensors) {
    if (tensor.begin != filled) {
      core::fail(ErrorKind::data,
                 "{}: tensor {:?}: its bytes begin at {} of the data, but those before it end at "
                 "{}: {} is not allowed",
                 source, tensor.name, tensor.begin, filled,
                 tensor.begin < filled ? "an overlap" : "a gap");
    }
    filled = tensor.end;
  }
  if (filled != data_size) {
    core::fail(ErrorKind::data, "{}: {} bytes follow the last tensor; none may", source,
               data_size - filled);
  }
}

}  // namespace

bool is_utf8(const std::string& text) {
  // nlohmann checks while it writes; its replacement of an ill-formed sequence is another text.
  const json value(text);
  try {
    value.dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::optional<std::int64_t> byte_size(Dtype dtype, const std::vector<std::int64_t>& shape) {
  std::optional<std::int64_t> bytes = size_of(dtype);
  for (const std::int64_t size : shape) {
    bytes = core::checked_product(*bytes, size);
    if (!bytes) break;
  }
  return bytes;
}

HeaderAndData split(std::span<const std::byte> file, const std::string& source) {
  std::uint64_t header_size = 0;
  if (file.size() < sizeof header_size) {
    core::fail(ErrorKind::data,
               "{}: is no safetensors file: it has {} bytes, fewer than the 8 of the header's size",
               source, file.size());
  }
  std::memcpy(&header_size, file.data(), sizeof header_size);
  const auto rest = file.subspan(sizeof header_size);
  if (header_size > kLargestHeader) {
    core::fail(ErrorKind::data,
               "{}: is no safetensors file: its header would have {} bytes, more than the {} that "
               "the format allows",
               source, header_size, kLargestHeader);
  }
  if (header_size > rest.size()) {
    core::fail(ErrorKind::data,
               "{}: its header has {} bytes, but only {} follow; is the file cut off?", source,
               header_size, rest.size());
  }
  const auto header = rest.first(static_cast<std::size_t>(header_size));
  return {{reinterpret_cast<const char*>(header.data()), header.size()},
          rest.subspan(header.size())};
}

Header parse_header(std::string_view text, std::size_t data_size, const std::string& source) {
  if (text.empty() || text.front() != '{') {
    core::fail(ErrorKind::data, "{}: is no safetensors file: its header does not begin with '{{'",
               source);
  }
  const json object = parse_strict_json(text, fmt::format("{}: header", source));
  Header header;
  for (const auto& [name, value] : object.items()) {
    if (name == kMetadataKey) {
      header.metadata = parse_metadata(value, source);
    } else {
      header.tensors.push_back(parse_tensor(name, value, data_size, source));
    }
  }
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorLocation& a, const TensorLocation& b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });
  check_coverage(header.tensors, data_size, source);
  return header;
}

std::vector<std::size_t> layout(const std::vector<TensorEntry>& tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return size_of(tensors[a].dtype) > size_of(tensors[b].dtype);
  });
  return order;
}

std::string header_text(const std::map<std::string, std::string>& metadata,
                        const std::vector<TensorEntry>& tensors,
                        const std::vector<std::size_t>& order) {
  nlohmann::ordered_json::object_t object;
  if (!metadata.empty()) {
    for (const auto& [key, value] : metadata) {
      if (!is_utf8(key) || !is_utf8(value)) {
        core::fail(ErrorKind::usage, "metadata {:?}: is not UTF-8 text", key);
      }
    }
    object.push_back({std::string(kMetadataKey), metadata});
  }
  std::size_t begin = 0;
  for (const std::size_t at : order) {
    const TensorEntry& tensor = tensors[at];
    const std::size_t end = begin + tensor.bytes.size();
    nlohmann::ordered_json entry;
    entry["dtype"] = core::name_of(tensor.dtype);
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {begin, end};
    // Not operator[], which searches all keys: names are known to differ.
    object.push_back({tensor.name, std::move(entry)});
    begin = end;
  }
  std::string text = nlohmann::ordered_json(std::move(object)).dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kLargestHeader) {
    core::fail(ErrorKind::usage,
               "safetensors: the header has {} bytes, more than the {} that the format allows",
               text.size(), kLargestHeader);
  }
  return text;
}

}  // namespace evenrow::io
