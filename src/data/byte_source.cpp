#include "data/byte_source.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <vector>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "data/isal.hpp"

namespace evenrow::data {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

class FileSource final : public ByteSource {
 public:
  FileSource(const std::filesystem::path& path, std::int64_t size)
      : ByteSource(path.string()), file_(std::fopen(path.c_str(), "rb")), size_(size) {
    if (!file_) {
      core::fail(ErrorKind::io, "{}: cannot be opened: {}", name(), std::strerror(errno));
    }
  }

  std::int64_t read(std::span<std::uint8_t> out) override {
    const std::size_t count = std::fread(out.data(), 1, out.size(), file_.get());
    if (count < out.size() && std::ferror(file_.get())) {
      core::fail(ErrorKind::io, "{}: cannot be read: {}", name(), std::strerror(errno));
    }
    return static_cast<std::int64_t>(count);
  }
  void rewind() override { std::rewind(file_.get()); }
  std::int64_t size_limit() const override { return size_; }
  std::optional<std::int64_t> exact_size() const override { return size_; }

 private:
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::int64_t size_;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::span<const std::uint8_t> bytes, std::string name)
      : ByteSource(std::move(name)), bytes_(bytes) {}

  std::int64_t read(std::span<std::uint8_t> out) override {
    const std::size_t count = std::min(out.size(), bytes_.size() - at_);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), count, out.begin());
    at_ += count;
    return static_cast<std::int64_t>(count);
  }
  void rewind() override { at_ = 0; }
  std::int64_t size_limit() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::optional<std::int64_t> exact_size() const override { return size_limit(); }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

/// The content of a gzip stream (RFC 1952): one member or several, checksums verified; zero bytes
/// after the last one are padding.
class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(std::unique_ptr<ByteSource> compressed)
      : ByteSource(compressed->name()),
        compressed_(std::move(compressed)),
        input_(1 << 18),
        stream_(std::make_unique<inflate_state>()) {
    isal_inflate_init(stream_.get());
    stream_->crc_flag = ISAL_GZIP;
  }

  std::int64_t read(std::span<std::uint8_t> out) override {
    std::size_t filled = 0;
    while (filled < out.size()) {
      if (stream_->avail_in == 0) refill();
      if (between_members_ && !start_member()) break;
      const auto room =
          static_cast<std::uint32_t>(std::min<std::size_t>(out.size() - filled, 1u << 30));
      stream_->next_out = out.data() + filled;
      stream_->avail_out = room;
      const int status = inflate_some(*stream_);
      filled += room - stream_->avail_out;
      if (status != ISAL_DECOMP_OK) {
        core::fail(ErrorKind::data, "{}: corrupt gzip file: {}; copy or download it again", name(),
                   fault(status));
      }
      if (stream_->block_state == ISAL_BLOCK_FINISH) {
        between_members_ = true;
      } else if (input_ended_ && stream_->avail_in == 0 && stream_->avail_out > 0) {
        core::fail(ErrorKind::data,
                   "{}: truncated gzip file: it ends inside the compressed data, after {} bytes; "
                   "copy or download it again",
                   name(), compressed_->size_limit());
      }
    }
    return static_cast<std::int64_t>(filled);
  }

  void rewind() override {
    compressed_->rewind();
    isal_inflate_reset(stream_.get());
    stream_->avail_in = 0;
    input_ended_ = between_members_ = padding_ = false;
  }

  std::int64_t size_limit() const override {
    return core::checked_product(compressed_->size_limit(), kLargestInflation).value_or(INT64_MAX);
  }
  std::optional<std::int64_t> exact_size() const override { return std::nullopt; }

 private:
  static const char* fault(int status) noexcept {
    switch (status) {
      case ISAL_INCORRECT_CHECKSUM:
        return "incorrect data check";
      case ISAL_INVALID_WRAPPER:
        return "incorrect header";
      case ISAL_UNSUPPORTED_METHOD:
        return "unknown compression method";
      case ISAL_INVALID_LOOKBACK:
        return "a distance beyond the first byte";
      default:
        return "invalid compressed data";
    }
  }

  void refill() {
    if (input_ended_) return;
    const std::int64_t count = compressed_->read(input_);
    input_ended_ = count < static_cast<std::int64_t>(input_.size());
    stream_->next_in = input_.data();
    stream_->avail_in = static_cast<std::uint32_t>(count);
  }

  /// After a member: true when another one begins, false at the end.
  bool start_member() {
    while (stream_->avail_in > 0 && *stream_->next_in == 0) {
      padding_ = true;
      ++stream_->next_in;
      if (--stream_->avail_in == 0) refill();
    }
    if (stream_->avail_in == 0) return false;
    if (padding_ || *stream_->next_in != 0x1f) {
      core::fail(ErrorKind::data,
                 "{}: corrupt gzip file: other bytes follow the compressed data; copy or download "
                 "it again",
                 name());
    }
    isal_inflate_reset(stream_.get());
    between_members_ = false;
    return true;
  }

  std::unique_ptr<ByteSource> compressed_;
  std::vector<std::uint8_t> input_;
  std::unique_ptr<inflate_state> stream_;
  bool input_ended_ = false;
  bool between_members_ = false;
  bool padding_ = false;
};

std::unique_ptr<ByteSource> inflate_gzip(std::unique_ptr<ByteSource> source) {
  std::array<std::uint8_t, 2> magic{};
  const std::int64_t count = source->read(magic);
  source->rewind();
  if (count == 0) {
    core::fail(ErrorKind::data, "{}: the file is empty; expected a data set", source->name());
  }
  if (count == 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
    return std::make_unique<GzipSource>(std::move(source));
  }
  return source;
}

}  // namespace

std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    core::fail(ErrorKind::io,
               "{}: cannot be opened: {}; expected a CSV, npy, npz or IDX file, or the word "
               "fashion-mnist",
               path.string(), error ? error.message() : "No such file or directory");
  }
  if (std::filesystem::is_directory(status)) {
    core::fail(ErrorKind::io, "{}: is a directory; give a file in it", path.string());
  }
  if (!std::filesystem::is_regular_file(status)) {
    core::fail(ErrorKind::io, "{}: is a pipe or a device; give a regular file", path.string());
  }
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    core::fail(ErrorKind::io, "{}: cannot be opened: {}", path.string(), error.message());
  }
  return inflate_gzip(std::make_unique<FileSource>(path, static_cast<std::int64_t>(size)));
}

std::unique_ptr<ByteSource> open_memory(std::span<const std::uint8_t> bytes, std::string name) {
  return inflate_gzip(std::make_unique<MemorySource>(bytes, std::move(name)));
}

void expect_end(ByteSource& source, const char* what) {
  std::array<std::uint8_t, 1> next{};
  if (source.read(next) != 0) {
    core::fail(ErrorKind::data,
               "{}: more bytes follow {}; is the file damaged, or two files in one?", source.name(),
               what);
  }
}

}  // namespace evenrow::data
