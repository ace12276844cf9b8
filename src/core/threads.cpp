// A pool of our own, not OpenMP's: libgomp's waiting threads spin for milliseconds, so that a
// training step with ten parallel loops became 5 to 40 times slower when another process wanted the
// same cores. Here a waiting thread spins for some microseconds, lets others run, and sleeps after
// a millisecond, or sooner where others do run (docs/benchmarks.md).
#include "core/threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace evenrow::core {
namespace {

constexpr int kSpins = 2000;  // of a pause instruction: 20 to 100 microseconds
constexpr auto kYieldFor = std::chrono::milliseconds(1);
constexpr auto kOthersRan = std::chrono::microseconds(500);  // where a yield takes longer
constexpr int kMostThreads = 1024;

void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

// Returns once `word` differs from `old`, with its value. `spin`: first awake, for a moment. Then
// it yields, and gives the processor up only after a while, or once others have used it: a virtual
// processor without work is slow to come back, and Linux takes it for one that is not there.
std::uint32_t wait_for_change(const std::atomic<std::uint32_t>& word, std::uint32_t old,
                              bool spin) noexcept {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; spin && i < kSpins; ++i) {
    const std::uint32_t value = word.load(std::memory_order_acquire);
    if (value != old) return value;
    pause_briefly();
  }
  const Clock::time_point start = Clock::now();
  for (Clock::time_point now = start; now - start < kYieldFor;) {
    const std::uint32_t value = word.load(std::memory_order_acquire);
    if (value != old) return value;
    sched_yield();
    const Clock::time_point before = std::exchange(now, Clock::now());
    if (now - before > kOthersRan) break;
  }
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

class Pool {
 public:
  Pool() noexcept {
    for (std::atomic<int>& place : places_) place.store(-1, std::memory_order_relaxed);
  }

  void run(int threads, std::int64_t count, RangeTask task) noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    const int shares =
        lock ? grow_to(static_cast<int>(std::min<std::int64_t>({threads, count, kMostThreads})))
             : 1;
    if (shares == 1) return task.call(task.task, 0, count);
    task_ = task;
    count_ = count;
    shares_ = shares;
    places_[0].store(sched_getcpu(), std::memory_order_relaxed);
    // Every worker of the pool acknowledges every loop, so none reads the fields above later.
    unfinished_.store(static_cast<std::uint32_t>(workers_), std::memory_order_relaxed);
    loop_.fetch_add(1, std::memory_order_release);
    loop_.notify_all();
    run_share(0);
    std::uint32_t unfinished = unfinished_.load(std::memory_order_acquire);
    while (unfinished != 0) unfinished = wait_for_change(unfinished_, unfinished, !shared_place());
  }

 private:
  // Starts workers until `threads` can work; returns how many there are.
  int grow_to(int threads) noexcept {
    while (workers_ + 1 < threads) {
      const SignalsWait inherited;
      try {
        const int share = workers_ + 1;
        const std::uint32_t seen = loop_.load(std::memory_order_relaxed);
        std::thread([this, share, seen] { work(share, seen); }).detach();
      } catch (...) {
        return workers_ + 1;  // the system has no more threads to give: fewer do the same work
      }
      ++workers_;
    }
    return threads;
  }

  void work(int share, std::uint32_t seen) noexcept {
    for (bool spin = true;;) {
      seen = wait_for_change(loop_, seen, spin);
      spin = find_place(share);
      run_share(share);
      if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    }
  }

  bool is_taken(int place, int shares) const noexcept {
    const auto* const end = places_.data() + shares;
    return std::find(places_.data(), end, place) != end;
  }

  // Whether this worker has a processor to itself. Where it wakes on that of another thread of the
  // loop, it moves to a free one first: the system may leave both there for seconds, and the loop
  // then takes as long as on one thread.
  bool find_place(int share) noexcept {
    int here = sched_getcpu();
    if (share < shares_ && is_taken(here, share)) {
      cpu_set_t allowed;
      if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        cpu_set_t free = allowed;
        for (int i = 0; i < shares_; ++i) {
          const int place = places_[static_cast<std::size_t>(i)].load(std::memory_order_relaxed);
          if (i != share && place >= 0) CPU_CLR(static_cast<std::size_t>(place), &free);
        }
        // Refused where nothing is free. Afterwards the system may place it as before.
        if (sched_setaffinity(0, sizeof free, &free) == 0) {
          sched_setaffinity(0, sizeof allowed, &allowed);
          here = sched_getcpu();
        }
      }
    }
    std::atomic<int>& place = places_[static_cast<std::size_t>(share)];
    if (place.load(std::memory_order_relaxed) != here) {
      place.store(here, std::memory_order_relaxed);
    }
    return !is_taken(here, share);
  }

  // Whether a worker was last seen on this thread's processor. A thread that waits awake there
  // keeps the other one from what it waits for.
  bool shared_place() const noexcept {
    const int here = sched_getcpu();
    const auto* const end = places_.data() + shares_;
    return std::find(places_.data() + 1, end, here) != end;
  }

  void run_share(int share) const noexcept {
    if (share >= shares_) return;
    const std::int64_t first = count_ * share / shares_, last = count_ * (share + 1) / shares_;
    if (first < last) task_.call(task_.task, first, last);
  }

  std::mutex mutex_;  // held by the thread whose loop is running
  int workers_ = 0;
  RangeTask task_{};
  std::int64_t count_ = 0;
  int shares_ = 0;
  std::array<std::atomic<int>, kMostThreads> places_;  // processors of the threads, by their shares
  alignas(64) std::atomic<std::uint32_t> loop_{0};
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
};

// Never destroyed: its workers sleep until the process ends. A forked child has no workers, and
// starts with a pool of its own.
Pool* the_pool = nullptr;

Pool& pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    the_pool = new Pool;
    ::pthread_atfork(nullptr, nullptr, [] { the_pool = new Pool; });
  });
  return *the_pool;
}

}  // namespace

SignalsWait::SignalsWait() noexcept {
  sigset_t all;
  sigfillset(&all);
  // What a faulty instruction raises cannot wait.
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    sigdelset(&all, number);
  }
  pthread_sigmask(SIG_BLOCK, &all, &before_);
}

SignalsWait::~SignalsWait() {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int available_threads() noexcept {
  cpu_set_t affinity;
  CPU_ZERO(&affinity);
  return sched_getaffinity(0, sizeof affinity, &affinity) == 0 ? std::max(1, CPU_COUNT(&affinity))
                                                               : 1;
}

int resolve_threads(int requested) noexcept {
  return requested > 0 ? requested : available_threads();
}

void run_on_threads(int threads, std::int64_t count, RangeTask task) noexcept {
  pool().run(threads, count, task);
}

void run_side_by_side(int threads, const std::function<void()>& body) {
  std::exception_ptr first;
  std::mutex mutex;
  const auto guarded = [&] {
    try {
      body();
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(guarded);
  guarded();
  for (std::thread& other : others) other.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace evenrow::core
