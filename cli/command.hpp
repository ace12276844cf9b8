// The verbs of the command line: one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>

namespace evenrow::cli {

/// Exit codes; 0 is success.
enum class Exit {
  success = 0,
  usage = 2,         ///< An argument, an option, a network that cannot be built.
  data = 3,          ///< A file or a model whose content is not what it should be.
  io = 4,            ///< The operating system refused, or memory ran out.
  training = 5,      ///< The training run diverged.
  interrupted = 130  ///< Ctrl-C or SIGTERM; the run can be resumed.
};

/// A verb: its parser, and what runs it once the command line has been parsed.
struct Command {
  CLI::App* parser;
  std::function<Exit()> run;
};

Command add_train(CLI::App& app);
Command add_evaluate(CLI::App& app);
Command add_predict(CLI::App& app);
Command add_inspect(CLI::App& app);
Command add_bench(CLI::App& app);
Command add_lr_find(CLI::App& app);
Command add_compare(CLI::App& app);
Command add_report(CLI::App& app);
Command add_tune(CLI::App& app);

}  // namespace evenrow::cli
