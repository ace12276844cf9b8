// evenrow tune: the search for the best options of training.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "command.hpp"
#include "core/fail.hpp"
#include "help.hpp"
#include "io/read_file.hpp"
#include "nn/names.hpp"
#include "output.hpp"
#include "report/numbers.hpp"
#include "report/terminal.hpp"
#include "signals.hpp"
#include "train/option_table.hpp"
#include "train/run_folder.hpp"
#include "train_options.hpp"
#include "tune/names.hpp"
#include "tune/train_search.hpp"
#include "tune/train_space.hpp"
#include "tune_result.hpp"

namespace evenrow::cli {
namespace {

using tuning::Metric;

struct TuneArguments {
  explicit TuneArguments(CLI::App& parser) : given(parser, {"norm", "observe"}) {}

  std::string data, config, out, space, norms, metric, search = "tpe", pruner = "asha";
  std::int64_t trials = 64, lag = 4, eta = 3, first_round = 0, folds = 0;
  double timeout = 0;
  int jobs = 0;
  bool retrain = false, refine = false;
  GivenTrainOptions given;
};

// The space of a file, or the default one, without what the command line fixes.
Space space_from(const TuneArguments& arguments, TrainOptions& training) {
  const bool own = !arguments.space.empty();
  std::string text = tuning::kDefaultSpace;
  if (own) {
    const auto bytes = io::read_file(arguments.space);
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  const std::string source = own ? arguments.space : "default space";
  std::set<std::string> fixed;
  if (!arguments.norms.empty()) fixed.insert("norm");
  training::visit_options(training, [&](const char* key, const auto&, const char*) {
    if (arguments.given.gave(key)) fixed.insert(key);
  });
  Space space = tuning::training_space(text, source, fixed);
  if (arguments.norms.empty()) return space;

  // --norm: one is fixed, several are searched.
  Parameter norms{.name = "norm", .type = ParameterType::categorical};
  for (const Norm norm : parse_enums<Norm>("--norm", arguments.norms)) {
    norms.choices.emplace_back(core::name_of(norm));
    training.norm = norm;
  }
  const bool several = norms.choices.size() > 1;
  if (several) space.insert(space.begin(), norms);
  std::erase_if(space, [&](const Parameter& p) {
    return !several && training.norm == Norm::none && p.name.starts_with("norm_");
  });
  for (Parameter& p : space) {
    if (several && p.name.starts_with("norm_")) p.condition = Condition{"norm", {"batch"}};
  }
  return space;
}

tuning::TrainingSearch search_from(const TuneArguments& arguments) {
  if (arguments.out.empty()) {
    core::fail(ErrorKind::usage,
               "--out is missing: the folder for the study, such as --out runs/study");
  }
  tuning::TrainingSearch search;
  search.training = gathered_options(arguments.data, arguments.config, arguments.given);
  search.space = space_from(arguments, search.training);
  if (!arguments.metric.empty()) search.metric = parse_enum<Metric>("--metric", arguments.metric);
  search.search = {.trials = arguments.trials,
                   .search = parse_enum<Search>("--search", arguments.search),
                   .pruner = parse_enum<Pruner>("--pruner", arguments.pruner),
                   .seed = search.training.seed,
                   .jobs = arguments.jobs,
                   .lag = arguments.lag,
                   .eta = arguments.eta,
                   .refine = arguments.refine,
                   .first_round = arguments.first_round};
  if (arguments.first_round != 0 && !arguments.refine) {
    core::fail(ErrorKind::usage, "--first-round is of --refine, which is missing");
  }
  if (arguments.jobs < 0)
    core::fail(ErrorKind::usage, "--jobs is {}, expected at least 0", arguments.jobs);
  if (!(arguments.timeout >= 0)) {
    core::fail(ErrorKind::usage, "--timeout is {}, expected seconds, or 0", arguments.timeout);
  }
  if (arguments.folds != 0 && arguments.given.gave("validation")) {
    core::fail(ErrorKind::usage,
               "--folds and --validation are given: folds take every part of the training data in "
               "turn; leave one of them out");
  }
  search.folds = arguments.folds;
  search.timeout = arguments.timeout;
  return search;
}

// A line for every trial that ends; on a terminal also how far everything is.
class TuneProgress : public tuning::SearchObserver {
 public:
  TuneProgress(const tuning::TrainingSearch& search, std::string folder)
      : search_(search), folder_(std::move(folder)) {}

  void on_plan(Metric metric, std::int64_t finished, bool recovered) override {
    catch_stop_signals();
    metric_ = metric;
    finished_ = finished;
    if (recovered) {
      status_.print(fmt::format(
          "{}/journal.log ended within a line, which was removed; its trial is run again\n",
          folder_));
    }
    std::string text = fmt::format("tuning in {}: {} trials by {}", folder_, search_.search.trials,
                                   core::name_of(metric));
    if (finished > 0) text += fmt::format(", {} of them finished before", finished);
    status_.print(text + "\n");
  }

  void on_trial(const Study& study, const StudyTrial& trial) override {
    ++finished_;
    std::string note = "diverged or crashed";
    if (trial.state != TrialState::failed) {
      const StudyTrial* best = best_trial(study);
      const std::int64_t epochs =
          trial.intermediate.empty() ? 0 : trial.intermediate.rbegin()->first;
      note = fmt::format("after {} {}{}", epochs, epochs == 1 ? "epoch" : "epochs",
                         best != nullptr ? ", best so far " + tuned_value(*best, metric_) : "");
    }
    status_.print(fmt::format("{:>6}/{}  trial {:<5} {:<8} {:>9}  {}\n", finished_,
                              search_.search.trials, trial.number, core::name_of(trial.state),
                              tuned_value(trial, metric_), note));
  }

  void on_progress(double part) override {
    if (!terminal_.interactive || part <= 0) return;
    const double elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    status_.show(report::progress_line(
        fmt::format("trial {}/{}", finished_, search_.search.trials), part,
        fmt::format("{} left", report::duration(elapsed / part * (1 - part))), terminal_.width));
  }

  bool stop_requested() override { return stop_signal_seen(); }

  void finish() { status_.clear(); }

 private:
  const tuning::TrainingSearch& search_;
  const std::string folder_;
  Metric metric_ = Metric::accuracy;
  std::int64_t finished_ = 0;
  const report::Terminal terminal_ = report::terminal(STDERR_FILENO);
  report::StatusLine status_{STDERR_FILENO, terminal_};
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The best options on all training data.
Exit retrain(const tuning::SearchResult& result, const std::string& folder) {
  const std::filesystem::path run =
      std::filesystem::path(folder) / fmt::format("best-{}", best_trial(result.study)->number);
  if (std::filesystem::exists(run / "result.json")) return Exit::success;
  TrainOptions options = result.best;
  options.validation = 0.0;
  options.early_stop = 0;
  const bool begun = std::filesystem::exists(run / "config.toml");
  write_note(fmt::format("training the best on all training data, in {}", run.string()));
  struct Observer : TrainObserver {
    bool stop_requested() override { return stop_signal_seen(); }
  } observer;
  const TrainResult trained =
      begun ? resume_run(run, &observer) : train_run(options, run, &observer);
  if (trained.stopped) return Exit::interrupted;
  write_result(fmt::format("model: {}\n", (run / "model.safetensors").string()));
  return Exit::success;
}

Exit run(const TuneArguments& arguments) {
  const tuning::TrainingSearch search = search_from(arguments);
  // What the model is measured on at the end is wrong before the search already.
  if (arguments.retrain && !search.training.test.empty()) {
    (void)training::read_run_data(search.training);
  }
  TuneProgress progress(search, arguments.out);
  const tuning::SearchResult result = tuning::search_training(search, arguments.out, progress);
  progress.finish();
  if (!result.stopped && best_trial(result.study) == nullptr) {
    core::fail(ErrorKind::training, "no trial was started within {} seconds", arguments.timeout);
  }
  Exit exit = result.stopped ? Exit::interrupted : Exit::success;
  if (!result.stopped) {
    write_result("\n" + tuned_text(result, arguments.out));
    if (arguments.retrain) exit = retrain(result, arguments.out);
  }
  if (exit == Exit::interrupted) write_note("stopped; the same command goes on from here");
  return exit;
}

}  // namespace

Command add_tune(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "tune", "tune DATA [OPTION]... --out STUDY",
      "Searches for the best options of training.\n\n"
      "Each trial trains with other options and is scored by the validation data, the same for "
      "all; test data is not looked at. The search learns from trials that have ended (tpe), and "
      "hopeless trials are stopped early (asha). Without --space, layers, norm, optimizer, rates "
      "and mini-batches are searched; what the command line gives is fixed. The same seed gives "
      "the same trials, for any number of jobs.\n\n"
      "STUDY gets the study as an Optuna journal (journal.log) and the best options, ready for "
      "evenrow train --config (best.toml). Ctrl-C stops; the same command goes on, also after a "
      "crash, and runs only what is missing. More trials may be added in the same way.\n\n"
      "The other options are those of evenrow train.",
      "evenrow tune fashion-mnist --epochs 9 --trials 64 --out runs/study\n"
      "evenrow tune flowers.csv --norm batch --folds 5 --refine --out runs/flowers\n"
      "evenrow train --config runs/study/best.toml --out runs/best");
  auto arguments = std::make_shared<TuneArguments>(*parser);
  add_data_and_config(*parser, arguments->data, arguments->config);
  const auto option = [&](const char* name, auto& value, const std::string& type,
                          const char* help) {
    return parser->add_option(name, value, help)->type_name(type)->group("Search");
  };
  option("--out", arguments->out, "STUDY", "Folder of the study; made, or gone on with");
  option("--trials", arguments->trials, "N",
         "Trials, those of earlier calls included (default: 64)");
  option("--timeout", arguments->timeout, "SECONDS",
         "Start no trial after so long; 0: no limit (default: 0)");
  option("--jobs", arguments->jobs, "N",
         "Trials at a time, at most --lag; 0: one a processor (default: 0)");
  option("--search", arguments->search, core::joined_names<Search>("|"),
         "How options are chosen (default: tpe)");
  option("--pruner", arguments->pruner, core::joined_names<Pruner>("|"),
         "Which trials are stopped early (default: asha)");
  option("--space", arguments->space, "FILE",
         "What is searched, instead of the default space: a TOML file with a table an option");
  option("--norm", arguments->norms, "NORM,...",
         "Normalizations to choose from; a single one is fixed (default: batch,none)");
  option("--metric", arguments->metric, core::joined_names<Metric>("|"),
         "What is best, of the validation data (default: accuracy, or rmse for numbers)");
  option("--folds", arguments->folds, "K",
         "Cross-validation: each trial trains K networks, without another Kth of the training data "
         "each, and its score is the mean over what they did not see; 0: one network, and "
         "--validation (default: 0)");
  option("--lag", arguments->lag, "N",
         "A trial knows those that are at least so many before it; it decides the trials, so "
         "that --jobs need not (default: 4)");
  option("--eta", arguments->eta, "N",
         "asha: the best 1/N go on, at epochs 1, N, N^2, ... (default: 3)");
  parser
      ->add_flag(
          "--refine", arguments->refine,
          "Coarse to fine: once the first round has ended, search what its best trials leave")
      ->group("Search");
  option("--first-round", arguments->first_round, "N",
         "Trials of the first round of --refine; 0: half of all, or those that STUDY has, if they "
         "are more (default: 0)");
  parser
      ->add_flag("--retrain", arguments->retrain,
                 "At the end, train the best on all training data, in STUDY/best-TRIAL")
      ->group("Search");
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
