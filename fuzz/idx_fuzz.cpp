// IDX files. The input: two bytes, big-endian, the size of the labels file; that file; the rest is
// the file of the images. A size of 0: no labels.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "data/idx.hpp"
#include "fuzz/dataset_checks.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  if (size < 2) return 0;
  const std::size_t label_size =
      std::min<std::size_t>(size - 2, static_cast<std::size_t>(data[0]) << 8 | data[1]);
  const std::span<const std::uint8_t> bytes(data + 2, size - 2);
  fuzz::refuse_or_read([&] {
    const auto images = data::open_memory(bytes.subspan(label_size), "images");
    if (label_size == 0) {
      fuzz::check_dataset(data::read_idx(*images, nullptr));
      return;
    }
    const auto labels = data::open_memory(bytes.first(label_size), "labels");
    fuzz::check_dataset(data::read_idx(*images, labels.get()));
  });
  return 0;
}
