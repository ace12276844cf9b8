// tune(): trials by threads of this process, on top of ask and tell.
#include <condition_variable>
#include <exception>
#include <mutex>

#include "core/threads.hpp"
#include "evenrow/tune.hpp"

namespace evenrow {
namespace {

// All that the threads share is behind one mutex; objectives run outside of it.
class Trials {
 public:
  Trials(Tuner& tuner, const Objective& objective, const std::function<bool()>& stop_requested)
      : tuner_(tuner), objective_(objective), stop_requested_(stop_requested) {}

  // Runs trials until there are no more.
  void work() {
    try {
      while (const std::optional<Tuner::Trial> trial = next()) run(*trial);
    } catch (...) {  // a journal that cannot be written: the others stop too
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      ended_.notify_all();
      throw;
    }
  }

 private:
  std::optional<Tuner::Trial> next() {
    std::unique_lock lock(mutex_);
    while (true) {
      stopped_ = stopped_ || (stop_requested_ && stop_requested_());
      if (stopped_) return std::nullopt;
      Tuner::Answer answer = tuner_.ask();
      if (answer.kind == Tuner::Answer::Kind::trial) return std::move(answer.trial);
      if (answer.kind == Tuner::Answer::Kind::end) return std::nullopt;
      ended_.wait(lock);
    }
  }

  void run(const Tuner::Trial& trial) {
    RunningTrial running(trial, [&](std::int64_t step, double value) {
      const std::lock_guard lock(mutex_);
      return tuner_.report(trial.number, step, value);
    });
    std::optional<double> value;
    std::string failure;
    try {
      value = objective_(running);
    } catch (const std::exception& error) {
      failure = error.what();
    } catch (...) {
      failure = "an exception of unknown type";
    }
    const std::lock_guard lock(mutex_);
    if (value) {
      tuner_.tell(trial.number, *value);
    } else {
      tuner_.tell_failed(trial.number, failure);
    }
    ended_.notify_all();
  }

  Tuner& tuner_;
  const Objective& objective_;
  const std::function<bool()>& stop_requested_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool stopped_ = false;
};

}  // namespace

Study tune(const Space& space, const Objective& objective, const TuneOptions& options,
           const std::function<bool()>& stop_requested) {
  Tuner tuner(space, options);
  Trials trials(tuner, objective, stop_requested);
  core::run_side_by_side(options.jobs, [&] { trials.work(); });
  return tuner.study();
}

}  // namespace evenrow
