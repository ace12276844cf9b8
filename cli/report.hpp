// The page that evenrow report writes, for the other verbs that end with one.
#pragma once

#include <string>
#include <vector>

namespace evenrow::cli {

/// One HTML page about run, comparison and study folders. Without `examples` nothing of the data
/// itself is in it. Errors: a folder that is none of these, or whose files are damaged.
std::string report_html(const std::vector<std::string>& folders, bool examples, int threads);

}  // namespace evenrow::cli
