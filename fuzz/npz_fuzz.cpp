// npz files, read for training and, where there is no target, for prediction.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/npz.hpp"
#include "fuzz/dataset_checks.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  const std::span<const std::uint8_t> bytes(data, size);
  fuzz::refuse_or_read([&] { fuzz::check_dataset(data::read_npz_memory(bytes, "npz", {})); });
  fuzz::refuse_or_read([&] {
    const std::vector<Column> expected{{.name = "width"}, {.name = "height"}};
    fuzz::check_dataset(
        data::read_npz_memory(bytes, "npz", {.target = "label", .expected = expected}));
  });
  return 0;
}
