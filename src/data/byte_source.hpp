// Where readers take their bytes from: a file, memory, or the inflated content of either.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace evenrow::data {

/// A sequence of bytes, read from front to back.
class ByteSource {
 public:
  explicit ByteSource(std::string name) : name_(std::move(name)) {}
  virtual ~ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// Fills `out` and returns how many bytes there were: fewer than out.size() only at the end.
  /// Errors: io when the system cannot read, data when a compressed stream is broken.
  virtual std::int64_t read(std::span<std::uint8_t> out) = 0;
  /// Back to the first byte.
  virtual void rewind() = 0;
  /// No more bytes than this can come in all: the file size, or what that many bytes can inflate
  /// to. Sizes claimed inside a file are checked against it before anything is allocated.
  virtual std::int64_t size_limit() const = 0;
  /// The number of bytes that come, where that is known without reading them.
  virtual std::optional<std::int64_t> exact_size() const = 0;

  /// For messages.
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
};

/// The most that deflate can make of one byte (1032:1; zlib's technical notes).
inline constexpr std::int64_t kLargestInflation = 1032;

/// Opens a regular file; gzip content, known by its magic number, is inflated on the way.
/// Errors: io when it is missing, is no regular file or cannot be opened; data when it is empty.
std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path);

/// The same on memory, which must outlive the source.
std::unique_ptr<ByteSource> open_memory(std::span<const std::uint8_t> bytes, std::string name);

/// Fails (data) unless the source ends here: `what` says after what.
void expect_end(ByteSource& source, const char* what);

}  // namespace evenrow::data
