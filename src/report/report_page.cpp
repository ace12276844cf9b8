// The sections of a report in their order.
#include <fmt/format.h>

#include <iterator>

#include "core/fail.hpp"
#include "report/sections.hpp"

namespace evenrow::report {
namespace {

void append(std::vector<Block>& blocks, std::vector<Block> more) {
  blocks.insert(blocks.end(), std::make_move_iterator(more.begin()),
                std::make_move_iterator(more.end()));
}

void add(Page& page, std::string title, std::vector<Block> blocks) {
  if (!blocks.empty()) page.sections.push_back({std::move(title), std::move(blocks)});
}

void add_runs(Page& page, std::vector<RunData>& runs) {
  label_runs(runs);
  add(page, "Results", {results_grid(runs)});
  add(page, "Training", curve_blocks(runs));
  add(page, "What layers see", layer_blocks(runs));
  for (const RunData& run : runs) {
    add(page, runs.size() == 1 ? "Errors" : "Errors " + phrase(run.label), error_blocks(run));
  }
  add(page, "Configuration and time", configuration_blocks(runs));
}

void add_comparison(Page& page, ComparisonData& comparison) {
  label_runs(comparison.shown);
  std::vector<Block> blocks = comparison_blocks(comparison);
  if (!comparison.shown.empty()) {
    append(blocks, curve_blocks(comparison.shown));
    append(blocks, layer_blocks(comparison.shown));
    append(blocks, configuration_blocks(comparison.shown));
  }
  add(page, "Comparison " + comparison.folder, std::move(blocks));
}

// "2 runs: runs/a, runs/b."
template <class Source>
std::string list_of(const std::vector<Source>& sources, const char* one, const char* many) {
  if (sources.empty()) return "";
  std::vector<std::string> folders;
  for (const Source& source : sources) folders.push_back(source.folder);
  return fmt::format("{} {}: {}. ", folders.size(), folders.size() == 1 ? one : many,
                     fmt::join(folders, ", "));
}

}  // namespace

Page report_page(Sources sources, const std::string& made_by) {
  if (sources.runs.empty() && sources.comparisons.empty() && sources.studies.empty()) {
    core::fail(ErrorKind::usage,
               "nothing to report on: expected the folder of a run, a comparison or a study");
  }
  Page page{.title = "Evenrow report",
            .summary = list_of(sources.comparisons, "comparison", "comparisons") +
                       list_of(sources.studies, "study", "studies") +
                       list_of(sources.runs, "run", "runs"),
            .made_by = made_by,
            .sections = {}};
  for (ComparisonData& comparison : sources.comparisons) add_comparison(page, comparison);
  for (const StudyData& study : sources.studies) {
    add(page, "Study " + study.folder, study_blocks(study));
  }
  if (!sources.runs.empty()) add_runs(page, sources.runs);
  return page;
}

}  // namespace evenrow::report
