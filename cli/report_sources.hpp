// What evenrow report reads: the folders of runs and comparisons.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "evenrow/dataset.hpp"
#include "report/sources.hpp"
#include "run_files.hpp"

namespace evenrow::cli {

/// Reads folders; data that several runs name is read once.
class ReportReader {
 public:
  /// `examples`: rows and images of the data may go into the page.
  ReportReader(bool examples, int threads) : examples_(examples), threads_(threads) {}

  /// A run's folder. Errors: as read_run; data for a bad line of observations.jsonl. Data that
  /// cannot be read any more is no error: the page says so.
  report::RunData run(const std::filesystem::path& folder);

  /// A comparison's folder. Errors: io, data.
  report::ComparisonData comparison(const std::filesystem::path& folder);

 private:
  report::RunData run_without_errors(const Run& run);
  std::optional<report::RunErrors> errors_of(const Run& run);
  void add_examples(report::RunErrors& errors, const Run& run, const Model& model);
  const Dataset& data(const std::string& source, const ReadOptions& options);

  bool examples_;
  int threads_;
  std::map<std::pair<std::string, std::string>, Dataset> data_;  // by source and target
};

}  // namespace evenrow::cli
