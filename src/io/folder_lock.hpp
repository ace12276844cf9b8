// One process at a time works in a folder.
#pragma once

#include <chrono>
#include <filesystem>
#include <string_view>

namespace evenrow::io {

/// Holds a folder until it is destroyed, or the process and all children that it forked meanwhile
/// have ended, however they did. Waits for another holder up to `patience`. Errors (io): the folder
/// cannot be opened; "another process is WORK in this folder".
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder, std::string_view work,
                      std::chrono::milliseconds patience = {});
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace evenrow::io
