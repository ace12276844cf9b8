// Curves, results, configurations and times of runs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/numbers.hpp"
#include "report/sections.hpp"

namespace evenrow::report {
namespace {

constexpr std::size_t kMostWithTraining = 4;  // runs whose training curves are drawn too

using Field = double RunEpoch::*;

// A quantity over the epochs, of validation where it exists, else of training.
struct Curve {
  std::string title;  // "loss"
  Field training, validation;
  bool percent, larger_is_better;
};

bool has(const RunData& run, Field field) {
  return std::ranges::any_of(run.epochs,
                             [&](const RunEpoch& epoch) { return std::isfinite(epoch.*field); });
}

std::string value_text(const Curve& curve, double value) {
  return curve.percent ? percent(value) : number(value);
}

// The end and the best epoch of one run.
struct Course {
  const RunData* run;
  Field field;
  double last = kNone, best = kNone;
  std::int64_t best_epoch = 0;
};

Course course_of(const RunData& run, const Curve& curve) {
  Course course{&run, has(run, curve.validation) ? curve.validation : curve.training};
  for (const RunEpoch& epoch : run.epochs) {
    const double value = epoch.*(course.field);
    if (!std::isfinite(value)) continue;
    course.last = value;
    const bool better = curve.larger_is_better ? value > course.best : value < course.best;
    if (std::isnan(course.best) || better) {
      course.best = value;
      course.best_epoch = epoch.epoch;
    }
  }
  return course;
}

// The first epoch as good as `value`.
std::int64_t epoch_of(const Course& course, const Curve& curve, double value) {
  for (const RunEpoch& epoch : course.run->epochs) {
    const double here = epoch.*(course.field);
    if (curve.larger_is_better ? here >= value : here <= value) return epoch.epoch;
  }
  return 0;
}

std::string pair_finding(const Course& a, const Course& b, const Curve& curve,
                         const std::string& what) {
  const std::string first = phrase(a.run->label), second = phrase(b.run->label);
  std::string text = fmt::format("{} ends at {} {} and at {} {}", what, value_text(curve, a.last),
                                 first, value_text(curve, b.last), second);
  if (curve.percent) {
    const double points = 100 * (a.last - b.last);
    text += std::abs(points) < 0.005 ? std::string(": no difference")
                                     : fmt::format(": {:.2f} points {} {}", std::abs(points),
                                                   points > 0 ? "higher" : "lower", first);
  }
  const double both = curve.larger_is_better ? std::min(a.best, b.best) : std::max(a.best, b.best);
  const std::int64_t here = epoch_of(a, curve, both), there = epoch_of(b, curve, both);
  text += fmt::format(". The best that both reach, {}, comes in epoch {}", value_text(curve, both),
                      here);
  return text + (here == there ? std::string(" of both.")
                               : fmt::format(" {} and in epoch {} {}.", first, there, second));
}

std::string finding(const std::vector<Course>& courses, const Curve& curve, bool validation) {
  const std::string what =
      fmt::format("{} {}", validation ? "Validation" : "Training", curve.title);
  if (courses.size() == 1) {
    const Course& only = courses[0];
    std::string text = fmt::format("{} is {} in epoch {} ({}) and ends at {}", what,
                                   curve.larger_is_better ? "highest" : "lowest", only.best_epoch,
                                   value_text(curve, only.best), value_text(curve, only.last));
    const double training = only.run->epochs.back().*(curve.training);
    if (validation && std::isfinite(training)) {
      text += fmt::format("; training {} ends at {}", curve.title, value_text(curve, training));
    }
    return text + ".";
  }
  if (courses.size() == 2) {
    const bool second_first = courses[1].run->batch_norm && !courses[0].run->batch_norm;
    return pair_finding(courses[second_first ? 1 : 0], courses[second_first ? 0 : 1], curve, what);
  }
  const auto by_last = [](const Course& a, const Course& b) { return a.last < b.last; };
  const auto [low, high] = std::ranges::minmax_element(courses, by_last);
  const Course &best = curve.larger_is_better ? *high : *low,
               &worst = curve.larger_is_better ? *low : *high;
  return fmt::format("{} ends best {} ({}) and worst {} ({}).", what, phrase(best.run->label),
                     value_text(curve, best.last), phrase(worst.run->label),
                     value_text(curve, worst.last));
}

void add_line(LineChart& chart, const RunData& run, Field field, std::string name, bool faint) {
  Line line{.name = std::move(name), .colour = run.colour, .faint = faint};
  for (const RunEpoch& epoch : run.epochs) {
    line.x.push_back(static_cast<double>(epoch.epoch));
    line.y.push_back(epoch.*field);
  }
  chart.lines.push_back(std::move(line));
}

void add_curve(std::vector<Block>& blocks, const std::vector<RunData>& runs, const Curve& curve) {
  LineChart chart{.x = {.title = "epoch", .whole = true},
                  .y = {.title = curve.title, .percent = curve.percent}};
  std::vector<Course> courses;
  bool validation = false;
  for (const RunData& run : runs) {
    const Course course = course_of(run, curve);
    if (std::isnan(course.last)) continue;
    courses.push_back(course);
    validation = validation || course.field == curve.validation;
  }
  if (courses.empty()) return;
  for (const Course& course : courses) {
    const std::string before = runs.size() == 1 ? "" : course.run->label + ", ";
    if (has(*course.run, curve.validation)) {
      add_line(chart, *course.run, curve.validation,
               runs.size() > kMostWithTraining ? course.run->label : before + "validation", false);
      if (runs.size() > kMostWithTraining) continue;
    }
    if (has(*course.run, curve.training)) {
      add_line(chart, *course.run, curve.training, before + "training",
               course.field == curve.validation);
    }
  }
  std::string title = curve.title;
  title[0] = static_cast<char>(title[0] - 'a' + 'A');
  blocks.push_back(Figure{.title = title + " over the epochs",
                          .finding = finding(courses, curve, validation),
                          .chart = std::move(chart)});
}

// Whether a row of options, after its name, has different cells.
bool differs(const std::vector<std::string>& row) {
  return std::any_of(row.begin() + 2, row.end(),
                     [&](const std::string& cell) { return cell != row[1]; });
}

}  // namespace

std::vector<Block> curve_blocks(const std::vector<RunData>& runs) {
  std::vector<Block> blocks;
  const Curve accuracy{"accuracy", &RunEpoch::training_accuracy, &RunEpoch::validation_accuracy,
                       true, true};
  const Curve loss{"loss", &RunEpoch::training_loss, &RunEpoch::validation_loss, false, false};
  add_curve(blocks, runs, accuracy);
  add_curve(blocks, runs, loss);
  if (!blocks.empty()) {
    std::get<Figure>(blocks.front()).note =
        "Training: means over an epoch's mini-batches while the network changes, with batch "
        "statistics and dropout. Validation: the network at the end of the epoch.";
  }
  return blocks;
}

Grid results_grid(const std::vector<RunData>& runs) {
  Grid grid{.caption = "Results of the final models", .headers = {"run"}, .rows = {}};
  struct Column {
    std::string name;
    double RunScore::*field;
    bool percent;
  };
  const std::vector<Column> columns{{"accuracy", &RunScore::accuracy, true},
                                    {"loss", &RunScore::loss, false},
                                    {"RMSE", &RunScore::rmse, false},
                                    {"R2", &RunScore::r2, false}};
  for (const RunData& run : runs) grid.rows.push_back({run.label});
  for (const Column& column : columns) {
    for (const char* part : {"training", "validation", "test"}) {
      std::vector<std::string> cells;
      for (const RunData& run : runs) {
        double value = kNone;
        for (const RunScore& score : run.scores) {
          if (score.part == part) value = score.*(column.field);
        }
        cells.push_back(column.percent ? percent(value) : number(value));
      }
      const bool told = std::ranges::any_of(cells, [](const auto& cell) { return cell != "-"; });
      if (!told) continue;
      grid.headers.push_back(fmt::format("{} {}", part, column.name));
      for (std::size_t i = 0; i < runs.size(); ++i) grid.rows[i].push_back(cells[i]);
    }
  }
  return grid;
}

std::vector<Block> configuration_blocks(const std::vector<RunData>& runs) {
  Grid times{.caption = "Times",
             .headers = {"run", "Evenrow", "state", "epochs", "training", "an epoch", "observing"},
             .rows = {}};
  for (const RunData& run : runs) {
    double epoch_seconds = 0;
    for (const RunEpoch& epoch : run.epochs) epoch_seconds += epoch.seconds;
    const auto epochs = static_cast<std::int64_t>(run.epochs.size());
    const std::string observing =
        std::isnan(run.observe_seconds)
            ? "-"
            : duration(run.observe_seconds) +
                  (std::isnan(run.observe_fraction)
                       ? ""
                       : fmt::format(" ({} of the steps' time)", percent(run.observe_fraction, 1)));
    times.rows.push_back(
        {run.label, run.version.empty() ? "-" : run.version,
         run.finished ? "finished" : fmt::format("stopped at {} of {}", epochs, run.planned_epochs),
         count(epochs), duration(run.seconds),
         epochs > 0 ? duration(epoch_seconds / static_cast<double>(epochs)) : "-", observing});
  }
  const bool observed = std::ranges::any_of(
      runs, [](const RunData& run) { return !std::isnan(run.observe_seconds); });
  if (!observed) {
    times.headers.pop_back();
    for (auto& row : times.rows) row.pop_back();
  }

  Grid options{.caption = "Options", .headers = {"option"}, .rows = {}, .numbers = false};
  for (const RunData& run : runs) options.headers.push_back(run.label);
  options.rows.push_back({"folder"});
  for (const RunData& run : runs) options.rows[0].push_back(run.folder);
  for (const RunData& run : runs) {
    for (const auto& option : run.config) {
      const std::string& key = option.first;
      const bool known =
          std::ranges::any_of(options.rows, [&](const auto& row) { return row[0] == key; });
      if (known) continue;
      std::vector<std::string> row{key};
      for (const RunData& other : runs) {
        const auto found =
            std::ranges::find(other.config, key, &std::pair<std::string, std::string>::first);
        row.push_back(found == other.config.end() ? "-" : found->second);
      }
      options.rows.push_back(std::move(row));
    }
  }
  if (runs.size() < 2) return {times, options};
  Grid differences{
      .caption = "Options that differ", .headers = options.headers, .rows = {}, .numbers = false};
  for (const auto& row : options.rows) {
    if (differs(row)) differences.rows.push_back(row);
  }
  options.caption = "All options";
  options.folded = true;
  return {times, differences, options};
}

}  // namespace evenrow::report
