// Charts as page.js draws them, and as tables for those who read numbers.
#pragma once

#include <nlohmann/json.hpp>

#include "report/page.hpp"

namespace evenrow::report {

/// What page.js reads: the fields of the structs in page.hpp. Numbers have 6 digits; NaN is null.
nlohmann::ordered_json chart_json(const Figure& figure);

/// The numbers of a figure. Long ones in evenly spaced rows, as the caption then says.
Grid chart_table(const Figure& figure);

}  // namespace evenrow::report
