// Threads: one loop form, static schedule. Work is cut into tasks by shape alone; the thread count
// only decides who runs a task, so results never depend on it.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace evenrow::core {

/// Processors this process may use: its CPU affinity.
int available_threads() noexcept;

/// `requested`, or available_threads() when it is 0 or less.
int resolve_threads(int requested) noexcept;

/// A call to task(first, last), its type forgotten.
struct RangeTask {
  void (*call)(void* task, std::int64_t first, std::int64_t last) noexcept;
  void* task;
};

/// Runs task over [0, count) on `threads` threads, this one included; see parallel_for.
void run_on_threads(int threads, std::int64_t count, RangeTask task) noexcept;

/// Runs task(i) for every i in [0, count), each exactly once, on up to `threads` threads;
/// contiguous runs of tasks go to one thread. `task` must not throw. Returns when all tasks are
/// done. Inside a task, and while another thread of the process runs a loop, everything is done by
/// the caller.
template <class Task>
void parallel_for(int threads, std::int64_t count, Task&& task) {
  if (threads <= 1 || count <= 1) {
    for (std::int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  using Body = std::remove_reference_t<Task>;
  const auto call = [](void* body, std::int64_t first, std::int64_t last) noexcept {
    for (std::int64_t i = first; i < last; ++i) (*static_cast<Body*>(body))(i);
  };
  run_on_threads(threads, count,
                 {call, const_cast<std::remove_const_t<Body>*>(std::addressof(task))});
}

}  // namespace evenrow::core
