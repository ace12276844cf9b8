#include "tune/train_trial.hpp"

#include <algorithm>
#include <numeric>

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

// Stops its session at the end of an epoch, whose score it keeps.
class EpochObserver : public TrainObserver {
 public:
  EpochObserver(Metric metric, const TrialWatch& watch) : metric_(metric), watch_(watch) {}

  void on_epoch(const EpochMetrics& metrics) override {
    score_ = score_of(metrics.validation.value(), metric_);
    ended_ = true;
  }
  bool stop_requested() override { return ended_ || watch_.stop_requested(); }

  /// Trains the next epoch; false: stopped within it.
  bool next_epoch(training::Session& session) {
    ended_ = false;
    finished_ = session.run(*this, [] {});
    return ended_;
  }
  bool finished() const { return finished_; }
  double score() const { return score_; }

 private:
  const Metric metric_;
  const TrialWatch& watch_;
  bool ended_ = false, finished_ = false;
  double score_ = 0;
};

}  // namespace

std::optional<double> train_trial(const Dataset& data, const TrainOptions& options,
                                  const std::vector<training::Split>& splits, Metric metric,
                                  const TrialWatch& watch) {
  check(options);
  std::vector<training::Session> sessions;
  sessions.reserve(splits.size());
  for (const training::Split& split : splits) sessions.emplace_back(data, options, split, nullptr);
  std::vector<EpochObserver> observers(splits.size(), EpochObserver(metric, watch));
  const auto networks = static_cast<double>(splits.size());
  bool finished = false;
  for (std::int64_t epoch = 1; !finished; ++epoch) {
    finished = true;
    double sum = 0;
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      if (!observers[i].finished() && !observers[i].next_epoch(sessions[i])) return std::nullopt;
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
