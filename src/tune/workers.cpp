#include "tune/workers.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <vector>

#include "core/fail.hpp"

namespace evenrow::tuning {
namespace {

constexpr int kPollMilliseconds = 100;  // how long a stop may go unnoticed

// A message of a job: its kind, its length, that many bytes. The parent's are single bytes.
enum class Message : char { report = 'r', done = 'd', failed = 'f' };
constexpr std::size_t kHeader = 1 + sizeof(std::uint32_t);
constexpr char kGoOn = 'c', kStop = 's';

// False when the other end has gone.
bool send_all(int socket, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool send_message(int socket, Message kind, std::string_view text) {
  const auto length = static_cast<std::uint32_t>(text.size());
  std::string bytes(kHeader, static_cast<char>(kind));
  std::memcpy(bytes.data() + 1, &length, sizeof length);
  return send_all(socket, bytes.append(text));
}

// The text of a failure has the kind of an evenrow::Error before it, or a '-'.
std::string failure(const Error* error, const char* what) {
  return (error != nullptr ? std::to_string(static_cast<int>(error->kind())) : "-") + what;
}

[[noreturn]] void run_child(const Jobs& jobs, std::int64_t job, int socket, pid_t parent_process) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent_process) ::_exit(1);  // it died before the line above
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  Parent parent(socket);
  try {
    jobs.run(job, parent);
    send_message(socket, Message::done, {});
  } catch (const Error& error) {
    send_message(socket, Message::failed, failure(&error, error.what()));
  } catch (const std::bad_alloc&) {
    send_message(socket, Message::failed, failure(nullptr, "memory ran out"));
  } catch (const std::exception& error) {
    send_message(socket, Message::failed, failure(nullptr, error.what()));
  } catch (...) {
    send_message(socket, Message::failed, failure(nullptr, "an exception of unknown type"));
  }
  ::_exit(0);  // the parent's buffers are not the child's to write
}

// A running job, seen from the parent.
struct Worker {
  std::int64_t job = 0;
  pid_t process = -1;
  int socket = -1;
  std::string received{};        // and not yet understood
  std::optional<JobEnd> said{};  // what the job says about its end; the process has yet to go
};

class Workers {
 public:
  explicit Workers(const Jobs& jobs) : jobs_(jobs) {}
  ~Workers() {
    for (const Worker& worker : running_) {
      ::kill(worker.process, SIGKILL);
      reap(worker);
    }
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  bool run() {
    bool stopped = false, more = true;
    while (true) {
      if (!stopped && jobs_.stop_requested()) {
        stopped = true;
        for (const Worker& worker : running_) send_all(worker.socket, {&kStop, 1});
      }
      while (!stopped && more && std::ssize(running_) < jobs_.workers) {
        const NextJob next = jobs_.next();
        more = next.kind != NextJob::Kind::end;
        if (next.kind != NextJob::Kind::start) break;
        start(next.job);
      }
      if (running_.empty() && (stopped || !more)) return !stopped;
      wait_for_news(stopped);
    }
  }

 private:
  static int reap(const Worker& worker) noexcept {
    ::close(worker.socket);
    int status = 0;
    while (::waitpid(worker.process, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  void start(std::int64_t job) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      core::fail(ErrorKind::io, "a worker process cannot be started: {}", std::strerror(errno));
    }
    running_.reserve(running_.size() + 1);  // nothing may fail once there is a process
    const pid_t parent_process = ::getpid(), process = ::fork();
    if (process == 0) {
      // A job holds no line but its own: the others notice when theirs is gone.
      for (const Worker& other : running_) ::close(other.socket);
      ::close(ends[0]);
      run_child(jobs_, job, ends[1], parent_process);
    }
    const int error = errno;
    ::close(ends[1]);
    if (process < 0) {
      ::close(ends[0]);
      core::fail(ErrorKind::io, "a worker process cannot be started: {}; use fewer of them",
                 std::strerror(error));
    }
    running_.push_back({.job = job, .process = process, .socket = ends[0]});
  }

  void wait_for_news(bool stopped) {
    std::vector<pollfd> sockets;
    for (const Worker& worker : running_) sockets.push_back({worker.socket, POLLIN, 0});
    // A signal ends the waiting early: what it means is for stop_requested to say.
    if (::poll(sockets.data(), sockets.size(), kPollMilliseconds) <= 0) return;
    for (std::size_t i = sockets.size(); i-- > 0;) {  // from the end: ended ones are erased
      if (sockets[i].revents != 0) read_from(i, stopped);
    }
  }

  void read_from(std::size_t index, bool stopped) {
    Worker& worker = running_[index];
    std::array<char, 65536> buffer;
    const ssize_t got = ::recv(worker.socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) return end(index);
    worker.received.append(buffer.data(), static_cast<std::size_t>(got));
    while (worker.received.size() >= kHeader) {
      std::uint32_t length = 0;
      std::memcpy(&length, worker.received.data() + 1, sizeof length);
      if (worker.received.size() < kHeader + length) return;
      const std::string text = worker.received.substr(kHeader, length);
      const auto kind = static_cast<Message>(worker.received[0]);
      worker.received.erase(0, kHeader + length);
      switch (kind) {
        case Message::report: {
          const bool go_on = jobs_.on_report(worker.job, text) && !stopped;
          send_all(worker.socket, {go_on ? &kGoOn : &kStop, 1});
          break;
        }
        case Message::done:
          worker.said = JobEnd{.job = worker.job, .status = JobStatus::done};
          break;
        case Message::failed:
          worker.said =
              JobEnd{.job = worker.job, .status = JobStatus::failed, .reason = text.substr(1)};
          if (text[0] != '-') worker.said->kind = static_cast<ErrorKind>(text[0] - '0');
          break;
      }
    }
  }

  void end(std::size_t index) {
    const Worker worker = std::move(running_[index]);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
    const int status = reap(worker);
    if (worker.said) return jobs_.on_end(*worker.said);
    jobs_.on_end(
        {.job = worker.job,
         .status = JobStatus::killed,
         .reason = WIFSIGNALED(status)
                       ? fmt::format("killed by signal {} ({})", WTERMSIG(status),
                                     ::strsignal(WTERMSIG(status)))
                       : fmt::format("its process ended with exit code {}", WEXITSTATUS(status))});
  }

  const Jobs& jobs_;
  std::vector<Worker> running_;
};

}  // namespace

bool Parent::report(std::string_view text) {
  char answer = kStop;
  if (!stop_ && send_message(socket_, Message::report, text)) {
    while (::recv(socket_, &answer, 1, 0) < 0 && errno == EINTR) {
    }
  }
  stop_ = answer != kGoOn;
  return !stop_;
}

bool Parent::wants_stop() {
  char answer = kStop;
  // The parent speaks first only to say stop. No news is an error, EAGAIN.
  if (!stop_ && ::recv(socket_, &answer, 1, MSG_DONTWAIT) >= 0) stop_ = true;
  return stop_;
}

bool run_jobs(const Jobs& jobs) {
  return Workers(jobs).run();
}

}  // namespace evenrow::tuning
