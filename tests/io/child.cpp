#include "child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <stdexcept>

namespace evenrow::io {
namespace {

std::string failed(const char* what) {
  return fmt::format("{}: {}", what, std::strerror(errno));
}

bool write_all(const char* path, const std::string& text) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool done = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(file);
  return done;
}

// Root inside a new user namespace is the user outside: enough to mount a tmpfs.
bool enter_user_namespace() {
  const uid_t user = getuid();
  const gid_t group = getgid();
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_all("/proc/self/setgroups", "deny") &&
         write_all("/proc/self/uid_map", fmt::format("0 {} 1", user)) &&
         write_all("/proc/self/gid_map", fmt::format("0 {} 1", group));
}

}  // namespace

ChildResult run_in_child(const std::function<std::string()>& action) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error(failed("pipe"));
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error(failed("fork"));
  if (child == 0) {
    std::string text;
    try {
      text = action();
    } catch (const std::exception& error) {
      text = std::string("exception: ") + error.what();
    }
    const ssize_t written = write(ends[1], text.data(), text.size());
    _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(ends[1]);
  ChildResult result;
  std::array<char, 4096> buffer{};
  ssize_t got = 0;
  while ((got = read(ends[0], buffer.data(), buffer.size())) > 0) {
    result.text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  waitpid(child, &result.status, 0);
  return result;
}

std::string mount_private_tmpfs(const std::string& folder, std::int64_t bytes) {
  if (unshare(CLONE_NEWNS) != 0 && !enter_user_namespace()) return failed("unshare");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("mount /");
  const std::string options = fmt::format("size={},mode=0777", bytes);
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, options.c_str()) != 0) return failed("mount");
  return {};
}

std::string make_read_only(const std::string& folder) {
  if (mount(nullptr, folder.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    return failed("remount");
  }
  return {};
}

}  // namespace evenrow::io
