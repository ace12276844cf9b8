// Configuration files: refused with one clear error, or read, and then written and read the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "evenrow/error.hpp"
#include "evenrow/train.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  TrainOptions options;
  try {
    options = options_from_toml(std::string(reinterpret_cast<const char*>(data), size));
  } catch (const Error&) {
    return 0;
  }
  const std::string written = to_toml(options);
  if (to_toml(options_from_toml(written)) != written) std::abort();
  return 0;
}
