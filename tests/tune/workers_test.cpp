#include "tune/workers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <set>
#include <stdexcept>
#include <vector>

#include "core/fail.hpp"
#include "core/threads.hpp"
#include "support/throws_error.hpp"

namespace evenrow::tuning {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Jobs 0 .. count-1, in order, every report answered by go on.
struct Protocol {
  explicit Protocol(std::int64_t count, int workers = 2) {
    jobs.workers = workers;
    jobs.next = [this, count]() -> NextJob {
      if (started == count) return {};
      ++running;
      most_running = std::max(most_running, running);
      return {NextJob::Kind::start, started++};
    };
    jobs.on_report = [this](std::int64_t job, std::string_view text) {
      reports[job].emplace_back(text);
      return true;
    };
    jobs.on_end = [this](const JobEnd& end) {
      --running;
      EXPECT_TRUE(ends.emplace(end.job, end).second) << "ended twice";
    };
  }

  Jobs jobs;
  std::int64_t started = 0, running = 0, most_running = 0;
  std::map<std::int64_t, std::vector<std::string>> reports;
  std::map<std::int64_t, JobEnd> ends;
};

TEST(Workers, ManyJobsAllEndAndReport) {
  Protocol protocol(40, 3);
  protocol.jobs.run = [](std::int64_t job, Parent& parent) {
    // Any bytes, more than one read takes.
    EXPECT_TRUE(parent.report("first\n" + std::to_string(job)));
    EXPECT_TRUE(parent.report(std::string(200000, 'x') + std::to_string(job * job)));
    EXPECT_TRUE(parent.report(""));
  };
  EXPECT_TRUE(run_jobs(protocol.jobs));
  EXPECT_EQ(protocol.most_running, 3);
  ASSERT_EQ(protocol.ends.size(), 40u);
  for (const auto& [job, end] : protocol.ends) {
    EXPECT_EQ(end.status, JobStatus::done) << end.reason;
    EXPECT_THAT(protocol.reports[job],
                ElementsAre("first\n" + std::to_string(job),
                            std::string(200000, 'x') + std::to_string(job * job), ""));
  }
}

TEST(Workers, FailuresAreToldAndHurtNoOther) {
  Protocol protocol(7);
  protocol.jobs.run = [](std::int64_t job, Parent& parent) {
    parent.report("started");
    if (job == 0) ::raise(SIGKILL);
    if (job == 1) ::raise(SIGSEGV);
    if (job == 2) core::fail(ErrorKind::training, "diverged:\nstep {}", 7);
    if (job == 3) throw std::runtime_error("something else");
    if (job == 4) ::_exit(42);
    if (job == 5) throw 5;
  };
  ::signal(SIGSEGV, SIG_DFL);  // no report of a sanitizer
  EXPECT_TRUE(run_jobs(protocol.jobs));
  ASSERT_EQ(protocol.ends.size(), 7u);
  EXPECT_EQ(protocol.ends[0].status, JobStatus::killed);
  EXPECT_EQ(protocol.ends[0].reason, "killed by signal 9 (Killed)");
  EXPECT_EQ(protocol.ends[1].status, JobStatus::killed);
  EXPECT_EQ(protocol.ends[1].reason, "killed by signal 11 (Segmentation fault)");
  EXPECT_EQ(protocol.ends[2].status, JobStatus::failed);
  EXPECT_EQ(protocol.ends[2].reason, "diverged:\nstep 7");
  EXPECT_EQ(protocol.ends[2].kind, ErrorKind::training);
  EXPECT_EQ(protocol.ends[3].reason, "something else");
  EXPECT_EQ(protocol.ends[3].kind, std::nullopt);
  EXPECT_EQ(protocol.ends[4].status, JobStatus::killed);
  EXPECT_EQ(protocol.ends[4].reason, "its process ended with exit code 42");
  EXPECT_EQ(protocol.ends[5].status, JobStatus::failed);
  EXPECT_EQ(protocol.ends[6].status, JobStatus::done);
}

TEST(Workers, AnAnswerStopsOneJob) {
  Protocol protocol(2);
  protocol.jobs.run = [](std::int64_t, Parent& parent) {
    for (int i = 0; i < 10 && parent.report(std::to_string(i)); ++i) {
    }
    if (parent.wants_stop() && !parent.report("too late")) throw std::runtime_error("stopped");
  };
  protocol.jobs.on_report = [&](std::int64_t job, std::string_view text) {
    protocol.reports[job].emplace_back(text);
    return job == 0 || text != "3";
  };
  EXPECT_TRUE(run_jobs(protocol.jobs));
  EXPECT_EQ(protocol.reports[0].size(), 10u);
  EXPECT_EQ(protocol.ends[0].status, JobStatus::done);
  EXPECT_EQ(protocol.reports[1].size(), 4u);
  EXPECT_EQ(protocol.ends[1].reason, "stopped");
}

// As Ctrl-C does: everybody gets SIGINT; the jobs end in their own way, and no other starts.
TEST(Workers, AStopReachesJobsThatReportNothing) {
  Protocol protocol(100, 2);
  protocol.jobs.run = [](std::int64_t, Parent& parent) {
    ::raise(SIGINT);
    ::raise(SIGTERM);
    parent.report("under way");
    while (!parent.wants_stop()) ::usleep(1000);
  };
  protocol.jobs.stop_requested = [&] { return protocol.reports.size() == 2; };
  EXPECT_FALSE(run_jobs(protocol.jobs));
  ASSERT_EQ(protocol.ends.size(), 2u);
  EXPECT_EQ(protocol.ends[0].status, JobStatus::done) << protocol.ends[0].reason;
  EXPECT_EQ(protocol.ends[1].status, JobStatus::done) << protocol.ends[1].reason;
}

TEST(Workers, ThereMayBeNothingToStartForNow) {
  Protocol protocol(2);
  const auto next = protocol.jobs.next;
  protocol.jobs.next = [&]() -> NextJob {  // the second job waits for what the first one says
    if (protocol.started == 1 && protocol.reports.empty()) return {NextJob::Kind::wait};
    return next();
  };
  protocol.jobs.run = [](std::int64_t, Parent& parent) { parent.report("result"); };
  EXPECT_TRUE(run_jobs(protocol.jobs));
  EXPECT_EQ(protocol.ends.size(), 2u);
}

TEST(Workers, AnExceptionOfTheParentKillsTheJobs) {
  Protocol protocol(2);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  protocol.jobs.run = [](std::int64_t, Parent& parent) {
    parent.report("here");
    while (true) ::pause();
  };
  protocol.jobs.on_report = [](std::int64_t, std::string_view) -> bool {
    core::fail(ErrorKind::io, "disk full");
  };
  EXPECT_THAT([&] { run_jobs(protocol.jobs); }, ThrowsError(ErrorKind::io, "disk full"));
  ::close(ends[1]);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0) << "a job is alive and holds the other end";
  ::close(ends[0]);
}

TEST(Workers, JobsDieWithTheParent) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t parent_process = ::fork();
  if (parent_process == 0) {
    Protocol protocol(2);
    protocol.jobs.run = [](std::int64_t, Parent& parent) {
      parent.report("here");
      while (true) ::pause();
    };
    protocol.jobs.on_report = [&](std::int64_t, std::string_view) {
      protocol.reports[protocol.running];
      if (protocol.running == 2) ::raise(SIGKILL);
      return true;
    };
    run_jobs(protocol.jobs);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(parent_process, &status, 0), parent_process);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  ::close(ends[1]);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);  // waits until no process has the other end
  ::close(ends[0]);
}

// A job starts threads of its own; it has no handle of the jobs before it.
TEST(Workers, AJobHasThreadsOfItsOwnAndNoHandlesOfOthers) {
  Protocol protocol(6, 3);
  protocol.jobs.run = [](std::int64_t, Parent& parent) {
    std::atomic<std::int64_t> sum{0};
    core::parallel_for(4, 1000, [&](std::int64_t i) { sum += i; });
    int sockets = 0;
    for (int fd = 3; fd < 100; ++fd) {
      int type = 0;
      socklen_t size = sizeof type;
      if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0) ++sockets;
    }
    parent.report(std::to_string(sum) + ", " + std::to_string(sockets));
  };
  EXPECT_TRUE(run_jobs(protocol.jobs));
  std::set<std::string> said;
  for (const auto& [job, texts] : protocol.reports) said.insert(texts.begin(), texts.end());
  EXPECT_THAT(said, ElementsAre("499500, 1"));
}

}  // namespace
}  // namespace evenrow::tuning
