// npy files.
#include <cstddef>
#include <cstdint>
#include <span>

#include "data/npy.hpp"
#include "fuzz/dataset_checks.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  fuzz::refuse_or_read([&] {
    const auto source = data::open_memory(std::span(data, size), "array");
    fuzz::check_dataset(data::read_npy(*source, {}));
  });
  return 0;
}
