// Search for the best parameters of anything: one function, and ask and tell below it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "evenrow/study.hpp"

namespace evenrow {

/// random: independent and uniform on each parameter's scale. sobol: a low-discrepancy sequence
/// (Joe and Kuo, 2008) of up to 21 dimensions, the further ones random, with Owen scrambling by
/// hashing (Burley, 2020). tpe: the tree-structured Parzen estimator (Bergstra et al., 2011 and
/// 2013), of all parameters together, after ten points of sobol.
enum class Search { random, sobol, tpe };

/// asha: asynchronous successive halving (Li et al.: "A system for massively parallel
/// hyperparameter tuning", MLSys 2020), in the variant that stops trials instead of promoting them:
/// a trial goes on at steps 1, eta, eta^2, ... while it is in the best 1/eta of those that came to
/// that step before.
enum class Pruner { none, asha };

struct TuneOptions {
  std::int64_t trials = 64;
  Search search = Search::tpe;
  Pruner pruner = Pruner::none;
  Direction direction = Direction::minimize;
  std::uint64_t seed = 1;
  int jobs = 1;  ///< Trials at a time; see lag.
  /// What makes a search repeatable: parameters and pruning of trial n depend on trials up to
  /// n - lag alone, and it starts once they have ended, so the same seed gives the same trials for
  /// any number of jobs. At most `lag` trials run at a time, unless nothing depends on others
  /// (search random or sobol, pruner none).
  std::int64_t lag = 4;
  std::int64_t eta = 3;         ///< asha.
  std::int64_t first_rung = 1;  ///< asha: the first step at which a trial may be stopped.
  /// asha: the step at which a trial has come to its end, and is not stopped. 0: unknown, and one
  /// that is stopped there counts as pruned.
  std::int64_t last_step = 0;
  /// Coarse to fine: once the first round of trials has ended, the others search refined_space() of
  /// it. A journal that was made without may be gone on with refined, not the other way round.
  bool refine = false;
  /// Trials of the first round. 0: half of all, or those that the journal has, if they are more;
  /// once it is settled, the journal keeps it.
  std::int64_t first_round = 0;
  /// An Optuna journal file, made or gone on with; empty: none.
  std::filesystem::path journal{};
  std::string study = "evenrow";  ///< Its name in the journal.
  /// Anything else that decides the trials, a "key = value" a line. Going on with a journal of
  /// another space, other options or another context is refused.
  std::string context{};
};

/// Throws (usage) and names what is wrong: a space or options that are none, such as an empty range
/// or a log scale at zero.
void check(const Space& space, const TuneOptions& options);

/// The part of study.space in which the best tenth of the trials lies, at least three of them:
/// choices that none of them uses are gone, ranges end as far beyond the outermost of their values,
/// on the parameter's scale, as these lie apart on average (and half of 1/(n + 1) of the scale at
/// least, for n values). What would keep more than 0.9 of its scale, and what none of them has,
/// stays whole.
Space refined_space(const Study& study);

/// refined_space() of the first round, which the second round of a search searches; empty: the
/// first round has not ended, or there is one round alone.
std::optional<Space> second_round_space(const Study& study);

/// Parameters of one trial.
class TrialParameters {
 public:
  TrialParameters() = default;
  TrialParameters(std::shared_ptr<const Space> space, std::vector<std::optional<double>> values)
      : space_(std::move(space)), values_(std::move(values)) {}

  /// Whether the parameter counts in this trial. Errors (usage), here and below: no such
  /// parameter, of another kind, or one that does not count.
  bool has(const std::string& name) const;
  double real(const std::string& name) const;
  std::int64_t integer(const std::string& name) const;
  const std::string& choice(const std::string& name) const;

  const Space& space() const { return *space_; }
  const std::vector<std::optional<double>>& values() const { return values_; }

 private:
  double value(const std::string& name, ParameterType type) const;

  std::shared_ptr<const Space> space_;
  std::vector<std::optional<double>> values_;
};

/// Ask and tell: for a program that runs its trials itself. Not thread-safe: one thread at a time.
/// Errors of all members: (io) the journal cannot be written.
class Tuner {
 public:
  struct Trial {
    std::int64_t number = 0;  ///< From 0; the same for the same seed.
    TrialParameters parameters;
  };
  /// trial: start it. wait: nothing before another trial has ended. end: all trials were given out.
  struct Answer {
    enum class Kind { trial, wait, end } kind = Kind::end;
    Trial trial{};
  };

  /// Goes on with the journal if there is one: finished trials stay, those that were running are
  /// given out again, to report from their first step on or from where a program of its own kept
  /// them; what the journal has of it is not written twice. Errors: see check(); (data) a journal
  /// of another study, or a malformed line, with its number.
  Tuner(Space space, TuneOptions options);
  ~Tuner();
  Tuner(Tuner&&) noexcept;
  Tuner& operator=(Tuner&&) noexcept;

  Answer ask();
  /// An intermediate value, by increasing steps from 1. True: end the trial now, it is pruned (or
  /// diverged, when `value` is not finite).
  bool report(std::int64_t number, std::int64_t step, double value);
  /// The end of a trial. A trial that report() told to end is recorded as that; a value that is not
  /// finite makes it failed.
  void tell(std::int64_t number, double value);
  void tell_failed(std::int64_t number, const std::string& reason);

  /// As read_study would give it, but for the conditions, which are here.
  Study study() const;
  /// The space of the second round, once the first one has ended; empty: not yet, or no refinement.
  std::optional<Space> refined() const;
  std::int64_t first_round() const;  ///< Trials of the first round; 0: no refinement.
  std::int64_t finished() const;     ///< Trials, of those options.trials.
  bool recovered() const;            ///< The journal ended within a line, which was removed.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What an objective sees of its trial.
class RunningTrial : public TrialParameters {
 public:
  RunningTrial(Tuner::Trial trial, std::function<bool(std::int64_t, double)> report)
      : TrialParameters(std::move(trial.parameters)),
        number_(trial.number),
        report_(std::move(report)) {}

  std::int64_t number() const { return number_; }
  /// Tuner::report: true: return now, with any value.
  bool report(std::int64_t step, double value) { return report_(step, value); }

 private:
  std::int64_t number_;
  std::function<bool(std::int64_t, double)> report_;
};

using Objective = std::function<double(RunningTrial&)>;

/// The best parameters of `objective`, which is called from options.jobs threads, and must be a
/// function of its parameters for the search to be repeatable. An exception that it throws makes
/// its trial failed, with the reason as attribute "failure"; so does a value that is not finite.
/// `stop_requested` is asked before each trial. Errors: see Tuner.
Study tune(const Space& space, const Objective& objective, const TuneOptions& options = {},
           const std::function<bool()>& stop_requested = {});

}  // namespace evenrow
