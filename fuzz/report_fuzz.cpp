// The JSON of observations and comparisons: refused with one clear error, or shown on a page into
// which nothing else comes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/report_json.hpp"
#include "evenrow/error.hpp"
#include "io/strict_json.hpp"
#include "report/sections.hpp"

namespace {

using namespace evenrow;

// Scripts, and tags that would ask for something, are the page's own alone.
void check(report::Sources sources) {
  const std::string html = report::page_html(report::report_page(std::move(sources), "fuzz"));
  std::size_t scripts = 0;
  for (std::size_t at = 0; (at = html.find("</script", at)) != std::string::npos; ++at) ++scripts;
  if (scripts != 3 || html.find("<img") != std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    check(
        {.comparisons = {cli::comparison_from_json(io::parse_strict_json(text, "fuzz"), "fuzz")}});
  } catch (const Error&) {
  }
  try {
    report::RunData run{.folder = "run"};
    for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      const auto line = io::parse_strict_json(text.substr(at, end - at), "fuzz");
      run.observations.push_back(cli::observation_from_json(line, "fuzz"));
    }
    check({.runs = {run}});
  } catch (const Error&) {
  } catch (const nlohmann::json::exception&) {  // read_json_lines() makes one of these an Error
  }
  return 0;
}
