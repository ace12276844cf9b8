// The files that a page consists of, compiled into the program: cmake/EvenrowAssets.cmake makes
// them from page.html, page.css, page.js, chart-licence.txt and Debian's Chart.js.
#pragma once

#include <string_view>

namespace evenrow::report::assets {

extern const std::string_view html, css, js, chart, licence;

/// 'sha256-...', as a content security policy names them.
extern const std::string_view css_hash, js_hash, chart_hash;

}  // namespace evenrow::report::assets
