// evenrow lr-find: the learning-rate range test, its curve and a suggestion.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "command.hpp"
#include "core/fail.hpp"
#include "evenrow/lr_find.hpp"
#include "help.hpp"
#include "io/atomic_file.hpp"
#include "output.hpp"
#include "report/numbers.hpp"
#include "report/terminal.hpp"
#include "signals.hpp"
#include "train_options.hpp"

namespace evenrow::cli {
namespace {

constexpr std::size_t kLines = 24;      // of the curve at most
constexpr std::size_t kBar = 40;        // characters
constexpr double kHighestShown = 1.25;  // times the first loss: what is above tells no more

// What says nothing about a sweep of a few hundred steps.
const std::set<std::string_view> kWithout{"test",   "lr",          "schedule",
                                          "warmup", "step_epochs", "step_factor",
                                          "epochs", "early_stop",  "observe"};

struct LrFindArguments {
  std::string data, config, out;
  LearningRateSweep sweep{};
  std::optional<GivenTrainOptions> given{};  // after the verb's own
};

class SweepProgress : public TrainObserver {
 public:
  explicit SweepProgress(std::int64_t steps) : steps_(steps) { catch_stop_signals(); }

  void on_step(const StepMetrics& metrics) override {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_shown_ < std::chrono::milliseconds(100)) return;
    last_shown_ = now;
    status_.show(report::progress_line(
        "range test", static_cast<double>(metrics.step + 1) / static_cast<double>(steps_),
        fmt::format("learning rate {:.2e}  loss {}", metrics.learning_rate,
                    report::number(metrics.loss)),
        terminal_.width));
  }
  bool stop_requested() override { return stop_signal_seen(); }
  void finish() { status_.clear(); }

 private:
  std::int64_t steps_;
  const report::Terminal terminal_ = report::terminal(STDERR_FILENO);
  report::StatusLine status_{STDERR_FILENO, terminal_};
  std::chrono::steady_clock::time_point last_shown_{};
};

std::string csv(const LearningRateCurve& curve) {
  std::string text = "step,learning_rate,loss,smoothed_loss,gradient_norm\n";
  for (const LearningRatePoint& point : curve.points) {
    text += fmt::format("{},{},{},{},{}\n", point.step, point.learning_rate, point.loss,
                        point.smoothed_loss, point.gradient_norm);
  }
  return text;
}

// The smoothed loss as bars, evenly spaced in the logarithm of the learning rate; what is pointed
// out stands beside the line nearest to it.
std::string curve_text(const LearningRateCurve& curve) {
  const auto& points = curve.points;
  const std::size_t lines = std::min(kLines, points.size());
  const double highest = kHighestShown * points.front().smoothed_loss;
  std::vector<std::string> notes(lines);
  const auto note = [&](const std::optional<double>& rate, const char* text) {
    if (!rate) return;
    const double first = std::log(points.front().learning_rate);
    const double part = (std::log(*rate) - first) / (std::log(points.back().learning_rate) - first);
    const double line = std::clamp(part, 0.0, 1.0) * static_cast<double>(lines - 1);
    std::string& there = notes[static_cast<std::size_t>(std::lround(line))];
    there += (there.empty() ? "" : ", ") + std::string(text);
  };
  note(curve.suggestion, "suggested");
  note(curve.steepest, "steepest");
  note(curve.lowest, "lowest");
  std::string text = "learning rate      loss\n";
  for (std::size_t line = 0; line < lines; ++line) {
    const LearningRatePoint& point =
        points[lines == 1 ? 0 : line * (points.size() - 1) / (lines - 1)];
    const double part = std::clamp(point.smoothed_loss / highest, 0.0, 1.0);
    std::string bar(static_cast<std::size_t>(std::lround(part * static_cast<double>(kBar))), '#');
    if (point.smoothed_loss > highest) bar.back() = '>';
    if (!notes[line].empty()) bar.resize(kBar, ' ');
    text += fmt::format("{:>13.2e}  {:>8}  {}{}{}\n", point.learning_rate,
                        report::number(point.smoothed_loss), bar, notes[line].empty() ? "" : "  ",
                        notes[line]);
  }
  return text;
}

std::string verdict(const LearningRateCurve& curve, const LearningRateSweep& sweep) {
  std::string text;
  if (curve.diverged) {
    text += fmt::format("Ended at {:.2e}, where the loss ran away.\n",
                        curve.points.back().learning_rate);
  }
  if (!curve.suggestion) {
    return text + fmt::format(
                      "The loss never fell below where it began: no suggestion. Begin lower "
                      "than --from {:g}, or take more --steps.\n",
                      sweep.from);
  }
  return text + fmt::format(
                    "Suggested: --lr {:.2g}, half way between where the loss falls fastest\n"
                    "({:.2e}) and where it is lowest ({:.2e}).\n",
                    *curve.suggestion, *curve.steepest, *curve.lowest);
}

Exit run(const LrFindArguments& arguments) {
  const TrainOptions options = gathered_options(arguments.data, arguments.config, *arguments.given);
  const Dataset data = read_dataset(options.data, {.target = options.target});
  SweepProgress progress(arguments.sweep.steps);
  const LearningRateCurve curve = find_learning_rate(data, options, arguments.sweep, &progress);
  progress.finish();
  if (curve.stopped) {
    write_note("stopped; a range test begins anew");
    return Exit::interrupted;
  }
  if (curve.points.empty()) {
    core::fail(ErrorKind::training,
               "the loss of the very first step is not finite; look at the data, or at "
               "--init-scale and --input-scale");
  }
  if (!arguments.out.empty()) io::write_file_atomically(arguments.out, csv(curve));
  std::string text = curve_text(curve) + "\n" + verdict(curve, arguments.sweep);
  if (!arguments.out.empty()) text += fmt::format("curve: {}\n", arguments.out);
  write_result(text);
  return Exit::success;
}

}  // namespace

Command add_lr_find(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "lr-find", "lr-find DATA [OPTION]...",
      "Finds a learning rate by one short run in which it grows with every step.\n\n"
      "The learning-rate range test (Smith, 2017). The learning rate grows from --from to --to, by "
      "the same factor a step; the loss first hardly moves, then falls, then rises again. It ends "
      "early when the loss runs away. Suggested is the rate half way, in the logarithm, between "
      "where the smoothed loss falls fastest and where it is lowest.\n\n"
      "The other options are those of evenrow train: give those that you will train with.",
      "evenrow lr-find fashion-mnist --optimizer sgd\n"
      "evenrow lr-find flowers.csv --hidden 64,32 --norm none --out curve.csv");
  auto arguments = std::make_shared<LrFindArguments>();
  add_data_and_config(*parser, arguments->data, arguments->config);
  const auto sweep_option = [&](const char* name, auto& value, const char* type, const char* help) {
    parser->add_option(name, value, help)->type_name(type)->group("Range test");
  };
  sweep_option("--from", arguments->sweep.from, "X", "First learning rate (default: 1e-6)");
  sweep_option("--to", arguments->sweep.to, "X", "Last learning rate (default: 10)");
  sweep_option("--steps", arguments->sweep.steps, "N", "Mini-batches (default: 200)");
  sweep_option("--out", arguments->out, "FILE",
               "The curve as CSV: step, learning_rate, loss, smoothed_loss, gradient_norm");
  arguments->given.emplace(*parser, kWithout);
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
