#include "io/folder_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/fail.hpp"

namespace evenrow::io {

FolderLock::FolderLock(const std::filesystem::path& folder, std::string_view work,
                       std::chrono::milliseconds patience)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) {
    core::fail(ErrorKind::io, "{}: cannot open the folder: {}", folder.string(),
               std::strerror(errno));
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= deadline) {
      ::close(descriptor_);
      core::fail(ErrorKind::io, "{}: another process is {} in this folder", folder.string(), work);
    }
    const timespec pause{.tv_sec = 0, .tv_nsec = 10'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

FolderLock::~FolderLock() {
  ::close(descriptor_);
}

}  // namespace evenrow::io
