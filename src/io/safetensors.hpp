// The safetensors format: named tensors and text metadata in one file, no code in it.
// https://huggingface.co/docs/safetensors: 8 bytes, the header's size N, little-endian; N bytes,
// the header, JSON: {"__metadata__": {key: text}, name: {"dtype", "shape", "data_offsets"}}; then
// the tensors' bytes, little-endian, row-major, without a gap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/names.hpp"

namespace evenrow::io {

/// Element types of the format. All are read, stored and written; see `Element` for the C++ types.
enum class Dtype {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  i64,
  u64,
  f64,
};

/// Bytes of one element.
std::int64_t size_of(Dtype dtype);

/// The element type that stands for T in a file: float, double, std::int64_t, std::int32_t,
/// std::uint8_t.
template <class T>
inline constexpr Dtype kDtypeOf = T::not_an_element_type;
template <>
inline constexpr Dtype kDtypeOf<float> = Dtype::f32;
template <>
inline constexpr Dtype kDtypeOf<double> = Dtype::f64;
template <>
inline constexpr Dtype kDtypeOf<std::int64_t> = Dtype::i64;
template <>
inline constexpr Dtype kDtypeOf<std::int32_t> = Dtype::i32;
template <>
inline constexpr Dtype kDtypeOf<std::uint8_t> = Dtype::u8;

/// One tensor, row-major, its bytes as the file has them. An empty shape is a single value.
struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
  friend bool operator==(const TensorEntry&, const TensorEntry&) = default;
};

/// The content of a safetensors file: read, or to be written. A value.
///
///   SafetensorsFile file;
///   file.metadata["evenrow"] = description;
///   file.add("blocks.0.weight", weights, {256, 784});
///   file.save("model.safetensors");
///
///   const SafetensorsFile file = SafetensorsFile::load("model.safetensors");
///   const std::vector<float> weights = file.require<float>("blocks.0.weight", {256, 784});
class SafetensorsFile {
 public:
  /// Free text, UTF-8.
  std::map<std::string, std::string> metadata;

  /// Appends a tensor. Errors (usage): a name that is empty, already there, "__metadata__" or not
  /// UTF-8; a size that is not the product of the shape.
  void add(TensorEntry entry);
  template <class T>
  void add(std::string name, std::span<const T> values, std::vector<std::int64_t> shape);
  template <class T>
  void add(std::string name, const std::vector<T>& values, std::vector<std::int64_t> shape) {
    add(std::move(name), std::span<const T>(values), std::move(shape));
  }

  /// In the order of add(), or of the bytes in the file that was read.
  const std::vector<TensorEntry>& tensors() const noexcept { return tensors_; }

  /// The tensor of this name, or null; valid until the next add().
  const TensorEntry* find(std::string_view name) const;

  /// Whether the tensor of this name is there and has this type and shape. Errors (data): it is
  /// missing, or has another type or shape; says what was expected and what was found.
  const TensorEntry& require(std::string_view name, Dtype dtype,
                             const std::vector<std::int64_t>& shape) const;
  /// The values of that tensor, row-major.
  template <class T>
  std::vector<T> require(std::string_view name, const std::vector<std::int64_t>& shape) const;

  /// Where it was read from, for messages.
  const std::string& source() const noexcept { return source_; }

  /// The file's bytes: a function of metadata and tensors alone. The tensors' bytes are laid out
  /// by falling element size (and so each is aligned to its elements), otherwise in the order of
  /// add(). Errors (usage): metadata that is not UTF-8; a header above the format's 100 MB.
  std::vector<std::byte> serialize() const;

  /// Writes serialize() atomically: see AtomicFile.
  void save(const std::filesystem::path& path) const;

  /// Reads the bytes of a file; `source` is its name in messages. Errors (data): anything that the
  /// format does not allow: a header size beyond the file or above 100 MB, a header that is not a
  /// JSON object in UTF-8 or has a key twice, an unknown element type, sizes that overflow or do
  /// not match shape and type, bytes that overlap, leave a gap or do not end with the file,
  /// metadata that is not text.
  static SafetensorsFile parse(std::span<const std::byte> bytes, std::string source);

  /// Reads a file. Errors: io when the system refuses; data as for parse().
  static SafetensorsFile load(const std::filesystem::path& path);

 private:
  std::string source_;
  std::vector<TensorEntry> tensors_;
  std::unordered_map<std::string, std::size_t> index_;  // of tensors_, by name
};

}  // namespace evenrow::io

namespace evenrow::core {

template <>
struct EnumNames<io::Dtype> {
  static constexpr std::string_view kind = "dtype";
  static constexpr std::array<NamedValue<io::Dtype>, 15> table{{
      {io::Dtype::boolean, "BOOL"},
      {io::Dtype::u8, "U8"},
      {io::Dtype::i8, "I8"},
      {io::Dtype::f8_e5m2, "F8_E5M2"},
      {io::Dtype::f8_e4m3, "F8_E4M3"},
      {io::Dtype::i16, "I16"},
      {io::Dtype::u16, "U16"},
      {io::Dtype::f16, "F16"},
      {io::Dtype::bf16, "BF16"},
      {io::Dtype::i32, "I32"},
      {io::Dtype::u32, "U32"},
      {io::Dtype::f32, "F32"},
      {io::Dtype::i64, "I64"},
      {io::Dtype::u64, "U64"},
      {io::Dtype::f64, "F64"},
  }};
};

}  // namespace evenrow::core
