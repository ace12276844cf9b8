// evenrow report: what training did, as one HTML page.
#include <memory>
#include <string>
#include <vector>

#include "command.hpp"
#include "core/fail.hpp"
#include "help.hpp"
#include "io/atomic_file.hpp"
#include "output.hpp"
#include "report.hpp"
#include "report/sections.hpp"
#include "report_sources.hpp"
#include "report_study.hpp"

namespace evenrow::cli {
namespace {

namespace fs = std::filesystem;

struct ReportArguments {
  std::vector<std::string> folders;
  std::string out = "report.html";
  bool without_examples = false;
  int threads = 0;
};

std::string without_slash(std::string folder) {
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  return folder;
}

Exit run(const ReportArguments& arguments) {
  io::write_file_atomically(
      arguments.out,
      report_html(arguments.folders, !arguments.without_examples, arguments.threads));
  write_result(arguments.out + "\n");
  return Exit::success;
}

}  // namespace

std::string report_html(const std::vector<std::string>& folders, bool examples, int threads) {
  ReportReader reader(examples, threads);
  report::Sources sources;
  for (const std::string& argument : folders) {
    const fs::path folder = without_slash(argument);
    std::error_code ignored;
    if (fs::exists(folder / "compare.json", ignored)) {
      sources.comparisons.push_back(reader.comparison(folder));
    } else if (fs::exists(folder / "journal.log", ignored)) {
      sources.studies.push_back(study_data(folder));
    } else if (fs::exists(folder / "config.toml", ignored)) {
      sources.runs.push_back(reader.run(folder));
    } else if (fs::exists(folder / "comparison.toml", ignored)) {
      core::fail(ErrorKind::io,
                 "{}: this comparison is not finished; the same evenrow compare again finishes it",
                 argument);
    } else {
      core::fail(ErrorKind::io,
                 "{}: nothing to report on there: it has neither config.toml (a run), "
                 "compare.json (a comparison) nor journal.log (a study)",
                 argument);
    }
  }
  return report::page_html(report::report_page(std::move(sources), "evenrow " EVENROW_VERSION));
}

Command add_report(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "report", "report RUN|COMPARISON|STUDY... [-o FILE.html] [OPTION]...",
      "Writes one HTML page about training runs: pictures, tables, and a sentence under each "
      "picture that says what it shows on this data.\n\n"
      "Runs: loss and accuracy over the epochs, beside each other; with train --observe what late "
      "layers see over time, gradients by depth and units that are off; the confusion matrix and "
      "examples that were wrong, of the test data or else of the validation part; configurations "
      "and times. Comparisons: the result for every value and its usable range. Studies: progress, "
      "parameters of all trials, and which of them mattered. The page is one file that loads "
      "nothing, so that it can be mailed and opened anywhere; the same folders give the same page. "
      "It holds examples of the data unless --no-examples is given.",
      "evenrow report runs/with-batch-norm runs/without -o report.html");
  auto arguments = std::make_shared<ReportArguments>();
  parser
      ->add_option("FOLDER", arguments->folders,
                   "The folder of a run, a comparison or a study; one or more.")
      ->required();
  parser
      ->add_option("-o,--output", arguments->out,
                   "File to write, in one piece when all went well (default: report.html)")
      ->type_name("FILE");
  parser->add_flag("--no-examples", arguments->without_examples,
                   "Leave rows and images of the data out of the page");
  add_threads_option(*parser, arguments->threads);
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
