#include "core/threads.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

namespace evenrow::core {
namespace {

TEST(ParallelFor, EveryTaskRunsExactlyOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    for (const std::int64_t count : {0, 1, 2, 7, 8, 9, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
      parallel_for(threads, count, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
      for (const auto& run : runs) ASSERT_EQ(run.load(), 1) << threads << " threads, " << count;
    }
  }
}

volatile std::sig_atomic_t signals_seen = 0;

TEST(SignalsWait, UntilItEnds) {
  signal(SIGUSR1, [](int) { signals_seen = signals_seen + 1; });
  {
    const SignalsWait wait;
    raise(SIGUSR1);
    EXPECT_EQ(signals_seen, 0);
  }
  EXPECT_EQ(signals_seen, 1);
  raise(SIGUSR1);
  EXPECT_EQ(signals_seen, 2);
  signal(SIGUSR1, SIG_DFL);
}

TEST(SignalsWait, InWorkersAlways) {
  std::atomic<int> open{0};
  parallel_for(3, 3, [&](std::int64_t task) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    if (task > 0 && sigismember(&blocked, SIGTERM) != 1) ++open;  // task 0 is the caller's
  });
  EXPECT_EQ(open.load(), 0);
}

TEST(ParallelFor, OtherThreadsReallyHelp) {
  // Two tasks that wait for each other end only when two threads run them.
  std::atomic<int> arrived{0};
  parallel_for(2, 2, [&](std::int64_t) {
    ++arrived;
    while (arrived.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), 2);
}

TEST(ParallelFor, LoopsInsideLoopsAndFromSeveralThreads) {
  std::atomic<std::int64_t> sum{0};
  const auto nested = [&] {
    for (int repeat = 0; repeat < 200; ++repeat) {
      parallel_for(
          3, 5, [&](std::int64_t i) { parallel_for(2, 4, [&](std::int64_t j) { sum += i * j; }); });
    }
  };
  std::thread other(nested), another(nested);
  nested();
  other.join();
  another.join();
  EXPECT_EQ(sum.load(), 3 * 200 * (0 + 1 + 2 + 3 + 4) * (0 + 1 + 2 + 3));
}

TEST(ParallelFor, WorksInAForkedChild) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer refuses new threads after a fork";
#endif
  parallel_for(2, 2, [](std::int64_t) {});  // the parent's workers are not the child's
  const pid_t child = ::fork();
  if (child == 0) {
    std::atomic<int> runs{0};
    parallel_for(2, 10, [&](std::int64_t) { ++runs; });
    ::_exit(runs.load() == 10 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ResolveThreads, ZeroMeansAllThatTheProcessMayUse) {
  EXPECT_EQ(resolve_threads(5), 5);
  EXPECT_EQ(resolve_threads(0), available_threads());
  EXPECT_EQ(resolve_threads(-1), available_threads());
  EXPECT_GE(available_threads(), 1);
}

}  // namespace
}  // namespace evenrow::core
