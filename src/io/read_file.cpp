#include "io/read_file.hpp"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "core/fail.hpp"

namespace evenrow::io {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, int error) {
  core::fail(ErrorKind::io, "{}: cannot be read: {}", path.string(),
             std::generic_category().message(error));
}

}  // namespace

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (!file) refuse(path, errno);
  std::vector<std::byte> bytes;
  std::error_code error;
  // Only how much is read at once: a file that grows or shrinks meanwhile is read as it is.
  const std::uintmax_t expected = std::filesystem::file_size(path, error);
  std::size_t step = error ? 0 : static_cast<std::size_t>(expected);
  step = step + 1;  // one more, so that the first read sees the end of the file
  while (true) {
    const std::size_t size = bytes.size();
    bytes.resize(size + step);
    const std::size_t got = std::fread(bytes.data() + size, 1, step, file.get());
    bytes.resize(size + got);
    if (got == step) {
      step = std::size_t{1} << 20;
      continue;
    }
    if (std::ferror(file.get())) refuse(path, errno);
    return bytes;
  }
}

}  // namespace evenrow::io
