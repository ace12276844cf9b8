// evenrow VERB ...: parses the command line, runs the verb, turns errors into messages and exit
// codes.
#include <array>
#include <csignal>
#include <exception>
#include <new>

#include "command.hpp"
#include "evenrow/error.hpp"
#include "help.hpp"
#include "output.hpp"

namespace evenrow::cli {
namespace {

Exit exit_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return Exit::usage;
    case ErrorKind::data:
      return Exit::data;
    case ErrorKind::io:
      return Exit::io;
    case ErrorKind::training:
      return Exit::training;
  }
  return Exit::usage;
}

Exit run(int argc, char** argv) {
  CLI::App app(
      "Trains neural networks with batch normalization on tables and images, evaluates them, "
      "applies them to new data, and shows what is inside data, models and training runs.",
      "evenrow");
  set_help_shape(app, "VERB [OPTION]... ARGUMENT...\nVERB --help",
                 "evenrow train fashion-mnist --out runs/first\n"
                 "evenrow evaluate runs/first fashion-mnist:test");
  app.set_help_flag("-h,--help", "Show this help; after a verb, that verb's.");
  app.set_version_flag("--version", "evenrow " EVENROW_VERSION, "Show the version.");
  app.require_subcommand(1);
  const std::array commands{add_train(app),   add_evaluate(app), add_predict(app),
                            add_inspect(app), add_lr_find(app),  add_compare(app),
                            add_tune(app),    add_report(app),   add_bench(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForVersion& version) {
    write_result(std::string(version.what()) + "\n");
    return Exit::success;
  } catch (const CLI::CallForHelp&) {
    write_result(app.help());
    return Exit::success;
  } catch (const CLI::ParseError& error) {
    write_error(usage_message(app, error));
    return Exit::usage;
  }
  for (const Command& command : commands) {
    if (command.parser->parsed()) return command.run();
  }
  return Exit::usage;
}

Exit guarded_run(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const ReaderGone&) {
    return Exit::success;
  } catch (const Error& error) {
    write_error(error.what());
    return exit_of(error.kind());
  } catch (const std::bad_alloc&) {
    write_error("memory ran out; use less data, a smaller network or smaller mini-batches");
    return Exit::io;
  } catch (const std::exception& error) {
    write_error(error.what());
    return Exit::io;
  }
}

}  // namespace
}  // namespace evenrow::cli

int main(int argc, char** argv) {
  // A reader of the output that goes away is told by the failing write, not by a signal that would
  // end a training run because its progress is no longer read.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // the same for a file that may not grow: an error with its name
  return static_cast<int>(evenrow::cli::guarded_run(argc, argv));
}
