// Descriptions of models, beside tensors that fit the seeds: what is accepted is a model that can
// be used, and comes back the same.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "fuzz/dataset_checks.hpp"
#include "io/model_file.hpp"
#include "io/safetensors.hpp"

namespace {

using evenrow::io::SafetensorsFile;

template <class T>
void add(SafetensorsFile& file, const std::string& name, std::vector<std::int64_t> shape) {
  std::int64_t size = 1;
  for (const std::int64_t side : shape) size *= side;
  file.add(name, std::vector<T>(static_cast<std::size_t>(size), T{1}), std::move(shape));
}

// Those of fuzz/corpus/model/classification.
SafetensorsFile tensors() {
  SafetensorsFile file;
  const std::int64_t widths[] = {6, 4, 5, 3};
  for (std::size_t b = 0; b < 3; ++b) {
    const std::string block = "blocks." + std::to_string(b);
    const std::int64_t units = widths[b + 1];
    add<float>(file, block + ".weight", {units, widths[b]});
    if (b > 0) add<float>(file, block + ".bias", {units});
    if (b == 2) continue;
    add<float>(file, block + ".gamma", {units});
    add<float>(file, block + ".beta", {units});
    add<double>(file, block + ".running_mean", {units});
    add<double>(file, block + ".running_variance", {units});
  }
  add<double>(file, "inputs.mean", {6});
  add<double>(file, "inputs.variance", {6});
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evenrow;
  static const SafetensorsFile prepared = tensors();
  SafetensorsFile file = prepared;
  file.metadata["evenrow"].assign(reinterpret_cast<const char*>(data), size);
  fuzz::refuse_or_read([&] {
    const Model model = io::from_safetensors(file);
    const auto written = io::to_safetensors(model).serialize();
    fuzz::require(io::to_safetensors(io::parse_model(written, "file")).serialize() == written,
                  "same model");
    Dataset data_set;
    data_set.columns = model.inputs.columns();
    data_set.rows = 2;
    data_set.values = std::vector<double>(2 * data_set.columns.size(), 0.0);
    // A column without categories has no code but "missing".
    for (std::size_t c = 0; c < data_set.columns.size(); ++c) {
      const Column& column = data_set.columns[c];
      if (column.kind == ColumnKind::numeric || !column.categories.empty()) continue;
      auto& values = std::get<std::vector<double>>(data_set.values);
      values[c] = values[data_set.columns.size() + c] = std::numeric_limits<double>::quiet_NaN();
    }
    const auto predictions = model.predict(data_set, 1);
    fuzz::require(static_cast<std::int64_t>(predictions.size()) == 2 * model.prediction_columns(),
                  "predictions for both rows");
  });
  return 0;
}
