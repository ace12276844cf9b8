// evenrow compare: how sensitive training is to one option, with and without batch norm.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "command.hpp"
#include "core/fail.hpp"
#include "evenrow/compare.hpp"
#include "help.hpp"
#include "io/atomic_file.hpp"
#include "nn/names.hpp"
#include "output.hpp"
#include "report.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"
#include "report/terminal.hpp"
#include "signals.hpp"
#include "train_options.hpp"
#include "tune/names.hpp"

namespace evenrow::cli {
namespace {

using report::Align;

// The norm is compared; test data is for later, when the choice has been made.
const std::set<std::string_view> kWithout{"norm", "test"};

struct CompareArguments {
  std::string data, config, out, values, vary = "lr", norms = "none,batch";
  std::int64_t seeds = 3;
  int jobs = 0;
  CLI::Option* seeds_option = nullptr;
  std::optional<GivenTrainOptions> given{};  // after the verb's own
};

CompareOptions options_from(const CompareArguments& arguments) {
  CompareOptions options;
  options.vary = parse_enum<Vary>("--vary", arguments.vary);
  std::string key = arguments.vary;
  std::ranges::replace(key, '-', '_');
  if (arguments.given->gave(key)) {
    core::fail(ErrorKind::usage, "--{} is what --vary {} varies; say which values by --values",
               arguments.vary, arguments.vary);
  }
  if (options.vary == Vary::seed && arguments.seeds_option->count() > 0) {
    core::fail(ErrorKind::usage,
               "--seeds: with --vary seed the values are the seeds; say which by "
               "--values");
  }
  if (arguments.out.empty()) {
    core::fail(ErrorKind::usage,
               "--out is missing: the folder for the comparison, such as --out runs/rates");
  }
  options.training = gathered_options(arguments.data, arguments.config, *arguments.given);
  options.training.test.clear();
  options.norms = parse_enums<Norm>("--norms", arguments.norms);
  options.seeds = arguments.seeds;
  options.jobs = arguments.jobs;
  if (!arguments.values.empty()) {
    options.values = parse_numbers("--values", arguments.values);
    std::ranges::sort(options.values);
  }
  return options;
}

std::string score_text(double score, Task task) {
  return task == Task::classification ? report::percent(score) : report::number(score);
}

// A line for every run that ends; on a terminal also how far everything is.
class CompareProgress : public CompareObserver {
 public:
  CompareProgress(const CompareOptions& options, std::string folder)
      : options_(options), folder_(std::move(folder)) {}

  void on_plan(std::int64_t total, std::int64_t finished) override {
    catch_stop_signals();
    total_ = total;
    finished_ = finished;
    std::string text = fmt::format("comparing in {}: {} runs", folder_, total);
    if (finished > 0) text += fmt::format(", {} of them finished before", finished);
    status_.print(text + "\n");
  }

  void on_run(const ComparedRun& run, double part) override {
    ++finished_;
    // Tasks are not told apart here: an R2 is shown as a number of its own.
    const std::string score = run.diverged() ? "diverged" : report::number(*run.score);
    status_.print(fmt::format("{:>6}/{}  norm {:<6} {} {:<8g} seed {:<4} {:>9}  {}\n", finished_,
                              total_, core::name_of(run.norm), core::name_of(options_.vary),
                              run.value, run.seed, score,
                              run.diverged() ? "" : report::duration(run.seconds)));
    on_progress(part);
  }

  void on_progress(double part) override {
    if (!terminal_.interactive || part <= 0) return;
    const double elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    status_.show(report::progress_line(
        fmt::format("run {}/{}", finished_, total_), part,
        fmt::format("{} left", report::duration(elapsed / part * (1 - part))), terminal_.width));
  }

  bool stop_requested() override { return stop_signal_seen(); }

  void finish() { status_.clear(); }

 private:
  const CompareOptions& options_;
  const std::string folder_;
  const report::Terminal terminal_ = report::terminal(STDERR_FILENO);
  report::StatusLine status_{STDERR_FILENO, terminal_};
  std::int64_t total_ = 0, finished_ = 0;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The runs of one norm and value, which lie together.
struct Cell {
  explicit Cell(std::span<const ComparedRun> runs) : count(std::ssize(runs)) {
    for (const ComparedRun& run : runs) {
      diverged += run.diverged() ? 1 : 0;
      mean += std::max(0.0, run.score.value_or(0.0)) / static_cast<double>(count);
    }
  }
  std::int64_t count, diverged = 0;
  double mean = 0;
};

std::string scores_text(const Comparison& comparison) {
  std::vector<report::TableColumn> columns{{.header = std::string(core::name_of(comparison.vary))}};
  for (const Norm norm : comparison.norms) {
    columns.push_back({.header = fmt::format("norm {}", core::name_of(norm))});
  }
  report::Table table(columns);
  const std::size_t seeds = std::max<std::size_t>(comparison.seeds.size(), 1);
  const std::size_t values = comparison.values.size();
  for (std::size_t value = 0; value < values; ++value) {
    std::vector<std::string> cells{fmt::format("{:g}", comparison.values[value])};
    for (std::size_t norm = 0; norm < comparison.norms.size(); ++norm) {
      const Cell cell(std::span(comparison.runs).subspan((norm * values + value) * seeds, seeds));
      const bool usable = cell.mean >= comparison.best_of_all - kUsableMargin;
      std::string text =
          cell.diverged == cell.count ? "diverged" : score_text(cell.mean, comparison.task);
      if (cell.diverged > 0 && cell.diverged < cell.count) {
        text += fmt::format(" ({} of {} diverged)", cell.diverged, cell.count);
      }
      cells.push_back(text + (usable ? " *" : "  "));
    }
    table.add_row(cells);
  }
  return table.text();
}

std::string usable_text(const Comparison& comparison) {
  const bool of_seeds = comparison.vary == Vary::seed;
  const bool spread = of_seeds || comparison.seeds.size() > 1;  // else there is nothing to draw
  report::Table table({{.header = "norm", .align = Align::left},
                       {.header = "best"},
                       {.header = of_seeds ? "" : "from"},
                       {.header = of_seeds ? "" : "to"},
                       {.header = "usable range"},
                       {.header = "95 % interval"}});
  for (const UsableRange& range : comparison.usable) {
    const auto end = [&](const std::optional<double>& value, bool open, const char* sign) {
      return value ? fmt::format("{}{:.3g}", open ? sign : "", *value) : std::string();
    };
    const bool open = range.open_low || range.open_high;
    table.add_row(
        {std::string(core::name_of(range.norm)), score_text(range.best, comparison.task),
         end(range.low, range.open_low, "<= "), end(range.high, range.open_high, ">= "),
         fmt::format("{}{:.3g} {}", open ? ">= " : "", range.size, unit_of(comparison.vary)),
         spread ? fmt::format("{:.2f} .. {:.2f}", range.interval_low, range.interval_high) : "-"});
  }
  return table.text();
}

std::string result_text(const Comparison& comparison, const std::string& folder) {
  const bool classes = comparison.task == Task::classification;
  std::string text =
      fmt::format("Validation {}, {}:\n\n", classes ? "accuracy" : "R2",
                  comparison.vary == Vary::seed || comparison.seeds.size() == 1
                      ? "one run each"
                      : fmt::format("average of {} seeds, a diverged run counts as 0",
                                    comparison.seeds.size()));
  text += scores_text(comparison);
  text += fmt::format("\nUsable (*) is what comes within {} of the best, {}:\n\n",
                      classes ? "2 points" : "0.02",
                      score_text(comparison.best_of_all, comparison.task));
  text += usable_text(comparison);
  return text + fmt::format("\ncomparison: {}/compare.json\n", folder);
}

Exit run(const CompareArguments& arguments) {
  const CompareOptions options = options_from(arguments);
  CompareProgress progress(options, arguments.out);
  const Comparison comparison = compare(options, arguments.out, &progress);
  progress.finish();
  if (comparison.stopped) {
    write_note("stopped; the same command goes on from here");
    return Exit::interrupted;
  }
  const std::filesystem::path page = std::filesystem::path(arguments.out) / "report.html";
  io::write_file_atomically(page, report_html({arguments.out}, true, 0));
  write_result("\n" + result_text(comparison, arguments.out) +
               fmt::format("report:     {}\n", page.string()));
  return Exit::success;
}

}  // namespace

Command add_compare(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "compare", "compare DATA [OPTION]... --out DIR",
      "Trains with and without batch norm over a range of one option, and tells how wide it may be "
      "set.\n\n"
      "Every combination of norm, value and seed is trained, several at a time. The usable range "
      "of "
      "a norm is where its validation accuracy, averaged over the seeds, comes within 2 points of "
      "the best of all (for regression: its R2 within 0.02), in factors of ten for learning rates "
      "and scales, with a 95 % bootstrap interval over the seeds.\n\n"
      "DIR gets a run folder for each run (runs/), the result (compare.json) and pictures of it "
      "(report.html). Ctrl-C stops all "
      "runs with their state saved; the same command goes on, also after a crash, and trains only "
      "what is missing. More values, norms or seeds may be added in the same way.\n\n"
      "The other options are those of evenrow train.",
      "evenrow compare fashion-mnist --vary lr --optimizer sgd --out runs/rates\n"
      "evenrow compare flowers.csv --vary depth --hidden 32 --out runs/depths");
  auto arguments = std::make_shared<CompareArguments>();
  add_data_and_config(*parser, arguments->data, arguments->config);
  const auto option = [&](const char* name, auto& value, const std::string& type,
                          const char* help) {
    return parser->add_option(name, value, help)->type_name(type)->group("Comparison");
  };
  option("--out", arguments->out, "DIR", "Folder of the comparison; made, or gone on with");
  option("--vary", arguments->vary, core::joined_names<Vary>("|"),
         "What is varied; depth: the number of hidden layers, all of the first one's width "
         "(default: lr)");
  option("--norms", arguments->norms, "NORM,...",
         "Normalizations that are compared (default: none,batch)");
  option("--values", arguments->values, "X,X,...",
         "Values of what is varied (default: learning rates and scales from a hundredth to a "
         "hundred times the usual one, two a decade; depths 1 to 16; mini-batches of 8 to 512; "
         "seeds 1 to 10)");
  arguments->seeds_option = option("--seeds", arguments->seeds, "N",
                                   "Runs of each norm and value, from --seed on (default: 3)");
  option("--jobs", arguments->jobs, "N", "Runs at a time; 0: one a processor (default: 0)");
  arguments->given.emplace(*parser, kWithout);
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
