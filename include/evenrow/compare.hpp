// The same training with and without batch norm over a range of one option: how sensitive it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evenrow/train.hpp"

namespace evenrow {

/// The option that a comparison varies. depth: the number of hidden blocks, all of the first one's
/// width.
enum class Vary { learning_rate, depth, batch_size, init_scale, input_scale, seed };

struct CompareOptions {
  TrainOptions training{};  ///< Of all runs; what is varied, the norm and the seed replace its own.
  Vary vary = Vary::learning_rate;
  std::vector<double> values{};  ///< Ascending, without doubles; empty: default_values().
  std::vector<Norm> norms{Norm::none, Norm::batch};
  std::int64_t seeds = 3;  ///< Runs of each norm and value: training.seed and those after it. With
                           ///< Vary::seed the values are the seeds, and this is 1.
  int jobs = 0;            ///< Runs at a time, each a process; 0: one a processor.
};

/// Learning rates from a hundredth to a hundred times the optimizer's default, scales of the same
/// factors, two values a decade; depths 1 to 16; mini-batches of 8 to 512; seeds 1 to 10.
std::vector<double> default_values(const CompareOptions& options);

/// Throws (usage) when one of the runs could not be made, or there is no validation data to score
/// by.
void check(const CompareOptions& options);

struct ComparedRun {
  Norm norm = Norm::none;
  double value = 0;
  std::uint64_t seed = 0;
  /// Of the validation data, and of the training data: accuracy, or R2 for regression. Empty when
  /// training diverged.
  std::optional<double> score{}, training_score{};
  double seconds = 0;    ///< Wall time of training.
  std::string folder{};  ///< Below the comparison's.

  bool diverged() const { return !score; }
};

/// Where the score of a norm, averaged over the seeds, is at most kUsableMargin below
/// `best_of_all`. Between two values it is interpolated linearly, along the logarithm of the value,
/// or along the value for depths; the range is the connected one around the norm's best value. A
/// diverged run counts as 0, and so does an R2 below it.
struct UsableRange {
  Norm norm = Norm::none;
  double best = 0;  ///< The norm's best average score.
  /// Ends of the range; empty when not even `best` is good enough.
  std::optional<double> low{}, high{};
  bool open_low = false, open_high = false;  ///< It reaches the end of what was tried.
  /// Its length, see unit_of(); with Vary::seed the number of seeds that are good enough.
  double size = 0;
  /// Percentile bootstrap interval of `size`, 95 %, from 1000 draws of seeds (Efron and Tibshirani,
  /// 1993, chapter 13); the draws are the same for all norms and values.
  double interval_low = 0, interval_high = 0;
};

/// Two percentage points of accuracy; for regression, of explained variance (R2).
inline constexpr double kUsableMargin = 0.02;

/// "decades" (factors of ten), "doublings" for mini-batches, "blocks" for depths, "seeds".
const char* unit_of(Vary vary);

struct Comparison {
  Vary vary = Vary::learning_rate;
  Task task = Task::classification;
  std::vector<double> values{};
  std::vector<Norm> norms{};
  std::vector<std::uint64_t> seeds{};  ///< Empty with Vary::seed.
  std::vector<ComparedRun> runs{};     ///< By norm, value and seed, in this order.
  double best_of_all = 0;              ///< The best of all average scores.
  std::vector<UsableRange> usable{};   ///< One a norm.
  bool stopped = false;  ///< The observer said so: only `values`, `norms` and `seeds` are filled.
};

/// Best scores and usable ranges of the runs, which must be complete: one for every norm, value and
/// seed. Deterministic. compare() has done it.
void find_usable_ranges(Comparison& comparison);

/// Told of the progress of a comparison, in the calling thread.
class CompareObserver {
 public:
  virtual ~CompareObserver() = default;
  /// `finished` of `total` runs were there already.
  virtual void on_plan(std::int64_t /*total*/, std::int64_t /*finished*/) {}
  /// A run ended; `part` of all the work of this call is done.
  virtual void on_run(const ComparedRun&, double /*part*/) {}
  /// A run has trained an epoch more.
  virtual void on_progress(double /*part*/) {}
  /// Asked about ten times a second: true stops all runs, with their state saved.
  virtual bool stop_requested() { return false; }
};

/// Trains what options.training.data names once for every norm, value and seed, several runs at a
/// time in processes of their own, and leaves in `folder`:
///   comparison.toml   the options that all runs share
///   runs/             a run folder each (train_run), "batch-0.1-1": norm, value, seed; a run that
///                     diverged has a diverged.txt instead of a model
///   compare.json      the result, once all runs have ended
/// Called again for the same folder, it keeps what is finished, goes on with what is not, and adds
/// what values, norms or seeds ask for beyond. Errors: those of train_run; (usage) a folder with
/// something else in it, or with runs of other options; (io) processes that were killed, named with
/// the signal: the others are kept.
Comparison compare(const CompareOptions& options, const std::filesystem::path& folder,
                   CompareObserver* observer = nullptr);

}  // namespace evenrow
