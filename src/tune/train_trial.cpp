#include "tune/train_trial.hpp"

#include <algorithm>
#include <numeric>

#include "core/fail.hpp"
#include "train/checkpoint.hpp"
#include "train/session.hpp"

namespace evenrow::tuning {
namespace {

double score_of(const Evaluation& evaluation, Metric metric) {
  switch (metric) {
    case Metric::accuracy:
      return evaluation.accuracy;
    case Metric::loss:
      return evaluation.loss;
    case Metric::rmse:
      return evaluation.rmse;
    case Metric::mae:
      return evaluation.mae;
    case Metric::r2:
      return evaluation.r2;
  }
  return evaluation.loss;
}

// The checkpoint of one network of a trial.
class Checkpoint {
 public:
  Checkpoint(const TrialCheckpoints& all, std::size_t network, TrainOptions options)
      : interval_(all.interval) {
    if (all.path.empty()) return;
    path_ = all.path;
    path_ += fmt::format("-{}.safetensors", network);
    // No file of another trial is gone on with, whatever happened to the journal.
    options.threads = 0;
    context_.data_fingerprint = all.data_fingerprint + "\n" + to_toml(options);
  }

  /// What cannot be read, or is of something else, is passed over: it costs time alone.
  void restore(training::Session& session) const {
    std::error_code error;
    if (path_.empty() || !std::filesystem::exists(path_, error)) return;
    training::SessionState state = session.state();
    try {
      const auto context = training::load_checkpoint(path_, state);
      if (context.data_fingerprint != context_.data_fingerprint) return;
    } catch (const Error&) {
      return;
    }
    session.state() = std::move(state);
  }

  void save_if_due(const training::Session& session) {
    if (Clock::now() - saved_ >= interval_) save(session);
  }

  /// No trial fails because it could not be saved.
  void save(const training::Session& session) {
    if (path_.empty()) return;
    try {
      training::save_checkpoint(session.state(), context_, path_);
    } catch (const Error&) {
      path_.clear();
    }
    saved_ = Clock::now();
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::chrono::duration<double> interval_;
  std::filesystem::path path_{};
  training::CheckpointContext context_{};
  Clock::time_point saved_ = Clock::now();
};

// Stops its session at the end of an epoch, whose score it keeps.
class EpochObserver : public TrainObserver {
 public:
  EpochObserver(Metric metric, const TrialWatch& watch, Checkpoint checkpoint)
      : metric_(metric), watch_(watch), checkpoint_(std::move(checkpoint)) {}

  void on_epoch(const EpochMetrics& metrics) override { end_epoch(metrics); }
  bool stop_requested() override {
    stopping_ = watch_.stop_requested();
    return ended_ || stopping_;
  }

  void restore(training::Session& session) const { checkpoint_.restore(session); }
  void save(const training::Session& session) { checkpoint_.save(session); }

  /// Trains epoch `epoch`, from 1, unless it was restored; false: stopped in it.
  bool run_epoch(training::Session& session, std::int64_t epoch) {
    ended_ = false;
    const std::vector<EpochMetrics>& done = session.state().epochs;
    if (std::ssize(done) > epoch) {
      end_epoch(done[static_cast<std::size_t>(epoch - 1)]);
    } else if (std::ssize(done) == epoch) {
      end_epoch(done.back());
      finished_ = session.finished();
    } else {
      finished_ = session.run(*this, [&] { checkpoint_.save_if_due(session); });
    }
    return !stopping_;
  }
  bool finished() const { return finished_; }
  double score() const { return score_; }

 private:
  void end_epoch(const EpochMetrics& metrics) {
    score_ = score_of(metrics.validation.value(), metric_);
    ended_ = true;
  }

  const Metric metric_;
  const TrialWatch& watch_;
  Checkpoint checkpoint_;
  bool ended_ = false, finished_ = false, stopping_ = false;
  double score_ = 0;
};

}  // namespace

std::optional<double> train_trial(const Dataset& data, const TrainOptions& options,
                                  const std::vector<training::Split>& splits, Metric metric,
                                  const TrialWatch& watch, const TrialCheckpoints& checkpoints) {
  check(options);
  std::vector<training::Session> sessions;
  std::vector<EpochObserver> observers;
  sessions.reserve(splits.size());
  for (const training::Split& split : splits) {
    observers.emplace_back(metric, watch, Checkpoint(checkpoints, sessions.size(), options));
    sessions.emplace_back(data, options, split, nullptr);
    observers.back().restore(sessions.back());
  }
  const auto networks = static_cast<double>(splits.size());
  bool finished = false;
  for (std::int64_t epoch = 1; !finished; ++epoch) {
    finished = true;
    double sum = 0;
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      if (!observers[i].finished() && !observers[i].run_epoch(sessions[i], epoch)) {
        for (std::size_t k = 0; k < sessions.size(); ++k) observers[k].save(sessions[k]);
        return std::nullopt;
      }
      finished = finished && observers[i].finished();
      sum += observers[i].score();
    }
    if (!watch.on_epoch(epoch, sum / networks) && !finished) return std::nullopt;
  }
  double sum = 0;
  for (training::Session& session : sessions) {
    sum += score_of(*session.finish(false).validation, metric);
  }
  return sum / networks;
}

}  // namespace evenrow::tuning
