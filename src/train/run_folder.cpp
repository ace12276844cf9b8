// A training run that lives in a folder: metrics as they come, checkpoints, and resuming.
#include "train/run_folder.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/fail.hpp"
#include "data/isal.hpp"
#include "io/atomic_file.hpp"
#include "io/folder_lock.hpp"
#include "io/read_file.hpp"
#include "train/checkpoint.hpp"
#include "train/metrics_json.hpp"
#include "train/session.hpp"

namespace evenrow {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kCheckpointInterval{2};
constexpr std::string_view kWork = "training";

[[noreturn]] void fail_io(const fs::path& path, const char* action) {
  core::fail(ErrorKind::io, "{}: cannot {}: {}", path.string(), action, std::strerror(errno));
}

// JSON Lines, appended to. What a killed process wrote after its last checkpoint is cut off first.
class LineFile {
 public:
  LineFile(fs::path path, std::int64_t keep_bytes) : path_(std::move(path)), size_(keep_bytes) {
    file_.reset(std::fopen(path_.c_str(), "ab"));
    if (!file_) fail_io(path_, "open");
    if (::ftruncate(::fileno(file_.get()), keep_bytes) != 0) fail_io(path_, "truncate");
  }
  void append(const nlohmann::ordered_json& json) {
    const std::string line = json.dump() + "\n";
    if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size()) {
      fail_io(path_, "write");
    }
    size_ += std::ssize(line);
  }
  void flush() {
    if (std::fflush(file_.get()) != 0) fail_io(path_, "write");
  }
  std::int64_t size() const noexcept { return size_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  fs::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::int64_t size_;
};

template <class T>
std::uint32_t add_bytes(std::uint32_t checksum, const std::vector<T>& values) {
  return data::crc32(
      checksum, {reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T)});
}

std::string fingerprint_of(const Dataset& data) {
  std::uint32_t checksum = 0;
  std::visit([&](const auto& values) { checksum = add_bytes(checksum, values); }, data.values);
  if (data.target) {
    checksum = add_bytes(checksum, data.target->numbers);
    checksum = add_bytes(checksum, data.target->codes);
  }
  return fmt::format("{}x{}:{:08x}", data.rows, data.columns.size(), checksum);
}

struct RunPaths {
  explicit RunPaths(const fs::path& folder)
      : config(folder / "config.toml"),
        steps(folder / "steps.jsonl"),
        epochs(folder / "epochs.jsonl"),
        observations(folder / "observations.jsonl"),
        result(folder / "result.json"),
        model(folder / "model.safetensors"),
        checkpoint(folder / "checkpoint.safetensors") {}
  fs::path config, steps, epochs, observations, result, model, checkpoint;
};

// Writes the metrics of a run and passes everything on.
class Recorder : public TrainObserver {
 public:
  Recorder(const RunPaths& paths, const training::CheckpointContext& context,
           const TrainOptions& options, TrainObserver* next)
      : steps_(paths.steps, context.steps_bytes),
        epochs_(paths.epochs, context.epochs_bytes),
        task_(options.task),
        next_(next != nullptr ? next : &silent_) {
    if (options.observe > 0) observations_.emplace(paths.observations, context.observations_bytes);
  }

  void on_plan(const TrainPlan& plan) override { next_->on_plan(plan); }
  void on_observation(const Observation& observation) override {
    observations_->append(training::to_json(observation));
    next_->on_observation(observation);
  }
  void on_step(const StepMetrics& metrics) override {
    steps_.append(training::to_json(metrics));
    next_->on_step(metrics);
  }
  void on_epoch(const EpochMetrics& metrics) override {
    epochs_.append(training::to_json(metrics, task_));
    flush();
    next_->on_epoch(metrics);
  }
  void on_warning(const std::string& message) override { next_->on_warning(message); }
  bool stop_requested() override { return stop_ = next_->stop_requested(); }

  void flush() {
    steps_.flush();
    epochs_.flush();
    if (observations_) observations_->flush();
  }
  bool stopping() const noexcept { return stop_; }
  void note_sizes(training::CheckpointContext& context) const noexcept {
    context.steps_bytes = steps_.size();
    context.epochs_bytes = epochs_.size();
    context.observations_bytes = observations_ ? observations_->size() : 0;
  }

 private:
  LineFile steps_, epochs_;
  std::optional<LineFile> observations_;
  Task task_;
  TrainObserver silent_;
  TrainObserver* next_;
  bool stop_ = false;
};

TrainResult run_session(training::Session& session, const RunPaths& paths,
                        training::CheckpointContext context, TrainObserver* observer) {
  Recorder recorder(paths, context, session.options(), observer);
  auto last_checkpoint = Clock::now();
  const bool done = session.run(recorder, [&] {
    if (!recorder.stopping() && Clock::now() - last_checkpoint < kCheckpointInterval) return;
    recorder.flush();
    recorder.note_sizes(context);
    training::save_checkpoint(session.state(), context, paths.checkpoint);
    last_checkpoint = Clock::now();
  });
  recorder.flush();
  TrainResult result = session.finish(!done);
  if (!done) return result;
  save_model(result.model, paths.model);
  io::write_file_atomically(paths.result, training::to_json(result).dump(2) + "\n");
  std::error_code ignored;  // result.json says that the run is finished
  fs::remove(paths.checkpoint, ignored);
  return result;
}

}  // namespace

namespace training {

RunData read_run_data(const TrainOptions& options) {
  RunData data;
  data.training = read_dataset(options.data, {.target = options.target});
  data.fingerprint = fingerprint_of(data.training);
  if (!options.test.empty()) {
    const std::string target = data.training.target ? data.training.target->name : options.target;
    data.test = read_dataset(options.test, {.target = target, .expected = data.training.columns});
    if (!data.test->target) {
      core::fail(ErrorKind::data, "{}: no target column '{}', which the training data has",
                 options.test, target);
    }
    data.fingerprint += "+" + fingerprint_of(*data.test);
  }
  return data;
}

std::string absolute_if_file(const std::string& source) {
  std::error_code ignored;
  return fs::exists(source, ignored) ? fs::absolute(source).lexically_normal().string() : source;
}

TrainResult train_run(const RunData& data, const TrainOptions& options, const fs::path& folder,
                      TrainObserver* observer) {
  Session session(data.training, options, data.test ? &*data.test : nullptr);

  // From here on the options and the data are good: only now something is written.
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    core::fail(ErrorKind::io, "{}: cannot make the run folder: {}", folder.string(),
               error.message());
  }
  const io::FolderLock lock(folder, kWork);
  const RunPaths paths(folder);
  TrainOptions resolved = session.options();
  resolved.data = absolute_if_file(resolved.data);
  resolved.test = absolute_if_file(resolved.test);
  io::write_file_atomically(paths.config, to_toml(resolved));
  return run_session(session, paths, {.data_fingerprint = data.fingerprint}, observer);
}

TrainResult resume_run(const RunData& data, const TrainOptions& options, const fs::path& folder,
                       TrainObserver* observer) {
  const io::FolderLock lock(folder, kWork);
  const RunPaths paths(folder);
  Session session(data.training, options, data.test ? &*data.test : nullptr);
  CheckpointContext context{.data_fingerprint = data.fingerprint};
  std::error_code error;
  if (fs::exists(paths.checkpoint, error)) {
    context = load_checkpoint(paths.checkpoint, session.state());
    if (context.data_fingerprint != data.fingerprint) {
      core::fail(ErrorKind::data,
                 "{}: the data is not what the run began with ({}, now {}); train anew, with "
                 "another run folder",
                 options.data, context.data_fingerprint, data.fingerprint);
    }
  }
  return run_session(session, paths, context, observer);
}

}  // namespace training

TrainResult train_run(const TrainOptions& options, const fs::path& folder,
                      TrainObserver* observer) {
  check(options);
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_empty(folder, error)) {
    core::fail(ErrorKind::usage,
               "{}: the run folder is not empty; choose another, or go on with an unfinished run "
               "by `evenrow train --resume {}`",
               folder.string(), folder.string());
  }
  TrainOptions resolved = options;
  if (resolved.data == "fashion-mnist" && resolved.test.empty()) {
    resolved.test = "fashion-mnist:test";
  }
  return training::train_run(training::read_run_data(resolved), resolved, folder, observer);
}

TrainResult resume_run(const fs::path& folder, TrainObserver* observer, int threads) {
  const RunPaths paths(folder);
  std::error_code error;
  if (!fs::exists(paths.config, error)) {
    core::fail(ErrorKind::io, "{}: no run to resume there (config.toml is missing)",
               folder.string());
  }
  if (fs::exists(paths.result, error)) {
    core::fail(ErrorKind::usage, "{}: the run is finished; its model is {}", folder.string(),
               paths.model.string());
  }
  const std::vector<std::byte> text = io::read_file(paths.config);
  TrainOptions options = options_from_toml(
      std::string(reinterpret_cast<const char*>(text.data()), text.size()), paths.config.string());
  if (threads > 0) options.threads = threads;
  return training::resume_run(training::read_run_data(options), options, folder, observer);
}

}  // namespace evenrow
