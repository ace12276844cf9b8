// Space files: refused with one clear error, or a space whose every trial can be drawn.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "evenrow/error.hpp"
#include "tune/train_space.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  try {
    const Space space =
        tuning::training_space(std::string(reinterpret_cast<const char*>(data), size), "space");
    Tuner tuner(space, {.search = Search::random});
    const TrialParameters parameters = tuner.ask().trial.parameters;
    for (std::size_t i = 0; i < space.size(); ++i) {
      const auto& value = parameters.values()[i];
      if (!value || space[i].type == ParameterType::categorical) continue;
      if (!(*value >= space[i].low && *value <= space[i].high)) std::abort();
    }
    tuning::options_of({}, parameters);
  } catch (const Error&) {
  }
  return 0;
}
