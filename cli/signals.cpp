#include "signals.hpp"

#include <signal.h>

#include <atomic>

namespace evenrow::cli {
namespace {

std::atomic<bool> seen{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // as signal handlers need

extern "C" void evenrow_on_stop_signal(int number) {
  if (seen.exchange(true)) {
    signal(number, SIG_DFL);
    raise(number);  // pending while this handler runs, delivered when it returns
  }
}

}  // namespace

void catch_stop_signals() {
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction before {};
    if (sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = evenrow_on_stop_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, nullptr);
  }
}

bool stop_signal_seen() noexcept {
  return seen.load();
}

}  // namespace evenrow::cli
