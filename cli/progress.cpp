#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "describe.hpp"
#include "nn/names.hpp"
#include "output.hpp"
#include "report/numbers.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#include "train/names.hpp"

namespace evenrow::cli {
namespace {

constexpr std::string_view kBlanks = "  ";

std::string training_text(const TrainOptions& options, const TrainPlan& plan) {
  const double rate = options.learning_rate > 0 ? options.learning_rate
                                                : default_learning_rate(options.optimizer.kind);
  std::string text =
      fmt::format("{}, learning rate {:g} ({}", core::name_of(options.optimizer.kind), rate,
                  core::name_of(options.schedule.kind));
  if (options.schedule.warmup_epochs > 0) {
    text += fmt::format(", warmup {:g}", options.schedule.warmup_epochs);
  }
  return text + fmt::format("), {} epochs of {} steps of {} examples", options.epochs,
                            report::count(plan.steps_per_epoch), options.batch_size);
}

std::string summary(const TrainOptions& options, const TrainPlan& plan,
                    const std::filesystem::path& folder) {
  const auto line = [](std::string_view label, std::string_view text) {
    return fmt::format("{:<9} {}\n", label, report::wrapped(report::printable(text), 69, 10));
  };
  std::string rows = report::count(plan.training_rows) + " training";
  if (plan.validation_rows > 0) rows += ", " + report::count(plan.validation_rows) + " validation";
  if (plan.test_rows > 0) rows += ", " + report::count(plan.test_rows) + " test";
  return line("data", fmt::format("{}: {} rows, {} features", options.data, rows,
                                  report::count(plan.features))) +
         line("network", fmt::format("{} ({}), {} parameters", network_text(plan.network),
                                     blocks_text(options), report::count(plan.parameters))) +
         line("training", training_text(options, plan)) + line("run", folder.string());
}

// Names of the columns of the epoch lines; every epoch line has the same widths.
std::string epoch_header(bool validation, bool classification) {
  std::string text = "epoch  training loss";
  if (classification) text += "  accuracy";
  if (validation) text += "  validation loss";
  if (validation) text += classification ? "  accuracy" : "       RMSE      R2";
  return text + "  seconds       lr\n";
}

}  // namespace

TrainProgress::TrainProgress(const TrainOptions& options, std::filesystem::path folder)
    : options_(options),
      folder_(std::move(folder)),
      terminal_(report::terminal(STDERR_FILENO)),
      status_(STDERR_FILENO, terminal_) {}

void TrainProgress::on_plan(const TrainPlan& plan) {
  // Until now nothing is lost when a signal just ends the process.
  catch_stop_signals();
  plan_ = plan;
  std::string text = summary(options_, plan, folder_);
  if (plan.first_epoch > 0) text += fmt::format("goes on with epoch {}\n", plan.first_epoch + 1);
  text += "\n";
  std::string header = epoch_header(plan.validation_rows > 0, plan.task == Task::classification);
  header.pop_back();
  text += report::styled(header, report::Style::bold, terminal_.colour) + "\n";
  status_.print(text);
}

void TrainProgress::on_step(const StepMetrics& metrics) {
  learning_rate_ = metrics.learning_rate;
  if (!terminal_.interactive) return;
  const auto now = Clock::now();
  const std::int64_t done = metrics.step - metrics.epoch * plan_.steps_per_epoch + 1;
  if (metrics.epoch != bar_epoch_) {
    bar_epoch_ = metrics.epoch;
    first_step_ = done;
    epoch_start_ = now;
  }
  // Ten times a second is smooth enough and costs nothing.
  if (now - last_shown_ < std::chrono::milliseconds(100)) return;
  last_shown_ = now;
  std::string note = fmt::format("loss {}", report::number(metrics.loss));
  if (const std::int64_t timed = done - first_step_; timed > 0) {
    const double elapsed = std::chrono::duration<double>(now - epoch_start_).count();
    const auto left = static_cast<double>(plan_.steps_per_epoch - done);
    note += fmt::format("  {} left", report::duration(elapsed / static_cast<double>(timed) * left));
  }
  status_.show(
      report::progress_line(fmt::format("epoch {}/{}", metrics.epoch + 1, options_.epochs),
                            static_cast<double>(done) / static_cast<double>(plan_.steps_per_epoch),
                            note, terminal_.width));
}

void TrainProgress::on_epoch(const EpochMetrics& metrics) {
  const bool classification = plan_.task == Task::classification;
  std::string line = fmt::format("{:>5}{}{:>13}", metrics.epoch + 1, kBlanks,
                                 report::number(metrics.training_loss));
  if (classification) {
    line += fmt::format("{}{:>8}", kBlanks, report::percent(metrics.training_accuracy));
  }
  if (plan_.validation_rows > 0) {
    // Not there (an empty part): shown as "-".
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    const auto& held_out = metrics.validation;
    line += fmt::format("{}{:>15}", kBlanks, report::number(held_out ? held_out->loss : none));
    if (classification) {
      line +=
          fmt::format("{}{:>8}", kBlanks, report::percent(held_out ? held_out->accuracy : none));
    } else {
      line +=
          fmt::format("{}{:>9}{}{:>6}", kBlanks, report::number(held_out ? held_out->rmse : none),
                      kBlanks, report::number(held_out ? held_out->r2 : none, 3));
    }
  }
  line += fmt::format("{}{:>7.2f}{}{:>7.3g}\n", kBlanks, metrics.seconds, kBlanks, learning_rate_);
  status_.print(line);
}

void TrainProgress::on_warning(const std::string& message) {
  status_.clear();
  write_warning(message);
}

void TrainProgress::finish() {
  status_.print("\n");
}

bool TrainProgress::stop_requested() {
  if (!stop_signal_seen()) return false;
  status_.clear();
  return true;
}

}  // namespace evenrow::cli
