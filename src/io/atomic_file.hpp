// Files that are either wholly the old content or wholly the new one, whatever happens in between.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace evenrow::io {

/// Replaces a file atomically: what is written goes to a temporary file in the same folder, and
/// commit() makes it durable (fsync), renames it over `path` and makes the rename durable (fsync
/// of the folder). Without commit(), or after an error, the destructor removes the temporary file
/// and what was at `path` is as it was.
///
/// The permissions are those of the file that is replaced, or 0666 less the umask for a new one. A
/// symbolic link stays, the file that it names is replaced. Temporary files of processes that were
/// killed while writing the same path are removed: a living writer holds a lock on its own.
///
/// Errors (io) name the path, what was done and the system's reason: no such folder, no
/// permission, full disk; a path that names something else than a regular file.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends.
  void write(std::span<const std::byte> bytes);

  /// At most once, last. After an error of the final fsync of the folder, the new file is in
  /// place, but might not survive a loss of power.
  void commit();

 private:
  [[noreturn]] void refuse(std::string_view operation, int error) const;
  bool open_temporary();
  void remove_abandoned_temporaries() const noexcept;

  std::filesystem::path path_;    // as the caller gave it, for messages
  std::filesystem::path target_;  // links resolved
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// A whole file at once; see AtomicFile.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace evenrow::io
