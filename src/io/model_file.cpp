#include "io/model_file.hpp"

#include <algorithm>
#include <unordered_set>

#include "core/fail.hpp"
#include "io/check_model.hpp"
#include "io/model_description.hpp"
#include "io/read_file.hpp"
#include "nn/names.hpp"

namespace evenrow {
namespace io {
namespace {

constexpr const char* kInputMean = "inputs.mean";
constexpr const char* kInputVariance = "inputs.variance";

std::string block_tensor(std::size_t block, std::string_view what) {
  return fmt::format("blocks.{}.{}", block, what);
}

std::vector<std::int64_t> shape_of(const ParameterSlot& slot) {
  if (slot.kind == ParameterKind::weight) return {slot.rows, slot.columns};
  return {slot.rows};
}

// What does not fit together in a caller's model is said in the same words of a file's; here the
// file is to blame, and named.
template <class Step>
auto blaming(const SafetensorsFile& file, Step&& step) {
  try {
    return step();
  } catch (const Error& error) {
    core::fail(ErrorKind::data, "{}: {}", file.source(), error.what());
  }
}

// Whether every tensor of the network is in the file, before memory is taken for it: the sizes in
// the description are then no larger than the file.
void check_tensors(const NetworkSpec& spec, const SafetensorsFile& file) {
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    const DenseSpec& block = spec.blocks[b];
    const auto expect = [&](std::string_view what, Dtype dtype,
                            const std::vector<std::int64_t>& shape) {
      file.require(block_tensor(b, what), dtype, shape);
    };
    expect(core::name_of(ParameterKind::weight), Dtype::f32, {block.units, spec.inputs_of(b)});
    if (block.has_bias()) expect(core::name_of(ParameterKind::bias), Dtype::f32, {block.units});
    if (const std::int64_t channels = spec.norm_channels(b); channels > 0) {
      expect(core::name_of(ParameterKind::gamma), Dtype::f32, {channels});
      expect(core::name_of(ParameterKind::beta), Dtype::f32, {channels});
      expect("running_mean", Dtype::f64, {channels});
      expect("running_variance", Dtype::f64, {channels});
    }
  }
}

Network<float> read_network(const ModelDescription& description, const SafetensorsFile& file) {
  blaming(file, [&] { check(description.network); });
  check_tensors(description.network, file);
  Network<float> network(description.network, 0);
  for (const ParameterSlot& slot : network.slots()) {
    const std::vector<float> values = file.require<float>(slot.name, shape_of(slot));
    std::ranges::copy(values, network.parameters().begin() + slot.offset);
  }
  for (std::size_t b = 0; b < description.network.blocks.size(); ++b) {
    RunningStatistics& running = network.running(b);
    running.new_weight = description.running[b].new_weight;
    running.updates = description.running[b].updates;
    const std::int64_t channels = description.network.norm_channels(b);
    if (channels == 0) continue;
    running.mean = file.require<double>(block_tensor(b, "running_mean"), {channels});
    running.variance = file.require<double>(block_tensor(b, "running_variance"), {channels});
  }
  return network;
}

Model read_model(const SafetensorsFile& file, ModelDescription description) {
  Model model;
  model.network = read_network(description, file);
  const std::int64_t inputs = description.network.inputs;
  std::vector<double> mean = file.require<double>(kInputMean, {inputs});
  std::vector<double> variance = file.require<double>(kInputVariance, {inputs});
  model.inputs = blaming(file, [&] {
    return InputNormalization::from_parts(std::move(description.columns), std::move(mean),
                                          std::move(variance));
  });
  model.task = description.task;
  model.target = std::move(description.target);
  model.classes = std::move(description.classes);
  model.loss = description.loss;
  model.target_mean = description.target_mean;
  model.target_scale = description.target_scale;
  blaming(file, [&] { check_model(model); });
  return model;
}

}  // namespace

SafetensorsFile to_safetensors(const Model& model) {
  check_model(model);
  SafetensorsFile file;
  file.metadata.emplace(kDescriptionKey, description_text(model));
  const Network<float>& network = model.network;
  for (const ParameterSlot& slot : network.slots()) {
    file.add(slot.name,
             network.parameters().subspan(static_cast<std::size_t>(slot.offset),
                                          static_cast<std::size_t>(slot.size())),
             shape_of(slot));
  }
  for (std::size_t b = 0; b < network.spec().blocks.size(); ++b) {
    const std::int64_t channels = network.spec().norm_channels(b);
    if (channels == 0) continue;
    file.add(block_tensor(b, "running_mean"), network.running(b).mean, {channels});
    file.add(block_tensor(b, "running_variance"), network.running(b).variance, {channels});
  }
  file.add(kInputMean, model.inputs.mean(), {model.inputs.inputs()});
  file.add(kInputVariance, model.inputs.variance(), {model.inputs.inputs()});
  return file;
}

Model from_safetensors(const SafetensorsFile& file) {
  const auto description = file.metadata.find(std::string(kDescriptionKey));
  if (description == file.metadata.end()) {
    core::fail(ErrorKind::data,
               "{}: is no Evenrow model: its metadata has no \"{}\"; give a file that `evenrow "
               "train` wrote",
               file.source(), kDescriptionKey);
  }
  return read_model(file, parse_description(description->second, file.source()));
}

Model parse_model(std::span<const std::byte> bytes, std::string source) {
  const SafetensorsFile file = SafetensorsFile::parse(bytes, std::move(source));
  Model model = from_safetensors(file);
  std::unordered_set<std::string> known{kInputMean, kInputVariance};
  for (const ParameterSlot& slot : model.network.slots()) known.insert(slot.name);
  for (std::size_t b = 0; b < model.network.spec().blocks.size(); ++b) {
    if (model.network.spec().blocks[b].norm == Norm::none) continue;
    known.insert(block_tensor(b, "running_mean"));
    known.insert(block_tensor(b, "running_variance"));
  }
  for (const TensorEntry& tensor : file.tensors()) {
    if (!known.contains(tensor.name)) {
      core::fail(ErrorKind::data, "{}: tensor {:?}: is none of the model that the file describes",
                 file.source(), tensor.name);
    }
  }
  return model;
}

}  // namespace io

void save_model(const Model& model, const std::filesystem::path& path) {
  io::to_safetensors(model).save(path);
}

Model load_model(const std::filesystem::path& path) {
  return io::parse_model(io::read_file(path), path.string());
}

}  // namespace evenrow
