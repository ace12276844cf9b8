// Text files. What is read once is read the same way again with its columns expected.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <variant>
#include <vector>

#include "data/columns.hpp"
#include "data/csv.hpp"
#include "fuzz/dataset_checks.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  const std::span<const std::uint8_t> bytes(data, size);
  fuzz::refuse_or_read([&] {
    const auto source = data::open_memory(bytes, "text");
    const Dataset first = data::read_csv(*source, {});
    fuzz::check_dataset(first);
    // Without names of their own, the first row itself could be taken for the expected names.
    if (data::are_unnamed(first.columns)) return;
    source->rewind();
    const Dataset again =
        data::read_csv(*source, {.target = first.target->name, .expected = first.columns});
    const auto& values = std::get<std::vector<double>>(first.values);
    const auto& values_again = std::get<std::vector<double>>(again.values);
    fuzz::require(again.rows == first.rows && values.size() == values_again.size(), "same size");
    fuzz::require(values.empty() || std::memcmp(values.data(), values_again.data(),
                                                values.size() * sizeof(double)) == 0,
                  "same values");
    fuzz::require(again.target && again.target->spellings == first.target->spellings,
                  "same target");
  });
  return 0;
}
