#include "tune/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/fail.hpp"

namespace evenrow::tuning {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

// After how long an unchanged lock counts as left behind by a process that was killed; Optuna's.
constexpr std::chrono::seconds kGracePeriod{30};

[[noreturn]] void refuse(const fs::path& path, const char* what, int error) {
  core::fail(ErrorKind::io, "{}: {}: {}", path.string(), what, std::strerror(error));
}

// JournalFileSymlinkLock of Optuna: who makes the symbolic link JOURNAL.lock may write. Processes
// of evenrow also hold flock on the journal while they have the link, and write its target in a way
// of their own ("FOLDER/./JOURNAL"): who holds flock and finds such a link knows that its maker was
// killed, and need not wait.
class JournalLock {
 public:
  JournalLock(const fs::path& journal, int descriptor)
      : lock_(journal.string() + ".lock"),
        target_(fs::absolute(journal).parent_path() / "." / journal.filename()) {
    while (::flock(descriptor, LOCK_EX) != 0) {
      if (errno != EINTR) refuse(journal, "the journal cannot be locked", errno);
    }
    useconds_t pause = 1000;
    struct stat seen {};
    auto seen_since = Clock::now();
    while (::symlink(target_.c_str(), lock_.c_str()) != 0) {
      if (errno != EEXIST) refuse(lock_, "the journal cannot be locked", errno);
      std::error_code ignored;
      struct stat now {};
      if (::lstat(lock_.c_str(), &now) != 0) continue;  // it has just gone
      if (now.st_ino != seen.st_ino || now.st_mtim.tv_sec != seen.st_mtim.tv_sec ||
          now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec) {
        seen = now;
        seen_since = Clock::now();
      }
      if (fs::read_symlink(lock_, ignored) == target_ || Clock::now() - seen_since > kGracePeriod) {
        release();
        continue;
      }
      ::usleep(pause);
      pause = std::min<useconds_t>(2 * pause, 100000);
    }
  }
  ~JournalLock() { release(); }
  JournalLock(const JournalLock&) = delete;
  JournalLock& operator=(const JournalLock&) = delete;

 private:
  // Renamed first, so that of two who release it only one does.
  void release() const noexcept {
    const std::string gone = fmt::format("{}{}.rename", lock_, ::getpid());
    if (::rename(lock_.c_str(), gone.c_str()) == 0) ::unlink(gone.c_str());
  }

  std::string lock_;
  fs::path target_;
};

struct File {
  File(const fs::path& path, int flags) : descriptor(::open(path.c_str(), flags, 0666)) {
    if (descriptor < 0) refuse(path, "the journal cannot be opened", errno);
  }
  ~File() { ::close(descriptor); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int descriptor;
};

std::string now() {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  const std::time_t seconds = micros / 1000000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     micros % 1000000);
}

// As Python's json writes numbers.
std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return json(value).dump();
}

std::string line(int operation, const std::string& worker, const std::string& rest) {
  return fmt::format("{{\"op_code\":{},\"worker_id\":{},{}}}\n", operation, json_text(worker),
                     rest);
}

// As optuna.distributions.distribution_to_json. It has no scale for 1 - x: linear there.
std::string distribution(const Parameter& p) {
  const char* log = p.scale == Scale::log ? "true" : "false";
  switch (p.type) {
    case ParameterType::real:
      return fmt::format(
          R"({{"name": "FloatDistribution", "attributes": {{"step": null, "low": {}, "high": {}, )"
          R"("log": {}}}}})",
          number(p.low), number(p.high), log);
    case ParameterType::integer:
      return fmt::format(
          R"({{"name": "IntDistribution", "attributes": {{"log": {}, "step": 1, "low": {:.0f}, )"
          R"("high": {:.0f}}}}})",
          log, p.low, p.high);
    case ParameterType::categorical:
      break;
  }
  std::string choices;
  for (const std::string& choice : p.choices) {
    choices += (choices.empty() ? "" : ", ") + json_text(choice);
  }
  return fmt::format(R"({{"name": "CategoricalDistribution", "attributes": {{"choices": [{}]}}}})",
                     choices);
}

}  // namespace

std::string json_text(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string text_of_json(const std::string& text) {
  const json value = json::parse(text);
  return value.is_string() ? value.get<std::string>() : text;
}

std::string create_study_line(const std::string& worker, const std::string& name,
                              Direction direction) {
  return line(0, worker,
              fmt::format("\"study_name\":{},\"directions\":[{}]", json_text(name),
                          direction == Direction::minimize ? 1 : 2));
}

std::string study_attribute_line(const std::string& worker, std::size_t study,
                                 const std::string& key, const std::string& text) {
  return line(2, worker,
              fmt::format("\"study_id\":{},\"user_attr\":{{{}:{}}}", study, json_text(key),
                          json_text(text)));
}

std::string study_attribute_line(const std::string& worker, std::size_t study,
                                 const std::string& key, std::int64_t number) {
  return line(
      2, worker,
      fmt::format("\"study_id\":{},\"user_attr\":{{{}:{}}}", study, json_text(key), number));
}

std::string create_trial_line(const std::string& worker, const NewTrial& trial) {
  std::vector<std::string> distributions, values, attributes;
  for (const auto& [parameter, value] : trial.parameters) {
    const std::string name = json_text(parameter.name);
    distributions.push_back(fmt::format("{}:{}", name, json_text(distribution(parameter))));
    values.push_back(fmt::format("{}:{}", name, number(value)));
  }
  for (const auto& [key, value] : trial.system_attributes) {
    attributes.push_back(fmt::format("{}:{}", json_text(key), value));
  }
  return line(
      4, worker,
      fmt::format("\"study_id\":{},\"datetime_start\":\"{}\",\"state\":0,\"value\":null,"
                  "\"values\":null,\"distributions\":{{{}}},\"params\":{{{}}},"
                  "\"user_attrs\":{{}},\"system_attrs\":{{{}}},\"intermediate_values\":{{}}",
                  trial.study, now(), fmt::join(distributions, ","), fmt::join(values, ","),
                  fmt::join(attributes, ",")));
}

std::string intermediate_line(const std::string& worker, std::int64_t trial, std::int64_t step,
                              double value) {
  return line(7, worker,
              fmt::format("\"trial_id\":{},\"step\":{},\"intermediate_value\":{}", trial, step,
                          number(value)));
}

std::string trial_attribute_line(const std::string& worker, std::int64_t trial,
                                 const std::string& key, const std::string& text) {
  return line(8, worker,
              fmt::format("\"trial_id\":{},\"user_attr\":{{{}:{}}}", trial, json_text(key),
                          json_text(text)));
}

std::string state_line(const std::string& worker, std::int64_t trial, TrialState state,
                       std::optional<double> value) {
  return line(6, worker,
              fmt::format("\"trial_id\":{},\"state\":{},\"values\":{},\"datetime_complete\":\"{}\"",
                          trial, static_cast<int>(state),
                          value ? fmt::format("[{}]", number(*value)) : "null", now()));
}

Journal::Journal(fs::path path)
    : path_(std::move(path)),
      worker_(fmt::format("evenrow-{}-{}", ::getpid(),
                          std::chrono::system_clock::now().time_since_epoch().count())) {
  append([] { return std::string(); });
}

void Journal::append(const std::function<std::string()>& compose) {
  const File file(path_, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC);
  const JournalLock lock(path_, file.descriptor);
  read_on(file.descriptor);
  if (partial_) {
    if (::ftruncate(file.descriptor, bytes_) != 0) refuse(path_, "its last line", errno);
    recovered_ = true;
  }
  const std::string text = compose();
  if (text.empty()) return;
  std::string_view rest = text;
  int error = 0;
  while (!rest.empty() && error == 0) {
    const ssize_t written = ::write(file.descriptor, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (error == 0 && ::fsync(file.descriptor) != 0) error = errno;
  if (error != 0) {
    if (::ftruncate(file.descriptor, bytes_) != 0) error = errno;
    refuse(path_, "the journal cannot be written", error);
  }
  read_on(file.descriptor);
}

void Journal::read_on(int descriptor) {
  std::string text;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got =
        ::pread(descriptor, buffer.data(), buffer.size(), bytes_ + std::ssize(text));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path_, "the journal cannot be read", errno);
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  bytes_ += static_cast<std::int64_t>(apply_lines(text, path_.string(), lines_, content_));
  partial_ = bytes_ < ::lseek(descriptor, 0, SEEK_END);
}

}  // namespace evenrow::tuning
