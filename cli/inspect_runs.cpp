// Training runs side by side, as evenrow inspect shows them.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "describe.hpp"
#include "evenrow/train.hpp"
#include "inspect.hpp"
#include "nn/names.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"
#include "report/text.hpp"
#include "run_files.hpp"
#include "train/names.hpp"

namespace evenrow::cli {
namespace {

namespace fs = std::filesystem;
using report::Align;
using Json = nlohmann::json;

// result.json's `part`.`field`; NaN where it has none.
double result_number(const Run& run, const char* part, const char* field) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  if (!run.result || !run.result->is_object()) return none;
  const auto found = run.result->find(part);
  if (found == run.result->end()) return none;
  const Json& value = *field == '\0'       ? *found
                      : found->is_object() ? found->value(field, Json())
                                           : Json();
  return value.is_number() ? value.get<double>() : none;
}

// Epochs until validation accuracy reached `accuracy`; "-": never.
std::string epochs_to(const Run& run, double accuracy) {
  for (const EpochMetrics& metrics : run.epochs) {
    if (metrics.validation && metrics.validation->accuracy >= accuracy) {
      return fmt::format("{}", metrics.epoch + 1);
    }
  }
  return "-";
}

std::string hidden_text(const Run& run) {
  return run.options.hidden.empty() ? "none"
                                    : fmt::format("{}", fmt::join(run.options.hidden, "-"));
}

std::string state_text(const Run& run) {
  if (run.result) return "finished";
  return fmt::format("stopped at {} of {}", run.epochs.size(), run.options.epochs);
}

struct Line {
  std::string_view label;
  std::function<std::string(const Run&)> cell;
};

std::vector<Line> lines(const std::vector<Run>& runs) {
  const auto percent = [](const char* part) {
    return [part](const Run& run) { return report::percent(result_number(run, part, "accuracy")); };
  };
  const auto number = [](const char* part, const char* field) {
    return
        [part, field](const Run& run) { return report::number(result_number(run, part, field)); };
  };
  std::vector<Line> all{
      {"data", [](const Run& run) { return fs::path(run.options.data).filename().string(); }},
      {"hidden blocks", hidden_text},
      {"normalization",
       [](const Run& run) { return std::string(core::name_of(run.options.norm)); }},
      {"optimizer",
       [](const Run& run) { return std::string(core::name_of(run.options.optimizer.kind)); }},
      {"seed", [](const Run& run) { return fmt::format("{}", run.options.seed); }},
      {"state", state_text},
      {"epochs", [](const Run& run) { return fmt::format("{}", run.epochs.size()); }},
      {"training loss", number("training", "loss")},
      {"validation loss", number("validation", "loss")},
      {"test loss", number("test", "loss")},
  };
  if (std::any_of(runs.begin(), runs.end(), [](const Run& run) { return run.regression(); })) {
    all.push_back({"validation RMSE", number("validation", "rmse")});
    all.push_back({"validation R2", number("validation", "r2")});
    all.push_back({"test RMSE", number("test", "rmse")});
    all.push_back({"test R2", number("test", "r2")});
  }
  if (!std::all_of(runs.begin(), runs.end(), [](const Run& run) { return run.regression(); })) {
    all.push_back({"training accuracy", percent("training")});
    all.push_back({"validation accuracy", percent("validation")});
    all.push_back({"test accuracy", percent("test")});
    all.push_back(
        {"epochs to 85 % validation", [](const Run& run) { return epochs_to(run, 0.85); }});
    all.push_back(
        {"epochs to 88 % validation", [](const Run& run) { return epochs_to(run, 0.88); }});
  }
  all.push_back({"seconds", [](const Run& run) {
                   return report::duration(result_number(run, "seconds", ""));
                 }});
  return all;
}

// What all names have in common up to the last '/': left out above the columns.
std::size_t common_folder(const std::vector<Run>& runs) {
  if (runs.size() < 2) return 0;
  std::size_t common = runs[0].name.rfind('/') + 1;  // npos + 1 is 0
  for (const Run& run : runs) {
    while (common > 0 && run.name.compare(0, common, runs[0].name, 0, common) != 0) {
      common = common < 2 ? 0 : runs[0].name.rfind('/', common - 2) + 1;
    }
  }
  return common;
}

}  // namespace

std::string runs_text(const std::vector<fs::path>& folders) {
  std::vector<Run> runs;
  for (const fs::path& folder : folders) runs.push_back(read_run(folder));
  const std::vector<Line> rows = lines(runs);
  const std::size_t common = common_folder(runs);
  const auto table_of = [&](std::size_t first, std::size_t last) {
    std::vector<report::TableColumn> columns{{.header = "", .align = Align::left}};
    for (std::size_t i = first; i < last; ++i) {
      columns.push_back(
          {.header = report::shortened(runs[i].name.substr(common), 26), .widest = 26});
    }
    report::Table table(std::move(columns));
    for (const Line& row : rows) {
      std::vector<std::string> cells{std::string(row.label)};
      for (std::size_t i = first; i < last; ++i) cells.push_back(row.cell(runs[i]));
      const bool told = std::any_of(cells.begin() + 1, cells.end(),
                                    [](const std::string& cell) { return cell != "-"; });
      if (told) table.add_row(std::move(cells));
    }
    return table;
  };
  // As many runs beside each other as fit, then the next ones below.
  std::string text;
  for (std::size_t first = 0; first < runs.size();) {
    std::size_t last = first + 1;
    while (last < runs.size() && table_of(first, last + 1).width() <= report::kLineWidth) ++last;
    if (first > 0) text += "\n";
    text += table_of(first, last).text();
    first = last;
  }
  return text;
}

}  // namespace evenrow::cli
