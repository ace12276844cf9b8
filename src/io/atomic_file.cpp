#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "core/fail.hpp"

namespace evenrow::io {
namespace {

// Runs a system call again for as long as a signal interrupts it.
template <class Call>
auto uninterrupted(Call&& call) {
  while (true) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

std::string_view advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space, or choose another folder";
    case ENOENT:
    case ENOTDIR:
      return "; create the folder first";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; choose a folder that can be written to";
    default:
      return "";
  }
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// All temporary files of one target begin so. Shortened, because a name has at most 255 bytes.
std::string temporary_prefix(const std::filesystem::path& target) {
  const std::string name = target.filename().string();
  return fmt::format(".{}.tmp-", std::string_view(name).substr(0, 200));
}

std::filesystem::path next_temporary(const std::filesystem::path& target) {
  static std::atomic<unsigned> counter{0};
  return folder_of(target) /
         fmt::format("{}{}-{}", temporary_prefix(target), getpid(), counter.fetch_add(1));
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path), target_(path) {
  if (!path.has_filename()) {
    core::fail(ErrorKind::io, "{}: cannot be written: the path names no file", path.string());
  }
  std::error_code ignored;
  if (std::filesystem::is_symlink(path, ignored)) {
    if (const auto resolved = std::filesystem::canonical(path, ignored); !ignored) {
      target_ = resolved;
    }
  }
  struct stat old = {};
  const bool replaces = stat(target_.c_str(), &old) == 0;
  if (replaces && !S_ISREG(old.st_mode)) {
    core::fail(ErrorKind::io, "{}: cannot be written: it exists and is not a regular file",
               path.string());
  }
  remove_abandoned_temporaries();
  while (!open_temporary()) {
  }
  if (replaces && fchmod(descriptor_, old.st_mode & 0777) != 0) {
    const int error = errno;
    close(descriptor_);
    unlink(temporary_.c_str());
    refuse("setting its permissions", error);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  unlink(temporary_.c_str());
  close(descriptor_);
}

// False: another process took the new file for an abandoned one, in the moment before it was
// locked, or the name exists; try the next name.
bool AtomicFile::open_temporary() {
  temporary_ = next_temporary(target_);
  const int descriptor = uninterrupted(
      [&] { return open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  if (descriptor < 0) {
    if (errno == EEXIST) return false;
    refuse("creating a temporary file beside it", errno);
  }
  // A file system without locks (ENOLCK, EOPNOTSUPP) has no abandoned files removed either.
  const bool taken = uninterrupted([&] { return flock(descriptor, LOCK_EX | LOCK_NB); }) != 0 &&
                     errno == EWOULDBLOCK;
  struct stat state = {};
  if (taken || (fstat(descriptor, &state) == 0 && state.st_nlink == 0)) {
    close(descriptor);
    return false;
  }
  descriptor_ = descriptor;
  return true;
}

void AtomicFile::remove_abandoned_temporaries() const noexcept {
  // Only tidiness depends on it, so every error here is passed over.
  try {
    const std::string prefix = temporary_prefix(target_);
    std::error_code ignored;
    for (std::filesystem::directory_iterator at(folder_of(target_), ignored), end;
         !ignored && at != end; at.increment(ignored)) {
      if (!at->path().filename().string().starts_with(prefix)) continue;
      const int descriptor = open(at->path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
      if (descriptor < 0) continue;
      if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) unlink(at->path().c_str());
      close(descriptor);
    }
  } catch (const std::exception&) {
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        uninterrupted([&] { return ::write(descriptor_, bytes.data(), bytes.size()); });
    if (written < 0) refuse("writing", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  if (uninterrupted([&] { return fsync(descriptor_); }) != 0) refuse("fsync", errno);
  if (rename(temporary_.c_str(), target_.c_str()) != 0) {
    refuse("renaming the temporary file to it", errno);
  }
  close(descriptor_);  // after a successful fsync it has nothing left to report
  descriptor_ = -1;

  const int folder = uninterrupted(
      [&] { return open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  // A folder that may be written but not read cannot be opened; the rename itself is done.
  if (folder < 0) return;
  const int error = uninterrupted([&] { return fsync(folder); }) == 0 ? 0 : errno;
  close(folder);
  // EINVAL: a file system that has no fsync of folders.
  if (error != 0 && error != EINVAL) refuse("fsync of its folder", error);
}

void AtomicFile::refuse(std::string_view operation, int error) const {
  core::fail(ErrorKind::io, "{}: cannot be written: {} failed: {}{}", path_.string(), operation,
             std::generic_category().message(error), advice(error));
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace evenrow::io
