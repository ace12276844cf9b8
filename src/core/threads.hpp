// Threads: one loop form, static schedule. Work is cut into tasks by shape alone; the thread count
// only decides who runs a task, so results never depend on it.
#pragma once

#include <cstdint>
#include <utility>

#if defined(EVENROW_STD_THREADS)
#include <algorithm>
#include <thread>
#include <vector>
#endif

namespace evenrow::core {

/// Threads this process may use: its CPU affinity, or OMP_NUM_THREADS where that is set.
int available_threads() noexcept;

/// `requested`, or available_threads() when it is 0 or less.
int resolve_threads(int requested) noexcept;

/// Runs task(i) for every i in [0, count), each exactly once, on up to `threads` threads;
/// contiguous runs of tasks go to one thread. `task` must not throw. Returns when all tasks are
/// done.
template <class Task>
void parallel_for(int threads, std::int64_t count, Task&& task) {
  if (threads <= 1 || count <= 1) {
    for (std::int64_t i = 0; i < count; ++i) task(i);
    return;
  }
#if defined(EVENROW_STD_THREADS)
  // ThreadSanitizer cannot see into libgomp's barriers; plain threads, same split, for that build.
  const std::int64_t workers = std::min<std::int64_t>(threads, count);
  std::vector<std::thread> pool;
  for (std::int64_t w = 0; w < workers; ++w) {
    pool.emplace_back([&task, w, workers, count] {
      for (std::int64_t i = count * w / workers; i < count * (w + 1) / workers; ++i) task(i);
    });
  }
  for (std::thread& worker : pool) worker.join();
#else
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < count; ++i) task(i);
#endif
}

}  // namespace evenrow::core
