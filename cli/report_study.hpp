// A tuning study as a report shows it.
#pragma once

#include <filesystem>

#include "report/sources.hpp"

namespace evenrow::cli {

/// The study in the folder of `evenrow tune`. Errors: as read_study.
report::StudyData study_data(const std::filesystem::path& folder);

}  // namespace evenrow::cli
