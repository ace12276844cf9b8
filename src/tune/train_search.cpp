#include "tune/train_search.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <map>
#include <vector>

#include "core/fail.hpp"
#include "core/threads.hpp"
#include "io/atomic_file.hpp"
#include "io/folder_lock.hpp"
#include "train/examples.hpp"
#include "train/run_folder.hpp"
#include "tune/names.hpp"
#include "tune/train_space.hpp"
#include "tune/train_trial.hpp"
#include "tune/workers.hpp"

namespace evenrow::tuning {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kCheckpoints = "checkpoints";  // folder, in that of the study

// Children of a command that was killed a moment ago may still hold its folder.
constexpr std::chrono::seconds kLockPatience{5};

Metric metric_of(const TrainingSearch& search, Task task) {
  const bool classes = task == Task::classification;
  if (!search.metric) return classes ? Metric::accuracy : Metric::rmse;
  const bool fits =
      *search.metric == Metric::loss || (*search.metric == Metric::accuracy) == classes;
  if (!fits) {
    core::fail(ErrorKind::usage, "metric {} is of {}, and this is {}; expected {}",
               core::name_of(*search.metric), classes ? "regression" : "classification",
               classes ? "classification" : "regression",
               classes ? "accuracy or loss" : "rmse, mae, r2 or loss");
  }
  return *search.metric;
}

// "key = value" of every option that all trials share, and what else decides them.
std::string context_of(const TrainingSearch& search, const std::string& fingerprint,
                       Metric metric) {
  std::string text = fmt::format("data_fingerprint = \"{}\"\nmetric = \"{}\"\nfolds = {}\n",
                                 fingerprint, core::name_of(metric), search.folds);
  const std::string all = to_toml(search.training);
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = all.find('\n', at);
    const std::string line = all.substr(at, end - at + 1);
    // Options that change no trial.
    const bool counts = !line.starts_with("#") && !line.starts_with("threads ") &&
                        !line.starts_with("test ") && !line.starts_with("data ") &&
                        !line.starts_with("observe ") &&
                        !(search.folds > 0 && line.starts_with("validation "));
    if (counts) text += line;
    at = end + 1;
  }
  return text;
}

// The trials, seen from the parent process.
class Trials {
 public:
  Trials(const TrainingSearch& search, const fs::path& folder, const training::RunData& data,
         std::vector<training::Split> splits, Metric metric, int workers, Tuner& tuner,
         SearchObserver& observer)
      : search_(search),
        checkpoints_(folder / kCheckpoints),
        data_(data),
        splits_(std::move(splits)),
        metric_(metric),
        workers_(workers),
        tuner_(tuner),
        observer_(observer),
        finished_before_(tuner.finished()) {}

  // False when the observer stopped it.
  bool run() {
    Jobs jobs{.workers = workers_};
    jobs.next = [&] { return next(); };
    jobs.run = [&](std::int64_t job, Parent& parent) { train(job, running_.at(job), parent); };
    jobs.on_report = [&](std::int64_t job, std::string_view text) { return note(job, text); };
    jobs.on_end = [&](const JobEnd& end) { note_end(end); };
    jobs.stop_requested = [&] { return observer_.stop_requested(); };
    return run_jobs(jobs);
  }

 private:
  struct Running {
    TrialParameters parameters;
    std::int64_t epoch = 0;
    std::optional<double> result{};
    bool told_to_end = false;
  };

  NextJob next() {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    if (search_.timeout > 0 && seconds > search_.timeout) return {};
    const Tuner::Answer answer = tuner_.ask();
    if (answer.kind == Tuner::Answer::Kind::end) return {};
    if (answer.kind == Tuner::Answer::Kind::wait) return {.kind = NextJob::Kind::wait};
    running_[answer.trial.number] = {.parameters = answer.trial.parameters};
    return {.kind = NextJob::Kind::start, .job = answer.trial.number};
  }

  void train(std::int64_t job, const Running& trial, Parent& parent) const {
    TrainOptions options = options_of(search_.training, trial.parameters);
    options.test.clear();
    if (options.threads == 0) options.threads = std::max(1, core::available_threads() / workers_);
    const TrialWatch watch{
        .on_epoch = [&](std::int64_t epoch,
                        double score) { return parent.report(fmt::format("{} {}", epoch, score)); },
        .stop_requested = [&] { return parent.wants_stop(); }};
    const auto result = train_trial(data_.training, options, splits_, metric_, watch,
                                    {.path = checkpoints_ / fmt::format("trial-{}", job),
                                     .data_fingerprint = data_.fingerprint,
                                     .interval = search_.checkpoint_interval});
    if (result) parent.report(fmt::format("0 {}", *result));
  }

  // "EPOCH SCORE", or "0 SCORE" of the whole trial.
  bool note(std::int64_t job, std::string_view text) {
    Running& trial = running_.at(job);
    std::int64_t epoch = 0;
    double value = 0;
    const char* end = text.data() + text.size();
    const auto number = std::from_chars(text.data(), end, epoch);
    std::from_chars(number.ptr + 1, end, value);
    if (epoch == 0) {
      trial.result = value;
      return true;
    }
    trial.epoch = epoch;
    trial.told_to_end = tuner_.report(job, epoch, value);
    observer_.on_progress(part_done());
    return !trial.told_to_end;
  }

  void note_end(const JobEnd& end) {
    const Running trial = running_.at(end.job);
    running_.erase(end.job);
    if (end.status != JobStatus::done) {
      tuner_.tell_failed(end.job, end.reason);
    } else if (trial.result || trial.told_to_end) {
      tuner_.tell(end.job, trial.result.value_or(0.0));
    } else {
      return;  // stopped: the journal has it as running, and it is gone on with
    }
    remove_checkpoints(end.job);
    const Study study = tuner_.study();
    observer_.on_trial(study, study.trials[static_cast<std::size_t>(end.job)]);
    observer_.on_progress(part_done());
  }

  void remove_checkpoints(std::int64_t job) const {
    const std::string name = fmt::format("trial-{}-", job);
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints_, ignored)) {
      if (entry.path().filename().string().starts_with(name)) fs::remove(entry.path(), ignored);
    }
  }

  double part_done() const {
    double done = static_cast<double>(tuner_.finished() - finished_before_);
    for (const auto& [job, trial] : running_) {
      done += static_cast<double>(trial.epoch) / static_cast<double>(search_.training.epochs);
    }
    return done / static_cast<double>(search_.search.trials - finished_before_);
  }

  const TrainingSearch& search_;
  const fs::path checkpoints_;
  const training::RunData& data_;
  const std::vector<training::Split> splits_;
  const Metric metric_;
  const int workers_;
  Tuner& tuner_;
  SearchObserver& observer_;
  const std::int64_t finished_before_;
  std::map<std::int64_t, Running> running_;
  const Clock::time_point start_ = Clock::now();
};

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    core::fail(ErrorKind::io, "{}: cannot make the folder: {}", folder.string(), error.message());
  }
  if (!fs::exists(folder / "journal.log") && !fs::is_empty(folder)) {
    core::fail(ErrorKind::usage,
               "{}: there is something in it, but no study (journal.log); expected a new or empty "
               "folder, or that of an earlier evenrow tune",
               folder.string());
  }
}

}  // namespace

Direction direction_of(Metric metric) {
  return metric == Metric::accuracy || metric == Metric::r2 ? Direction::maximize
                                                            : Direction::minimize;
}

SearchResult search_training(const TrainingSearch& search, const fs::path& folder,
                             SearchObserver& observer) {
  check(search.training);
  if (search.folds != 0 && search.folds < 2) {
    core::fail(ErrorKind::usage, "folds is {}, expected at least 2, or 0 for none", search.folds);
  }
  if (search.folds == 0 && search.training.validation == 0.0) {
    core::fail(ErrorKind::usage,
               "validation is 0, and trials are compared by validation data: give it a part, or "
               "ask for folds");
  }
  TrainOptions reading = search.training;
  reading.test = "";
  const training::RunData data = training::read_run_data(reading);
  const Task task = training::resolve_task(data.training, search.training.task);

  SearchResult result{.metric = metric_of(search, task), .folds = search.folds};
  TuneOptions options = search.search;
  options.jobs = options.jobs > 0 ? options.jobs : core::available_threads();
  options.direction = direction_of(result.metric);
  options.journal = folder / "journal.log";
  options.last_step = search.training.epochs;
  options.context = context_of(search, data.fingerprint, result.metric);

  check(search.space, options);
  const std::int64_t folds = search.folds;
  const std::uint64_t seed = search.training.seed;
  std::vector<training::Split> splits =
      folds > 0
          ? training::fold_rows(data.training, folds, seed)
          : std::vector{training::split_rows(data.training, search.training.validation, seed)};
  make_folder(folder);
  // Trials inherit it: it is free only when the last process of a command has gone.
  const io::FolderLock lock(folder, "tuning", kLockPatience);
  Tuner tuner(search.space, options);
  io::write_file_atomically(
      folder / "study.toml",
      (folds > 0 ? fmt::format("# Scored by {} folds, not by validation.\n", folds) : "") +
          to_toml(search.training));
  observer.on_plan(result.metric, tuner.finished(), tuner.recovered());
  std::error_code ignored;  // without the folder there are no checkpoints
  fs::create_directory(folder / kCheckpoints, ignored);
  Trials trials(search, folder, data, std::move(splits), result.metric, options.jobs, tuner,
                observer);
  result.stopped = !trials.run();
  result.study = tuner.study();
  const bool all_ended = tuner.finished() == std::ssize(result.study.trials);
  if (all_ended) fs::remove_all(folder / kCheckpoints, ignored);
  fs::remove(folder / kCheckpoints, ignored);  // when it is empty
  result.refined = tuner.refined();
  result.first_round = tuner.first_round();
  const StudyTrial* best = best_trial(result.study);
  if (best != nullptr) {
    const auto space = std::make_shared<const Space>(search.space);
    result.best = options_of(search.training, TrialParameters(space, best->parameters));
    io::write_file_atomically(folder / "best.toml", to_toml(result.best));
  } else if (!result.stopped && !result.study.trials.empty()) {
    const auto failed =
        std::ranges::find(result.study.trials, TrialState::failed, &StudyTrial::state);
    core::fail(ErrorKind::training, "{}: no trial came to its end, {} of {} failed; the first: {}",
               folder.string(),
               std::ranges::count(result.study.trials, TrialState::failed, &StudyTrial::state),
               result.study.trials.size(),
               failed != result.study.trials.end() ? failed->attributes.at("failure") : "-");
  }
  return result;
}

}  // namespace evenrow::tuning
