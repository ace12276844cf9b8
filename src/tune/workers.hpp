// Jobs in forked child processes: a job that crashes or is killed is recorded and hurts no other,
// and what was read before lies in memory once for all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "evenrow/error.hpp"

namespace evenrow::tuning {

/// The line from a job, in its child process, to its parent.
class Parent {
 public:
  explicit Parent(int socket) : socket_(socket) {}
  Parent(const Parent&) = delete;
  Parent& operator=(const Parent&) = delete;

  /// Sends `text` (any bytes; JSON by convention) and waits for the answer: whether to go on. Once
  /// it was false, it stays so.
  bool report(std::string_view text);

  /// Whether the parent wants the job to end soon (or has gone). Does not wait: cheap enough to be
  /// asked after every training step.
  bool wants_stop();

 private:
  int socket_;
  bool stop_ = false;
};

/// How a job ended. failed: an exception left Jobs::run. killed: its process ended in any other
/// way than by coming back from it.
enum class JobStatus { done, failed, killed };

struct JobEnd {
  std::int64_t job = 0;
  JobStatus status = JobStatus::done;
  std::string reason{};             ///< "killed by signal 9 (Killed)", or the exception's what().
  std::optional<ErrorKind> kind{};  ///< failed by an evenrow::Error: its kind.
};

/// What Jobs::next says: a job to start now; nothing now, but perhaps later; or no more jobs.
struct NextJob {
  enum class Kind { start, wait, end } kind = Kind::end;
  std::int64_t job = 0;
};

/// What run_jobs does. All but `run` is called in the parent, from the thread of run_jobs.
struct Jobs {
  int workers = 1;  ///< Processes at a time.
  std::function<NextJob()> next{};
  /// The job itself, in its own process: what it changes in memory is lost when it ends, only what
  /// it reports or writes to files stays. It may start threads of its own.
  std::function<void(std::int64_t job, Parent& parent)> run{};
  /// A report came: whether the job shall go on.
  std::function<bool(std::int64_t job, std::string_view text)> on_report{};
  std::function<void(const JobEnd& end)> on_end{};
  /// Asked about ten times a second. True: no job is started any more, the running ones are told to
  /// stop and are waited for.
  std::function<bool()> stop_requested = [] { return false; };
};

/// Runs jobs until `next` says that there are no more and all have ended; false when it was
/// stopped. A job's process is forked, so the caller should have no threads that hold locks; the
/// threads of parallel_for do no harm. Jobs are deaf to SIGINT and SIGTERM, which a terminal sends
/// to all processes of a command: stopping is the parent's affair. They die with the parent. When
/// an exception leaves one of the functions above, all jobs are killed and it passes on. Errors
/// (io): the system has no more processes to give.
bool run_jobs(const Jobs& jobs);

}  // namespace evenrow::tuning
