// Studies: what was searched, and every trial of it, read from an Optuna journal file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace evenrow {

enum class ParameterType { real, integer, categorical };

/// How equal steps of a search are equal steps of a value: of x, of log x (factors), or of
/// log (1 - x), for decays such as beta2 that come close to 1.
enum class Scale { linear, log, one_minus_log };

/// A parameter counts only where an earlier one has one of these choices (a categorical one), or
/// is at least so much (a number).
struct Condition {
  std::string parameter;
  std::vector<std::string> choices{};
  double at_least = 0;
};

/// What is searched: a number in [low, high], both included, or one of some choices.
struct Parameter {
  std::string name;
  ParameterType type = ParameterType::real;
  double low = 0, high = 1;
  Scale scale = Scale::linear;  ///< one_minus_log: real alone.
  std::vector<std::string> choices{};
  std::optional<Condition> condition{};
};

/// In an order in which conditions look back only.
using Space = std::vector<Parameter>;

enum class Direction { minimize, maximize };

/// In Optuna's order. waiting: enqueued by Optuna, not begun.
enum class TrialState { running, complete, pruned, failed, waiting };

struct StudyTrial {
  std::int64_t number = 0;  ///< From 0, in the order of their beginning.
  TrialState state = TrialState::running;
  /// Of a complete trial its result; of a pruned one what it reported last, if anything.
  std::optional<double> value{};
  /// As Study::space; a categorical parameter has the index of its choice. Empty: it did not count.
  std::vector<std::optional<double>> parameters{};
  /// What it reported, by step (an epoch, a fold); NaN where it diverged.
  std::map<std::int64_t, double> intermediate{};
  std::map<std::string, std::string> attributes{};  ///< User attributes, as JSON.
  std::optional<double> seconds{};                  ///< From its beginning to its end.
  /// Which trial of evenrow's search it is, from 0: its number, where nobody else adds trials.
  /// Empty: evenrow did not make it.
  std::optional<std::int64_t> place{};
};

struct Study {
  std::string name{};
  Direction direction = Direction::minimize;
  /// All parameters of all trials, in the order of their appearance (of one trial's by name, where
  /// evenrow wrote it). A journal holds no conditions; one_minus_log where evenrow made the study.
  Space space{};
  std::vector<StudyTrial> trials{};
  std::map<std::string, std::string> attributes{};  ///< User attributes, as JSON.
  bool truncated = false;  ///< The journal ends within a line, which was left out.
  /// Where evenrow refined its search, how many of its trials came before; 0: there is one round.
  std::int64_t first_round = 0;
};

/// Reads a study that evenrow or Optuna wrote. `path`: a journal file, or the folder of `evenrow
/// tune`, whose journal is journal.log. `name`: which study, where the file has several. Errors:
/// (io) no such file; (data) a line that is not of a journal, with its number; no study in it, or
/// not this one; a study with several objectives.
Study read_study(const std::filesystem::path& path, const std::string& name = {});

/// Indices into study.trials from the best to the worst: complete ones by value, then pruned ones,
/// the longer first and by value, then failed ones. Running and waiting ones are left out.
std::vector<std::size_t> ranking(const Study& study);

/// The best complete trial (the first of equals); nullptr: none.
const StudyTrial* best_trial(const Study& study);

/// A value of a parameter as text: "0.003", "128", "batch"; four digits of a number, or three of
/// 1 - x where x is searched in one_minus_log: "0.999868".
std::string value_text(const Parameter& parameter, double value);

/// How much each parameter had to do with being among the best tenth of the trials: PED-ANOVA
/// (Watanabe, Bansal and Hutter: "PED-ANOVA: efficiently quantifying hyperparameter importance in
/// arbitrary subspaces", IJCAI 2023), the Pearson divergence of the density of the best tenth from
/// that of all, both by Parzen estimators. One number for each of study.space, which sum to 1;
/// empty with fewer than 10 ranked trials, or when nothing distinguishes the best.
std::vector<double> parameter_importance(const Study& study);

}  // namespace evenrow
