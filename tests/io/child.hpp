// Runs a part of a test in a child process: one that may lose its rights, mount a small file
// system of its own, or die.
#pragma once

#include <functional>
#include <string>

namespace evenrow::io {

struct ChildResult {
  std::string text;  ///< What `action` returned, or "exception: " and the message.
  int status = 0;    ///< As waitpid() gives it.
};

/// fork(), `action` in the child, its text back through a pipe, _exit() without destructors.
ChildResult run_in_child(const std::function<std::string()>& action);

/// In a child: mounts a tmpfs of `bytes` at `folder`, seen by this process alone and gone with it.
/// As root in a mount namespace, otherwise in a user namespace as well. Returns why it cannot be
/// done here, or nothing.
std::string mount_private_tmpfs(const std::string& folder, std::int64_t bytes);

/// In a child with a private tmpfs: makes it read-only. Returns why it cannot be done, or nothing.
std::string make_read_only(const std::string& folder);

}  // namespace evenrow::io
