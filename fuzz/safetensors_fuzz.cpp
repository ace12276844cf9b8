// Files of tensors, and models in them. What is read, once written, is read the same way again.
#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/dataset_checks.hpp"
#include "io/model_file.hpp"
#include "io/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  const auto bytes = std::as_bytes(std::span(data, size));
  fuzz::refuse_or_read([&] {
    const auto file = io::SafetensorsFile::parse(bytes, "file");
    std::size_t tensor_bytes = 0;
    for (const io::TensorEntry& tensor : file.tensors()) tensor_bytes += tensor.bytes.size();
    fuzz::require(tensor_bytes < size, "tensors are no larger than the file");

    const auto written = file.serialize();
    const auto again = io::SafetensorsFile::parse(written, "file");
    fuzz::require(again.metadata == file.metadata, "same metadata");
    fuzz::require(again.tensors().size() == file.tensors().size(), "as many tensors");
    for (const io::TensorEntry& tensor : file.tensors()) {
      fuzz::require(*again.find(tensor.name) == tensor, "same tensor");
    }
    fuzz::require(again.serialize() == written, "same bytes");
  });
  fuzz::refuse_or_read([&] {
    const auto written = io::to_safetensors(io::parse_model(bytes, "file")).serialize();
    fuzz::require(io::to_safetensors(io::parse_model(written, "file")).serialize() == written,
                  "same model");
  });
  return 0;
}
