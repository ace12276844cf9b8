// Journals: refused with one clear error, or studies that can be ranked and explained.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "evenrow/error.hpp"
#include "tune/journal.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  tuning::JournalContent content;
  std::int64_t lines = 0;
  try {
    tuning::apply_lines({reinterpret_cast<const char*>(data), size}, "journal", lines, content);
    for (std::size_t i = 0; i < content.studies().size(); ++i) {
      if (content.studies()[i].directions.empty()) continue;
      const Study study = content.study(i);
      best_trial(study);
      parameter_importance(study);
    }
  } catch (const Error&) {
  }
  return 0;
}
