// Ctrl-C and SIGTERM while a network is trained.
#pragma once

namespace evenrow::cli {

/// From now on the first SIGINT or SIGTERM is noted, and the second one ends the process as if it
/// had never been caught. A signal that was ignored before (nohup, background jobs) stays ignored.
void catch_stop_signals();

/// Whether one was noted.
bool stop_signal_seen() noexcept;

}  // namespace evenrow::cli
