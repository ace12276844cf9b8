// evenrow train: data to model, with a run folder that can be resumed and repeated.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "command.hpp"
#include "core/fail.hpp"
#include "describe.hpp"
#include "evenrow/train.hpp"
#include "help.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "report/numbers.hpp"
#include "tensorboard.hpp"
#include "train_options.hpp"

namespace evenrow::cli {
namespace {

namespace fs = std::filesystem;

struct TrainArguments {
  explicit TrainArguments(CLI::App& parser) : given(parser) {}

  std::string data, config, out, resume, tensorboard;
  GivenTrainOptions given;
};

// The epoch (from 1) whose model early stopping kept.
std::int64_t best_epoch(const TrainResult& result) {
  double best = std::numeric_limits<double>::infinity();
  std::int64_t epoch = 0;
  for (const EpochMetrics& metrics : result.epochs) {
    if (metrics.validation && metrics.validation->loss < best) {
      best = metrics.validation->loss;
      epoch = metrics.epoch + 1;
    }
  }
  return epoch;
}

// Runs `training`, which takes an observer, and shows how it goes and ends.
template <class Training>
Exit run(const TrainArguments& arguments, const TrainOptions& options, const fs::path& folder,
         Training&& training) {
  TrainProgress progress(options, folder);
  std::optional<TensorBoardLog> log;
  if (!arguments.tensorboard.empty()) {
    log.emplace(arguments.tensorboard, !arguments.resume.empty(), options, progress);
  }
  const TrainResult result =
      training(log ? static_cast<TrainObserver*>(&*log) : static_cast<TrainObserver*>(&progress));
  if (result.stopped) {
    const std::string more =
        log ? fmt::format(" --tensorboard {}", arguments.tensorboard) : std::string();
    write_note(fmt::format("stopped; this goes on from here: evenrow train --resume {}{}",
                           folder.string(), more));
    return Exit::interrupted;
  }
  progress.finish();
  const auto epochs = static_cast<std::int64_t>(result.epochs.size());
  std::string text = evaluation_table(
      {{"training", &result.training}, {"validation", &result.validation}, {"test", &result.test}},
      result.model.task);
  text += fmt::format("\n{} epochs in {}", epochs, report::duration(result.seconds));
  if (options.early_stop > 0) {
    text += fmt::format("{}; the model is that of epoch {}",
                        epochs < options.epochs ? ", stopped early" : "", best_epoch(result));
  }
  if (result.skipped_steps > 0) {
    text += fmt::format("; {} steps were skipped, their loss or gradient was not finite",
                        result.skipped_steps);
  }
  if (result.observe_seconds > 0) {
    text += fmt::format("\nobserving took {} of the steps' time",
                        report::percent(result.observe_seconds / result.step_seconds));
  }
  text += fmt::format("\nrun:   {}\nmodel: {}\n", folder.string(),
                      (folder / "model.safetensors").string());
  write_result(text);
  return Exit::success;
}

Exit resume(const TrainArguments& arguments) {
  std::string refused = arguments.given.first_given_but_threads();
  if (!arguments.config.empty()) refused = "--config";
  if (!arguments.out.empty()) refused = "--out";
  if (!arguments.data.empty()) refused = fmt::format("DATA ({})", arguments.data);
  if (!refused.empty()) {
    core::fail(ErrorKind::usage,
               "--resume {} goes on with the run's own options; remove {}, only --threads and "
               "--tensorboard may be given beside it",
               arguments.resume, refused);
  }
  const fs::path folder = arguments.resume;
  if (!fs::exists(folder / "config.toml")) {
    core::fail(ErrorKind::io,
               "--resume {}: there is no run: a run folder has a config.toml; expected the folder "
               "that an earlier evenrow train had as --out",
               arguments.resume);
  }
  TrainOptions options = read_options(folder / "config.toml");
  arguments.given.apply_to(options);
  return run(arguments, options, folder, [&](TrainObserver* observer) {
    return resume_run(folder, observer, options.threads);
  });
}

Exit train_new(const TrainArguments& arguments) {
  const TrainOptions options = gathered_options(arguments.data, arguments.config, arguments.given);
  if (arguments.out.empty()) {
    core::fail(ErrorKind::usage,
               "--out is missing: the folder to be made for the run, such as --out runs/first");
  }
  const fs::path folder = arguments.out;
  return run(arguments, options, folder,
             [&](TrainObserver* observer) { return train_run(options, folder, observer); });
}

}  // namespace

Command add_train(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "train",
      "train DATA [OPTION]... --out RUN\n"
      "train --config FILE.toml [OPTION]... --out RUN\n"
      "train --resume RUN",
      "Trains a network and leaves a run folder.\n\n"
      "The folder has the resolved options (config.toml), the metrics of every step and epoch "
      "(steps.jsonl, epochs.jsonl), the final evaluation (result.json) and the model "
      "(model.safetensors). Equal options on equal data give equal models, bit for bit, on any "
      "number of threads.\n\n"
      "Ctrl-C or SIGTERM stops a run after the current step; --resume goes on with it, also after "
      "a crash, and ends with the model that an uninterrupted run gives. A second Ctrl-C ends the "
      "process at once.\n\n"
      "Every option is also a key of a TOML file (--config), with '_' for '-': norm_placement = "
      "\"after\". What the command line says goes before the file.",
      "evenrow train flowers.csv --target species --hidden 64,32 --out runs/flowers\n"
      "evenrow train fashion-mnist --epochs 10 --optimizer adamw --out runs/fashion\n"
      "evenrow train --config runs/fashion/config.toml --seed 2 --out runs/again\n"
      "evenrow train --resume runs/again");
  const auto run_options = [&](const char* name, std::string& text, const char* value,
                               const char* help) {
    parser->add_option(name, text, help)->type_name(value)->group("Run");
  };
  auto arguments = std::make_shared<TrainArguments>(*parser);
  run_options("--out", arguments->out, "RUN", "Folder for the run; must not exist or be empty.");
  add_data_and_config(*parser, arguments->data, arguments->config);
  run_options("--resume", arguments->resume, "RUN", "Go on with a run that was stopped or killed.");
  run_options("--tensorboard", arguments->tensorboard, "DIR",
              "Also write event files for TensorBoard into DIR: curves, and histograms with "
              "--observe.");
  return {parser, [arguments] {
            return arguments->resume.empty() ? train_new(*arguments) : resume(*arguments);
          }};
}

}  // namespace evenrow::cli
