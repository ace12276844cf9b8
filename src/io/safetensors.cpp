#include "io/safetensors.hpp"

#include <bit>
#include <cstring>

#include "core/sizes.hpp"
#include "io/atomic_file.hpp"
#include "io/read_file.hpp"
#include "io/safetensors_header.hpp"

namespace evenrow::io {

static_assert(std::endian::native == std::endian::little,
              "tensors are copied as they lie in the file, which is little-endian");

std::int64_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::boolean:
    case Dtype::u8:
    case Dtype::i8:
    case Dtype::f8_e5m2:
    case Dtype::f8_e4m3:
      return 1;
    case Dtype::i16:
    case Dtype::u16:
    case Dtype::f16:
    case Dtype::bf16:
      return 2;
    case Dtype::i32:
    case Dtype::u32:
    case Dtype::f32:
      return 4;
    case Dtype::i64:
    case Dtype::u64:
    case Dtype::f64:
      return 8;
  }
  core::fail(ErrorKind::usage, "dtype: {} is not one of its values", static_cast<int>(dtype));
}

void SafetensorsFile::add(TensorEntry entry) {
  if (entry.name.empty() || entry.name == kMetadataKey || !is_utf8(entry.name)) {
    core::fail(ErrorKind::usage,
               "tensor {:?}: a name is UTF-8 text, not empty and not \"{}\"; choose another",
               entry.name, kMetadataKey);
  }
  const auto expected = byte_size(entry.dtype, entry.shape);
  if (expected != static_cast<std::int64_t>(entry.bytes.size())) {
    core::fail(ErrorKind::usage, "tensor {:?}: {} bytes were given for {} {}", entry.name,
               entry.bytes.size(), core::name_of(entry.dtype), shape_text(entry.shape));
  }
  if (!index_.emplace(entry.name, tensors_.size()).second) {
    core::fail(ErrorKind::usage, "tensor {:?}: was already added; every name stands once",
               entry.name);
  }
  tensors_.push_back(std::move(entry));
}

template <class T>
void SafetensorsFile::add(std::string name, std::span<const T> values,
                          std::vector<std::int64_t> shape) {
  const auto bytes = std::as_bytes(values);
  add({std::move(name), kDtypeOf<T>, std::move(shape), {bytes.begin(), bytes.end()}});
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto at = index_.find(std::string(name));
  return at == index_.end() ? nullptr : &tensors_[at->second];
}

const TensorEntry& SafetensorsFile::require(std::string_view name, Dtype dtype,
                                            const std::vector<std::int64_t>& shape) const {
  const TensorEntry* entry = find(name);
  if (!entry) {
    core::fail(ErrorKind::data, "{}: tensor {:?}: is missing; expected {} {}", source_, name,
               core::name_of(dtype), shape_text(shape));
  }
  if (entry->dtype != dtype || entry->shape != shape) {
    core::fail(ErrorKind::data, "{}: tensor {:?}: expected {} {}, found {} {}", source_, name,
               core::name_of(dtype), shape_text(shape), core::name_of(entry->dtype),
               shape_text(entry->shape));
  }
  return *entry;
}

template <class T>
std::vector<T> SafetensorsFile::require(std::string_view name,
                                        const std::vector<std::int64_t>& shape) const {
  const std::vector<std::byte>& bytes = require(name, kDtypeOf<T>, shape).bytes;
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<std::byte> SafetensorsFile::serialize() const {
  const std::vector<std::size_t> order = layout(tensors_);
  const std::string header = header_text(metadata, tensors_, order);
  std::vector<std::byte> file(sizeof(std::uint64_t));
  const std::uint64_t header_size = header.size();
  std::memcpy(file.data(), &header_size, sizeof header_size);

  std::size_t size = file.size() + header.size();
  for (const TensorEntry& tensor : tensors_) size += tensor.bytes.size();
  file.reserve(size);
  const auto append = [&file](std::span<const std::byte> bytes) {
    file.insert(file.end(), bytes.begin(), bytes.end());
  };
  append(std::as_bytes(std::span(header)));
  for (const std::size_t at : order) append(tensors_[at].bytes);
  return file;
}

void SafetensorsFile::save(const std::filesystem::path& path) const {
  const std::vector<std::byte> bytes = serialize();
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes, std::string source) {
  SafetensorsFile file;
  file.source_ = std::move(source);
  HeaderAndData parts = split(bytes, file.source_);
  Header header = parse_header(parts.header, parts.data.size(), file.source_);
  file.metadata = std::move(header.metadata);
  file.tensors_.reserve(header.tensors.size());
  for (TensorLocation& tensor : header.tensors) {
    const auto data = parts.data.subspan(tensor.begin, tensor.end - tensor.begin);
    file.index_.emplace(tensor.name, file.tensors_.size());
    file.tensors_.push_back({std::move(tensor.name),
                             tensor.dtype,
                             std::move(tensor.shape),
                             {data.begin(), data.end()}});
  }
  return file;
}

SafetensorsFile SafetensorsFile::load(const std::filesystem::path& path) {
  return parse(read_file(path), path.string());
}

template void SafetensorsFile::add(std::string, std::span<const float>, std::vector<std::int64_t>);
template void SafetensorsFile::add(std::string, std::span<const double>, std::vector<std::int64_t>);
template void SafetensorsFile::add(std::string, std::span<const std::int64_t>,
                                   std::vector<std::int64_t>);
template void SafetensorsFile::add(std::string, std::span<const std::int32_t>,
                                   std::vector<std::int64_t>);
template void SafetensorsFile::add(std::string, std::span<const std::uint8_t>,
                                   std::vector<std::int64_t>);
template std::vector<float> SafetensorsFile::require(std::string_view,
                                                     const std::vector<std::int64_t>&) const;
template std::vector<double> SafetensorsFile::require(std::string_view,
                                                      const std::vector<std::int64_t>&) const;
template std::vector<std::int64_t> SafetensorsFile::require(std::string_view,
                                                            const std::vector<std::int64_t>&) const;
template std::vector<std::int32_t> SafetensorsFile::require(std::string_view,
                                                            const std::vector<std::int64_t>&) const;
template std::vector<std::uint8_t> SafetensorsFile::require(std::string_view,
                                                            const std::vector<std::int64_t>&) const;

}  // namespace evenrow::io
