#include "evenrow/compare.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/fail.hpp"
#include "core/threads.hpp"
#include "io/atomic_file.hpp"
#include "io/folder_lock.hpp"
#include "nn/names.hpp"
#include "train/examples.hpp"
#include "train/run_folder.hpp"
#include "tune/compare_folder.hpp"
#include "tune/names.hpp"
#include "tune/workers.hpp"

namespace evenrow {
namespace {

namespace fs = std::filesystem;
using tuning::Jobs;

// Children of a command that was killed a moment ago may still hold its folder.
constexpr std::chrono::seconds kLockPatience{5};

bool is_count(Vary vary) {
  return vary == Vary::depth || vary == Vary::batch_size || vary == Vary::seed;
}

TrainOptions options_of(const CompareOptions& options, const ComparedRun& run) {
  TrainOptions result = options.training;
  result.norm = run.norm;
  result.seed = run.seed;
  switch (options.vary) {
    case Vary::learning_rate:
      result.learning_rate = run.value;
      break;
    case Vary::depth:
      result.hidden.assign(static_cast<std::size_t>(run.value), options.training.hidden.front());
      break;
    case Vary::batch_size:
      result.batch_size = static_cast<std::int64_t>(run.value);
      break;
    case Vary::init_scale:
      result.init_scale = run.value;
      break;
    case Vary::input_scale:
      result.input_scale = run.value;
      break;
    case Vary::seed:
      break;
  }
  return result;
}

// By norm, value and seed. Options must have values.
std::vector<ComparedRun> planned_runs(const CompareOptions& options) {
  std::vector<ComparedRun> runs;
  for (const Norm norm : options.norms) {
    for (const double value : options.values) {
      for (std::int64_t i = 0; i < options.seeds; ++i) {
        ComparedRun run{.norm = norm, .value = value};
        run.seed = options.vary == Vary::seed
                       ? static_cast<std::uint64_t>(value)
                       : options.training.seed + static_cast<std::uint64_t>(i);
        run.folder = fmt::format("runs/{}-{}-{}", core::name_of(norm), value, run.seed);
        runs.push_back(std::move(run));
      }
    }
  }
  return runs;
}

CompareOptions with_values(CompareOptions options) {
  if (options.values.empty()) options.values = default_values(options);
  if (options.vary == Vary::seed) options.seeds = 1;
  return options;
}

// In a run's process: reports the part that is done after every epoch, stops when told to.
class JobObserver : public TrainObserver {
 public:
  JobObserver(tuning::Parent& parent, std::int64_t epochs) : parent_(parent), epochs_(epochs) {}

  void on_epoch(const EpochMetrics& metrics) override {
    parent_.report(
        fmt::format("{}", static_cast<double>(metrics.epoch + 1) / static_cast<double>(epochs_)));
  }
  bool stop_requested() override { return parent_.wants_stop(); }

 private:
  tuning::Parent& parent_;
  std::int64_t epochs_;
};

// In a run's process: trains, or goes on with what a process before it began.
void train_in_folder(const training::RunData& data, const TrainOptions& options,
                     const fs::path& folder, tuning::Parent& parent) {
  JobObserver observer(parent, options.epochs);
  try {
    if (fs::exists(folder / "config.toml")) {
      training::resume_run(data, options, folder, &observer);
    } else {
      fs::remove_all(folder);  // what a killed process left before there was a run
      training::train_run(data, options, folder, &observer);
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::training) throw;
    io::write_file_atomically(tuning::divergence_file(folder), fmt::format("{}\n", error.what()));
  }
}

// Runs what has not ended yet, and reads what it came to.
class Work {
 public:
  Work(const CompareOptions& options, const training::RunData& data, const fs::path& folder,
       Comparison& comparison, CompareObserver& observer)
      : options_(options),
        data_(data),
        folder_(folder),
        comparison_(comparison),
        observer_(observer),
        workers_(options.jobs > 0 ? options.jobs : core::available_threads()),
        parts_(comparison.runs.size(), 0.0) {
    for (std::size_t i = 0; i < comparison_.runs.size(); ++i) {
      ComparedRun& run = comparison_.runs[i];
      if (tuning::has_ended(folder_ / run.folder)) {
        tuning::read_outcome(folder_ / run.folder, comparison_.task, run);
      } else {
        waiting_.push_back(i);
      }
    }
    // Long ones first where that is known (many steps, many blocks), so that none is left alone at
    // the end.
    if (options.vary == Vary::batch_size || options.vary == Vary::depth) {
      const double sign = options.vary == Vary::batch_size ? 1.0 : -1.0;
      std::ranges::stable_sort(waiting_, {},
                               [&](std::size_t i) { return sign * comparison_.runs[i].value; });
    }
    to_do_ = waiting_.size();
  }

  /// False when the observer stopped it.
  bool run() {
    observer_.on_plan(std::ssize(comparison_.runs),
                      std::ssize(comparison_.runs) - static_cast<std::int64_t>(to_do_));
    Jobs jobs{.workers = workers_};
    jobs.next = [&]() -> tuning::NextJob {
      if (started_ == waiting_.size() || refused_) return {};
      return {tuning::NextJob::Kind::start, static_cast<std::int64_t>(waiting_[started_++])};
    };
    jobs.run = [&](std::int64_t job, tuning::Parent& parent) { train(run_at(job), parent); };
    jobs.on_report = [&](std::int64_t job, std::string_view text) {
      std::from_chars(text.data(), text.data() + text.size(), part_at(job));
      observer_.on_progress(part_done());
      return true;
    };
    jobs.on_end = [&](const tuning::JobEnd& end) { note_end(end); };
    jobs.stop_requested = [&] { return observer_.stop_requested(); };
    const bool done = tuning::run_jobs(jobs);
    if (!failures_.empty()) {
      core::fail(failures_.front().kind.value_or(ErrorKind::io),
                 "{} of {} runs failed; {}: {}; finished runs are kept, and the same command tries "
                 "the others again",
                 failures_.size(), comparison_.runs.size(),
                 (folder_ / run_at(failures_.front().job).folder).string(),
                 failures_.front().reason);
    }
    return done;
  }

 private:
  ComparedRun& run_at(std::int64_t job) { return comparison_.runs[static_cast<std::size_t>(job)]; }
  double& part_at(std::int64_t job) { return parts_[static_cast<std::size_t>(job)]; }

  double part_done() const {
    return std::accumulate(parts_.begin(), parts_.end(), 0.0) / static_cast<double>(to_do_);
  }

  void train(const ComparedRun& run, tuning::Parent& parent) const {
    TrainOptions options = options_of(options_, run);
    if (options.threads == 0) options.threads = std::max(1, core::available_threads() / workers_);
    train_in_folder(data_, options, folder_ / run.folder, parent);
  }

  void note_end(const tuning::JobEnd& end) {
    ComparedRun& run = run_at(end.job);
    if (end.status != tuning::JobStatus::done) {
      failures_.push_back(end);
      // An error that names a kind (a full disk, unsuitable data) would meet the others too.
      refused_ = refused_ || end.kind.has_value();
      return;
    }
    if (!tuning::has_ended(folder_ / run.folder)) return;  // stopped
    tuning::read_outcome(folder_ / run.folder, comparison_.task, run);
    part_at(end.job) = 1.0;
    observer_.on_run(run, part_done());
  }

  const CompareOptions& options_;
  const training::RunData& data_;
  const fs::path& folder_;
  Comparison& comparison_;
  CompareObserver& observer_;
  const int workers_;
  std::vector<double> parts_;         // of each run, done by this call
  std::vector<std::size_t> waiting_;  // runs that have not ended, in the order of their start
  std::size_t started_ = 0, to_do_ = 0;
  std::vector<tuning::JobEnd> failures_;
  bool refused_ = false;
};

}  // namespace

std::vector<double> default_values(const CompareOptions& options) {
  const auto two_a_decade = [](double middle) {
    std::vector<double> values;
    for (const double factor : {0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0}) {
      // 0.3, and not the 0.30000000000000004 that 0.1 * 3 gives.
      values.push_back(std::stod(fmt::format("{:.6g}", middle * factor)));
    }
    return values;
  };
  switch (options.vary) {
    case Vary::learning_rate:
      return two_a_decade(default_learning_rate(options.training.optimizer.kind));
    case Vary::init_scale:
    case Vary::input_scale:
      return two_a_decade(1.0);
    case Vary::depth:
      return {1, 2, 4, 8, 16};
    case Vary::batch_size:
      return {8, 16, 32, 64, 128, 256, 512};
    case Vary::seed:
      break;
  }
  return {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
}

void check(const CompareOptions& given) {
  const auto fail = [](const auto&... what) { core::fail(ErrorKind::usage, "{}", what...); };
  if (given.norms.empty()) fail("norms is empty, expected at least one");
  if (given.seeds < 1) fail(fmt::format("seeds is {}, expected at least 1", given.seeds));
  if (given.jobs < 0) fail(fmt::format("jobs is {}, expected at least 0", given.jobs));
  if (given.vary == Vary::depth && given.training.hidden.empty()) {
    fail("depth is the number of hidden blocks, and hidden is empty: name the width of one");
  }
  if (given.training.validation == 0.0) {
    fail("validation is 0, and runs are compared by validation data: give it a part");
  }
  for (std::size_t i = 1; i < given.norms.size(); ++i) {
    if (std::count(given.norms.begin(), given.norms.end(), given.norms[i]) > 1) {
      fail(fmt::format("norms has {} twice", core::name_of(given.norms[i])));
    }
  }
  const CompareOptions options = with_values(given);
  for (std::size_t i = 0; i < options.values.size(); ++i) {
    const double value = options.values[i];
    if (i > 0 && !(options.values[i - 1] < value)) {
      fail(fmt::format("values: {} after {}, expected ascending numbers", value,
                       options.values[i - 1]));
    }
    if (is_count(options.vary) && !(value >= 0 && value <= 1e9 && value == std::floor(value))) {
      fail(fmt::format("values: {} is no {}, expected a whole number", value,
                       core::name_of(options.vary)));
    }
    if (!is_count(options.vary) && !(value > 0 && std::isfinite(value))) {
      fail(fmt::format("values: {} is no {}, expected a number > 0", value,
                       core::name_of(options.vary)));
    }
    if (options.vary == Vary::depth && value > 1000) fail("values: more than 1000 hidden blocks");
  }
  for (const ComparedRun& run : planned_runs(options)) check(options_of(options, run));
}

Comparison compare(const CompareOptions& given, const fs::path& folder, CompareObserver* observer) {
  check(given);
  const CompareOptions options = with_values(given);
  CompareObserver silent;
  const training::RunData data = training::read_run_data(options.training);

  Comparison comparison{.vary = options.vary,
                        .task = training::resolve_task(data.training, options.training.task),
                        .values = options.values,
                        .norms = options.norms,
                        .runs = planned_runs(options)};
  if (options.vary != Vary::seed) {
    for (std::int64_t i = 0; i < options.seeds; ++i) {
      comparison.seeds.push_back(options.training.seed + static_cast<std::uint64_t>(i));
    }
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    core::fail(ErrorKind::io, "{}: cannot make the folder: {}", folder.string(), error.message());
  }
  // Runs inherit it: it is free only when the last process of a command has gone.
  const io::FolderLock lock(folder, "comparing", kLockPatience);
  tuning::open_folder(options, data.fingerprint, folder);
  if (!Work(options, data, folder, comparison, observer != nullptr ? *observer : silent).run()) {
    comparison.runs.clear();
    comparison.stopped = true;
    return comparison;
  }
  find_usable_ranges(comparison);
  io::write_file_atomically(folder / "compare.json", tuning::to_json(comparison));
  return comparison;
}

}  // namespace evenrow
