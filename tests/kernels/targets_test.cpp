#include "kernels/targets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "evenrow/error.hpp"
#include "kernels/rows.hpp"
#include "support/throws_error.hpp"

namespace evenrow::kernels {
namespace {

TEST(Targets, ScalarIsAlwaysCompiledInAndComesLast) {
  ASSERT_FALSE(available_targets().empty());
  EXPECT_EQ(available_targets().back(), "scalar");
}

TEST(Targets, TheBestOneRunsUnlessAnotherIsChosen) {
  EXPECT_EQ(running_target(), available_targets().front());
  ASSERT_TRUE(use_target("scalar"));
  EXPECT_EQ(running_target(), "scalar");
  ASSERT_TRUE(use_target(""));
  EXPECT_EQ(running_target(), available_targets().front());
}

TEST(Targets, AllThatThisCpuHasAreCompiledIn) {
  const auto targets = available_targets();
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    EXPECT_THAT(targets, ::testing::Contains("avx2"));
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    EXPECT_THAT(targets, ::testing::Contains("avx512"));
  }
#endif
  EXPECT_THAT(targets, ::testing::Contains("scalar"));
}

TEST(Targets, AnUnknownOneChangesNothing) {
  EXPECT_FALSE(use_target("avx1024"));
  EXPECT_EQ(running_target(), available_targets().front());
}

// What a target says of itself could be wrong; what it computes cannot. (1 + e)^2 - 1 with e =
// 2^-12 is 2^-11 exactly without a fused multiply-add in float, and 2^-11 + 2^-24 with one.
TEST(Targets, ResultsShowWhichOneRan) {
  const float x = 1.0f + 0x1p-12f;
  const auto square_minus_one = [&] {
    float y = 0;
    row_normalize(&x, &y, 1, {0.0f, x, -1.0f}, false);
    return y;
  };
  for (const std::string& target : available_targets()) {
    ASSERT_TRUE(use_target(target));
    if (target == "scalar") {
      EXPECT_EQ(square_minus_one(), 0x1p-11f);
    }
    if (target == "avx2" || target == "avx512") {
      EXPECT_EQ(square_minus_one(), 0x1p-11f + 0x1p-24f);
    }
  }
  use_target("");
}

// The environment is read once a process, so each case is one of its own. Exit status: 0 when
// `target` runs afterwards, 1 when another one does, 2 and no change on an error that names both.
int exit_status_with(const char* value, const std::string& target) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("EVENROW_TARGET", value, 1);
    try {
      apply_target_environment();
    } catch (const Error& error) {
      const std::string what = error.what();
      const bool clear = what.find("EVENROW_TARGET") != std::string::npos &&
                         what.find(value) != std::string::npos &&
                         what.find("scalar") != std::string::npos;
      _exit(clear ? 2 : 3);
    }
    _exit(running_target() == target ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Targets, EnvironmentChooses) {
  for (const std::string& target : available_targets()) {
    EXPECT_EQ(exit_status_with(target.c_str(), target), 0) << target;
  }
  EXPECT_EQ(exit_status_with("", available_targets().front()), 0);
}

TEST(Targets, AnUnknownOneInTheEnvironmentIsAnErrorThatNamesTheOnesThereAre) {
  EXPECT_EQ(exit_status_with("avx1024", ""), 2);
}

}  // namespace
}  // namespace evenrow::kernels
