// The sections of a report, from what was read. Every picture has a sentence that is computed from
// its numbers, whatever they say.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/page.hpp"
#include "report/sources.hpp"

namespace evenrow::report {

/// The whole page. Errors (usage): nothing to report on.
Page report_page(Sources sources, const std::string& made_by);

/// Names runs by what differs between their configurations ("with batch norm, lr 0.01"), where
/// nothing does by their folders; no two alike. Gives runs of batch norm and without it the same
/// colours on every page.
void label_runs(std::vector<RunData>& runs);

/// A label inside a sentence: "with batch norm", "for lr 0.01".
std::string phrase(std::string_view label);

/// Loss and accuracy over the epochs.
std::vector<Block> curve_blocks(const std::vector<RunData>& runs);

/// What later layers see: bands, gradients, units that are off. Empty without observations.
std::vector<Block> layer_blocks(const std::vector<RunData>& runs);

/// Confusion and examples of one run. Empty without RunErrors.
std::vector<Block> error_blocks(const RunData& run);

/// The final evaluations; configurations and times.
Grid results_grid(const std::vector<RunData>& runs);
std::vector<Block> configuration_blocks(const std::vector<RunData>& runs);

/// The result for every value that was tried, its usable range, the gap to training.
std::vector<Block> comparison_blocks(const ComparisonData& comparison);

/// Trials of a tuning study: progress, parallel coordinates, importance.
std::vector<Block> study_blocks(const StudyData& study);

}  // namespace evenrow::report
