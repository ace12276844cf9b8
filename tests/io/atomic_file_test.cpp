#include "io/atomic_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "child.hpp"
#include "support.hpp"

namespace evenrow::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

mode_t permissions(const std::filesystem::path& path) {
  struct stat state = {};
  EXPECT_EQ(stat(path.c_str(), &state), 0);
  return state.st_mode & 07777;
}

TEST(AtomicFile, WritesAndReplaces) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  write_file_atomically(path, "one");
  EXPECT_EQ(read_text(path), "one");
  write_file_atomically(path, "");
  EXPECT_EQ(read_text(path), "");
  AtomicFile file(path);
  file.write(bytes_of("t"));
  file.write({});
  file.write(bytes_of("wo"));
  EXPECT_EQ(read_text(path), "") << "nothing is seen before commit()";
  file.commit();
  EXPECT_EQ(read_text(path), "two");
  EXPECT_THAT(folder.files(), ElementsAre("a"));
}

TEST(AtomicFile, WithoutCommitNothingHappened) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  { AtomicFile(path).write(bytes_of("new")); }
  EXPECT_THAT(folder.files(), IsEmpty());
  write_text(path, "old");
  { AtomicFile(path).write(bytes_of("new")); }
  EXPECT_EQ(read_text(path), "old");
  EXPECT_THAT(folder.files(), ElementsAre("a"));
}

TEST(AtomicFile, PermissionsAreTheOldFilesOrTheUmasks) {
  const TemporaryFolder folder;
  const mode_t before = umask(0027);
  write_file_atomically(folder / "new", "x");
  umask(before);
  EXPECT_EQ(permissions(folder / "new"), 0640u);
  ASSERT_EQ(chmod((folder / "new").c_str(), 0604), 0);
  write_file_atomically(folder / "new", "y");
  EXPECT_EQ(permissions(folder / "new"), 0604u);
}

TEST(AtomicFile, ASymbolicLinkStays) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "far");
  write_text(folder / "far/file", "old");
  std::filesystem::create_symlink("far/file", folder / "link");
  write_file_atomically(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "far/file"), "new");
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  write_file_atomically(folder / "dangling", "new");
  EXPECT_EQ(read_text(folder / "dangling"), "new");
}

TEST(AtomicFile, ANameOfTheLargestLength) {
  const TemporaryFolder folder;
  const auto path = folder / std::string(255, 'n');
  write_file_atomically(path, "x");
  EXPECT_EQ(read_text(path), "x");
}

TEST(AtomicFile, ARelativePath) {
  const TemporaryFolder folder;
  const ChildResult result = run_in_child([&] {
    std::filesystem::current_path(folder.path());
    write_file_atomically("a", "x");
    return std::string("written");
  });
  EXPECT_EQ(result.text, "written");
  EXPECT_EQ(read_text(folder / "a"), "x");
}

TEST(AtomicFile, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  const auto refused = [](const std::filesystem::path& path) {
    return message_of(ErrorKind::io, [&] { write_file_atomically(path, "x"); });
  };
  EXPECT_EQ(refused(folder.path()),
            folder.path().string() + ": cannot be written: it exists and is not a regular file");
  EXPECT_EQ(refused("/dev/null"),
            "/dev/null: cannot be written: it exists and is not a regular file");
  EXPECT_EQ(refused(""), ": cannot be written: the path names no file");
  EXPECT_EQ(refused(folder / "none/a"),
            (folder / "none/a").string() +
                ": cannot be written: creating a temporary file beside it failed: No such file or "
                "directory; create the folder first");
}

TEST(AtomicFile, ManyWritersAtOnceLeaveOneWholeFile) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  std::vector<std::thread> writers;
  for (char letter = 'a'; letter < 'e'; ++letter) {
    writers.emplace_back([&path, letter] {
      for (int i = 0; i < 20; ++i) write_file_atomically(path, std::string(10000, letter));
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string text = read_text(path);
  ASSERT_EQ(text.size(), 10000u);
  EXPECT_EQ(text, std::string(10000, text[0]));
  EXPECT_THAT(folder.files(), ElementsAre("a"));
}

TEST(AtomicFile, WhatAKilledWriterLeftIsRemovedByTheNext) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  write_text(path, "old");
  const ChildResult killed = run_in_child([&]() -> std::string {
    AtomicFile file(path);
    file.write(bytes_of("half of it"));
    raise(SIGKILL);
    return "not reached";
  });
  ASSERT_TRUE(WIFSIGNALED(killed.status));
  EXPECT_EQ(read_text(path), "old");
  ASSERT_EQ(folder.files().size(), 2u);

  AtomicFile living(path);  // removes the dead one's file, and keeps its own
  living.write(bytes_of("liv"));
  EXPECT_EQ(folder.files().size(), 2u);
  write_text(folder / ".ab.tmp-1-1", "another file's");
  write_file_atomically(path, "new");
  EXPECT_EQ(read_text(path), "new");
  living.write(bytes_of("ing"));
  living.commit();
  EXPECT_EQ(read_text(path), "living");
  EXPECT_THAT(folder.files(), UnorderedElementsAre("a", ".ab.tmp-1-1"));
}

// A limit on the size of files makes write() first short and then fail.
TEST(AtomicFile, AShortWriteIsContinuedAndAnErrorLeavesTheOldFile) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  write_text(path, "old");
  const ChildResult result = run_in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return message_of(ErrorKind::io, [&] { write_file_atomically(path, std::string(5000, 'n')); });
  });
  EXPECT_EQ(result.text, path.string() + ": cannot be written: writing failed: File too large");
  EXPECT_EQ(read_text(path), "old");
  EXPECT_THAT(folder.files(), ElementsAre("a"));
}

TEST(AtomicFile, SignalsDoNotDisturbIt) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  const std::string text(8 << 20, 'x');
  const ChildResult result = run_in_child([&] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};  // without SA_RESTART: system calls return EINTR
    sigaction(SIGALRM, &action, nullptr);
    const itimerval often{{0, 200}, {0, 200}};
    setitimer(ITIMER_REAL, &often, nullptr);
    for (int i = 0; i < 5; ++i) write_file_atomically(path, text);
    return std::string("written");
  });
  EXPECT_EQ(result.text, "written");
  EXPECT_EQ(read_text(path), text);
}

TEST(AtomicFile, AFullDiskLeavesTheOldFile) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  const ChildResult result = run_in_child([&]() -> std::string {
    const std::string why = mount_private_tmpfs(folder.path().string(), 64 << 10);
    if (!why.empty()) return "skip: " + why;
    write_file_atomically(path, "old");
    const std::string message = message_of(
        ErrorKind::io, [&] { write_file_atomically(path, std::string(100 << 10, 'n')); });
    EXPECT_EQ(read_text(path), "old");
    EXPECT_THAT(folder.files(), ElementsAre("a"));
    return ::testing::Test::HasFailure() ? "failed: " + message : message;
  });
  if (result.text.starts_with("skip: ")) GTEST_SKIP() << "no small tmpfs here: " << result.text;
  EXPECT_EQ(result.text, path.string() +
                             ": cannot be written: writing failed: No space left on device; free "
                             "some space, or choose another folder");
}

TEST(AtomicFile, AReadOnlyFileSystem) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  const ChildResult result = run_in_child([&]() -> std::string {
    std::string why = mount_private_tmpfs(folder.path().string(), 64 << 10);
    if (why.empty()) {
      write_file_atomically(path, "old");
      why = make_read_only(folder.path().string());
    }
    if (!why.empty()) return "skip: " + why;
    const std::string message =
        message_of(ErrorKind::io, [&] { write_file_atomically(path, "new"); });
    return message + " [" + read_text(path) + "]";
  });
  if (result.text.starts_with("skip: ")) GTEST_SKIP() << "no tmpfs here: " << result.text;
  EXPECT_EQ(result.text,
            path.string() +
                ": cannot be written: creating a temporary file beside it failed: Read-only file "
                "system; choose a folder that can be written to [old]");
}

TEST(AtomicFile, AFolderWithoutPermission) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  write_text(path, "old");
  ASSERT_EQ(chmod(folder.path().c_str(), 0555), 0);
  const ChildResult result = run_in_child([&]() -> std::string {
    // Root may write anywhere: become nobody, whose number is the same on every Debian.
    if (geteuid() == 0 && seteuid(65534) != 0) return "cannot become nobody";
    return message_of(ErrorKind::io, [&] { write_file_atomically(path, "new"); });
  });
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  EXPECT_EQ(result.text,
            path.string() +
                ": cannot be written: creating a temporary file beside it failed: Permission "
                "denied; choose a folder that can be written to");
  EXPECT_EQ(read_text(path), "old");
}

}  // namespace
}  // namespace evenrow::io
