// Threads: one loop form, static schedule. Work is cut into tasks by shape alone; the thread count
// only decides who runs a task, so results never depend on it.
#pragma once

#include <signal.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

namespace evenrow::core {

/// Processors this process may use: its CPU affinity.
int available_threads() noexcept;

/// `requested`, or available_threads() when it is 0 or less.
int resolve_threads(int requested) noexcept;

/// While one lives, signals wait that are sent to this thread; workers of the pool never take any.
/// Around matrix products: oneDNN's keep their workspace under the stack pointer, so that a handler
/// would write its frame into memory that belongs to others.
class SignalsWait {
 public:
  SignalsWait() noexcept;
  ~SignalsWait();
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;

 private:
  sigset_t before_;
};

/// A call to task(first, last), its type forgotten.
struct RangeTask {
  void (*call)(void* task, std::int64_t first, std::int64_t last) noexcept;
  void* task;
};

/// Runs task over [0, count) on `threads` threads, this one included; see parallel_for.
void run_on_threads(int threads, std::int64_t count, RangeTask task) noexcept;

/// Runs share(first, last) on up to `threads` threads, for contiguous shares that make up [0,
/// count); the same shares for the same count and threads. `share` must not throw. Returns when all
/// is done. Inside a share, and while another thread of the process runs a loop, everything is done
/// by the caller.
template <class Share>
void parallel_shares(int threads, std::int64_t count, Share&& share) {
  if (threads <= 1 || count <= 1) {
    if (count > 0) share(std::int64_t{0}, count);
    return;
  }
  using Body = std::remove_reference_t<Share>;
  const auto call = [](void* body, std::int64_t first, std::int64_t last) noexcept {
    (*static_cast<Body*>(body))(first, last);
  };
  run_on_threads(threads, count,
                 {call, const_cast<std::remove_const_t<Body>*>(std::addressof(share))});
}

/// Runs task(i) for every i in [0, count), each exactly once, as parallel_shares does.
template <class Task>
void parallel_for(int threads, std::int64_t count, Task&& task) {
  parallel_shares(threads, count, [&task](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) task(i);
  });
}

/// The same with each share from its end to its start: after a parallel_for over the same tasks a
/// thread begins with what it has just used.
template <class Task>
void parallel_for_backwards(int threads, std::int64_t count, Task&& task) {
  parallel_shares(threads, count, [&task](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = last; i-- > first;) task(i);
  });
}

/// Runs body() on `threads` threads, this one included, each once, and returns when all have. For
/// work whose order does not matter: nothing fixes who does what. Afterwards the first exception
/// that left a body is thrown again.
void run_side_by_side(int threads, const std::function<void()>& body);

}  // namespace evenrow::core
