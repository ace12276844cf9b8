#include "io/model_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <limits>
#include <nlohmann/json.hpp>

#include "child.hpp"
#include "models.hpp"
#include "support.hpp"

namespace evenrow::io {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Model read_back(const Model& model) {
  return parse_model(to_safetensors(model).serialize(), "model");
}

TEST(ModelFile, ComesBackBitForBit) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  for (const Model& model : {classification_model(), regression_model()}) {
    save_model(model, path);
    const Model loaded = load_model(path);
    expect_same(model, loaded);
    EXPECT_EQ(model.predict(some_rows()), loaded.predict(some_rows()));
    const std::string bytes = read_text(path);
    save_model(loaded, path);
    EXPECT_EQ(read_text(path), bytes) << "the same model gives the same bytes";
  }
  EXPECT_THAT(folder.files(), ElementsAre("model.safetensors"));
}

TEST(ModelFile, HasTheTensorsThatItsPageSays) {
  const SafetensorsFile file = to_safetensors(classification_model());
  std::vector<std::string> tensors;
  for (const TensorEntry& tensor : file.tensors()) {
    std::string shape;
    for (const std::int64_t size : tensor.shape) shape += fmt::format(" {}", size);
    tensors.push_back(fmt::format("{} {}{}", tensor.name, core::name_of(tensor.dtype), shape));
  }
  EXPECT_THAT(tensors, ::testing::UnorderedElementsAre(
                           "blocks.0.weight F32 4 6", "blocks.0.gamma F32 4", "blocks.0.beta F32 4",
                           "blocks.1.weight F32 5 4", "blocks.1.bias F32 5", "blocks.1.gamma F32 5",
                           "blocks.1.beta F32 5", "blocks.2.weight F32 3 5", "blocks.2.bias F32 3",
                           "blocks.0.running_mean F64 4", "blocks.0.running_variance F64 4",
                           "blocks.1.running_mean F64 5", "blocks.1.running_variance F64 5",
                           "inputs.mean F64 6", "inputs.variance F64 6"));
}

// What docs/model-file.md shows, key by key.
TEST(ModelFile, DescribesTheModelInItsMetadata) {
  const json expected = json::parse(R"json({
    "version": 1,
    "task": "classification",
    "target": {"name": "Größe", "classes": ["1.0", "naïve \"x\"", "two\nlines"],
               "mean": 0.0, "scale": 1.0},
    "loss": {"kind": "cross_entropy", "label_smoothing": 0.1, "huber_delta": 1.0},
    "columns": [
      {"name": "width", "kind": "numeric"},
      {"name": "colour", "kind": "categorical",
       "categories": ["red", "a \"quoted\"\nword\\", "größer ≥ 🙂"]},
      {"name": "height", "kind": "numeric"}
    ],
    "network": {
      "inputs": 6,
      "blocks": [
        {"units": 4, "norm": "batch", "placement": "before", "activation": "relu",
         "dropout": 0.1, "bias": null, "eps": 0.001, "new_weight": 0.3, "initialization": "auto",
         "running": {"new_weight": 0.3, "updates": 1000000007}},
        {"units": 5, "norm": "batch", "placement": "after", "activation": "leaky_relu",
         "dropout": 0.0, "bias": true, "eps": 1e-05, "new_weight": 0.1, "initialization": "he",
         "running": {"new_weight": 0.7, "updates": 1000000008}},
        {"units": 3, "norm": "none", "placement": "before", "activation": "none",
         "dropout": 0.0, "bias": null, "eps": 1e-05, "new_weight": 0.1, "initialization": "auto"}
      ]
    }
  })json");
  EXPECT_EQ(json::parse(to_safetensors(classification_model()).metadata.at("evenrow")), expected);
}

TEST(ModelFile, TextsInOtherEncodingsComeBack) {
  Model model = classification_model();
  model.target = "\xff\xfe target";
  model.classes = {"caf\xe9", std::string("nul\0", 4), ""};
  std::vector<Column> columns = model.inputs.columns();
  columns[0].name = "\x80";
  columns[1].categories[0] = "\xc3";
  model.inputs = InputNormalization::from_parts(
      columns, {model.inputs.mean().begin(), model.inputs.mean().end()},
      {model.inputs.variance().begin(), model.inputs.variance().end()});
  expect_same(model, read_back(model));
  EXPECT_THAT(to_safetensors(model).metadata.at("evenrow"), HasSubstr(R"({"hex":"636166e9"})"));
}

TEST(ModelFile, EveryNameComesBack) {
  Model model = regression_model();
  for (const Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu,
                                      Activation::gelu, Activation::tanh, Activation::sigmoid}) {
    NetworkSpec spec = model.network.spec();
    spec.blocks[0].activation = activation;
    model.network = Network<float>(spec, 3);
    expect_same(model, read_back(model));
  }
  model.loss.kind = LossKind::squared_error;
  expect_same(model, read_back(model));
  Model binary = model;
  binary.task = Task::classification;
  binary.classes = {"a", "b"};
  binary.loss.kind = LossKind::binary_cross_entropy;
  expect_same(binary, read_back(binary));
}

TEST(ModelFile, CheckpointsMayAddTensorsAndModelsMayNot) {
  SafetensorsFile file = to_safetensors(regression_model());
  file.metadata["other"] = "text";
  expect_same(parse_model(file.serialize(), "m"), regression_model());
  file.add("optimizer.first", std::vector<float>{1}, {1});
  expect_same(from_safetensors(file), regression_model());
  EXPECT_EQ(message_of(ErrorKind::data, [&] { (void)parse_model(file.serialize(), "m"); }),
            "m: tensor \"optimizer.first\": is none of the model that the file describes");
}

// ---- faults

TEST(ModelFile, AFullDiskWhileSavingLeavesTheOldModelWhole) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  Model large = regression_model();
  large.network = Network<float>({.inputs = 6, .blocks = {{.units = 20000}, {.units = 1}}}, 1);
  const ChildResult result = run_in_child([&]() -> std::string {
    // Room for the small model (some KiB) and a part of the large one (640 KB).
    const std::string why = mount_private_tmpfs(folder.path().string(), 256 << 10);
    if (!why.empty()) return "skip: " + why;
    save_model(classification_model(), path);
    const std::string before = read_text(path);
    const std::string message = message_of(ErrorKind::io, [&] { save_model(large, path); });
    if (read_text(path) != before) return "the old model has changed";
    if (folder.files().size() != 1) return "a temporary file was left";
    expect_same(load_model(path), classification_model());
    save_model(regression_model(), path);  // what was taken is free again
    expect_same(load_model(path), regression_model());
    return ::testing::Test::HasFailure() ? "a model has changed" : message;
  });
  if (result.text.starts_with("skip: ")) GTEST_SKIP() << "no small tmpfs here: " << result.text;
  EXPECT_EQ(result.text, path.string() +
                             ": cannot be written: writing failed: No space left on device; free "
                             "some space, or choose another folder");
}

TEST(ModelFile, AnyLimitWhileSavingLeavesTheOldModelWhole) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  save_model(classification_model(), path);
  const std::string before = read_text(path);
  const std::size_t size = to_safetensors(regression_model()).serialize().size();
  for (std::size_t limit = 0; limit < size; limit += size / 7) {
    const ChildResult result = run_in_child([&] {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit bytes{limit, limit};
      setrlimit(RLIMIT_FSIZE, &bytes);
      return message_of(ErrorKind::io, [&] { save_model(regression_model(), path); });
    });
    EXPECT_EQ(result.text, path.string() + ": cannot be written: writing failed: File too large");
    EXPECT_EQ(read_text(path), before);
    EXPECT_THAT(folder.files(), ElementsAre("model.safetensors"));
  }
}

// ---- properties

std::string any_bytes() {
  return *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
}

DenseSpec any_block() {
  DenseSpec block;
  block.units = *rc::gen::inRange<std::int64_t>(1, 6);
  block.norm = *rc::gen::element(Norm::none, Norm::batch);
  block.placement =
      *rc::gen::element(NormPlacement::before_activation, NormPlacement::after_activation,
                        NormPlacement::before_linear);
  block.activation = static_cast<Activation>(*rc::gen::inRange(0, 6));
  block.initialization = static_cast<Initialization>(*rc::gen::inRange(0, 3));
  block.dropout = *rc::gen::inRange(0, 1000) / 1001.0;
  block.eps = *rc::gen::inRange(0, 1000) / 3e5;
  block.new_weight = *rc::gen::inRange(1, 1000) / 999.0;
  block.bias = *rc::gen::element<std::optional<bool>>(std::nullopt, false, true);
  const bool before =
      block.norm == Norm::batch && block.placement == NormPlacement::before_activation;
  if (before && block.bias == true) block.bias.reset();
  return block;
}

// Another block that adds its input, and reads it as a first block may not.
DenseSpec any_residual_block(std::int64_t units) {
  DenseSpec block = any_block();
  block.units = units;
  block.input_activation = static_cast<Activation>(*rc::gen::inRange(0, 6));
  block.residual = 1;
  return block;
}

// Any finite number, by its bits.
template <class T, class Bits>
T any_number() {
  const T number = std::bit_cast<T>(*rc::gen::arbitrary<Bits>());
  return std::isfinite(number) ? number : T{0};
}

Model any_model() {
  Model model;
  std::vector<Column> columns{{.name = any_bytes()}};
  std::int64_t inputs = 1;
  for (int c = *rc::gen::inRange(0, 4); c > 0; --c) {
    Column column{.name = any_bytes(),
                  .kind = *rc::gen::element(ColumnKind::numeric, ColumnKind::categorical)};
    if (column.kind == ColumnKind::categorical) {
      for (int k = *rc::gen::inRange(0, 3); k > 0; --k) {
        column.categories.push_back(fmt::format("{}{}", k, any_bytes()));
      }
      inputs += static_cast<std::int64_t>(column.categories.size());
    }
    ++inputs;
    columns.push_back(std::move(column));
  }
  std::vector<double> mean, variance;
  for (std::int64_t i = 0; i < inputs; ++i) {
    mean.push_back(any_number<double, std::uint64_t>());
    variance.push_back(std::abs(any_number<double, std::uint64_t>()));
  }
  model.inputs = InputNormalization::from_parts(columns, mean, variance);

  NetworkSpec spec{.inputs = inputs, .blocks = {}};
  for (int b = *rc::gen::inRange(0, 4); b > 0; --b) {
    const bool residual = !spec.blocks.empty() && *rc::gen::arbitrary<bool>();
    spec.blocks.push_back(residual ? any_residual_block(spec.outputs()) : any_block());
  }
  DenseSpec last = any_block();
  model.task = *rc::gen::element(Task::classification, Task::regression);
  if (model.task == Task::regression) {
    model.loss.kind = *rc::gen::element(LossKind::squared_error, LossKind::huber);
    last.units = 1;
  } else if (*rc::gen::arbitrary<bool>()) {
    model.loss.kind = LossKind::binary_cross_entropy;
    last.units = 1;
    model.classes = {fmt::format("0{}", any_bytes()), fmt::format("1{}", any_bytes())};
  } else {
    last.units += 1;
    model.loss.label_smoothing = *rc::gen::inRange(0, 1000) / 1001.0;
    for (std::int64_t k = 0; k < last.units; ++k) {
      model.classes.push_back(fmt::format("{}{}", k, any_bytes()));
    }
  }
  spec.blocks.push_back(last);
  if (spec.blocks[0].placement == NormPlacement::before_linear) spec.blocks[0].norm = Norm::none;
  model.loss.huber_delta = *rc::gen::inRange(1, 1000) / 7.0;
  model.network = Network<float>(spec, *rc::gen::arbitrary<std::uint64_t>());
  for (float& w : model.network.parameters()) w = any_number<float, std::uint32_t>();
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    if (spec.blocks[b].norm == Norm::none) continue;
    RunningStatistics& running = model.network.running(b);
    for (double& m : running.mean) m = any_number<double, std::uint64_t>();
    for (double& v : running.variance) v = std::abs(any_number<double, std::uint64_t>());
    running.updates = *rc::gen::inRange<std::int64_t>(0, std::numeric_limits<std::int64_t>::max());
    running.new_weight = *rc::gen::inRange(1, 1000) / 999.0;
  }
  model.target = any_bytes();
  model.target_mean = any_number<double, std::uint64_t>();
  model.target_scale = std::abs(any_number<double, std::uint64_t>());
  if (model.target_scale == 0) model.target_scale = std::numeric_limits<double>::denorm_min();
  return model;
}

TEST(ModelFile, AnyModelComesBackBitForBit) {
  EXPECT_TRUE(rc::check([] {
    const Model model = any_model();
    const auto bytes = to_safetensors(model).serialize();
    const Model loaded = parse_model(bytes, "m");
    expect_same(model, loaded);
    RC_ASSERT(!::testing::Test::HasFailure());
    RC_ASSERT(to_safetensors(loaded).serialize() == bytes);
  }));
}

}  // namespace
}  // namespace evenrow::io
