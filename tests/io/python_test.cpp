// The Python package `safetensors` reads what we write, and we read what it writes.
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "child.hpp"
#include "core/random.hpp"
#include "io/model_file.hpp"
#include "models.hpp"
#include "support.hpp"
#include "support/python.hpp"

namespace evenrow::io {
namespace {

using nlohmann::json;

std::string numpy_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::boolean:
      return "bool";
    case Dtype::u8:
      return "uint8";
    case Dtype::i32:
      return "int32";
    case Dtype::f32:
      return "float32";
    case Dtype::i64:
      return "int64";
    case Dtype::f64:
      return "float64";
    default:
      return "not in these tests";
  }
}

std::string hex_of(const std::vector<std::byte>& bytes) {
  std::string hex;
  for (const std::byte b : bytes) hex += fmt::format("{:02x}", static_cast<unsigned>(b));
  return hex;
}

// What the package finds in the file that save_model() wrote at `path`.
void expect_read_by_python(const TemporaryFolder& folder, const SafetensorsFile& expected,
                           const std::filesystem::path& path) {
  const auto dump = folder / "dump.json";
  ASSERT_NO_FATAL_FAILURE(
      run_python("safetensors_peer.py", {"dump", path.string(), dump.string()}));
  const json found = json::parse(read_text(dump));
  EXPECT_EQ(found.at("metadata"), json(expected.metadata));
  EXPECT_EQ(found.at("tensors").size(), expected.tensors().size());
  for (const TensorEntry& tensor : expected.tensors()) {
    SCOPED_TRACE(tensor.name);
    const json& peer = found.at("tensors").at(tensor.name);
    EXPECT_EQ(peer.at("dtype"), numpy_name(tensor.dtype));
    EXPECT_EQ(peer.at("shape"), json(tensor.shape));
    EXPECT_EQ(peer.at("hex"), hex_of(tensor.bytes));
  }
}

TEST(PythonSafetensors, ReadsOurModels) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  for (const Model& model : {classification_model(), regression_model()}) {
    save_model(model, path);
    expect_read_by_python(folder, to_safetensors(model), path);
  }
}

TEST(PythonSafetensors, ReadsEveryElementTypeOfOurs) {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.metadata["text"] = "\"é\"\\\n🙂";
  file.add("u8", std::vector<std::uint8_t>{1, 2, 3}, {3});
  file.add("f64", std::vector<double>{0.1, -0.0}, {1, 2});
  file.add("i32", std::vector<std::int32_t>{-7}, {1});
  file.add("one value", std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min()}, {});
  file.add("empty", std::vector<float>{}, {0, 3});
  file.add({"bool", Dtype::boolean, {2}, to_bytes(std::string_view("\1\0", 2))});
  file.save(folder / "all");
  expect_read_by_python(folder, file, folder / "all");
}

TEST(PythonSafetensors, WritesModelsThatWeRead) {
  const TemporaryFolder folder;
  const Model model = classification_model();
  save_model(model, folder / "ours");
  ASSERT_NO_FATAL_FAILURE(run_python("safetensors_peer.py", {"rewrite", (folder / "ours").string(),
                                                             (folder / "theirs").string()}));
  expect_same(load_model(folder / "theirs"), model);
}

// A model whose arithmetic is exact, in float and in double: halves of small whole numbers, and
// powers of two for the standard deviations.
Model exact_model() {
  Model model = classification_model();
  model.inputs = InputNormalization::from_parts(model.inputs.columns(), {1, 0, 0, 0, 0, -2},
                                                {4, 1, 1, 0, 1, 0.25});
  NetworkSpec spec = model.network.spec();
  spec.blocks.insert(spec.blocks.begin() + 2, DenseSpec{.units = spec.blocks[1].units,
                                                        .norm = Norm::batch,
                                                        .placement = NormPlacement::before_linear,
                                                        .input_activation = Activation::relu,
                                                        .residual = 1});
  for (DenseSpec& block : spec.blocks) block.eps = 0.5;
  spec.blocks[1].activation = Activation::none;
  model.network = Network<float>(spec, 1);
  const core::RandomStream stream(2, core::Purpose::test, 0);
  std::uint64_t index = 0;
  const auto number = [&] { return static_cast<int>(stream.word(index++) % 5) - 2; };
  for (float& w : model.network.parameters()) w = 0.5f * static_cast<float>(number());
  // So that no probability is 0 or 1.
  for (float& w : model.network.parameter(2, ParameterKind::weight)) w *= 0.125f;
  for (float& w : model.network.parameter(3, ParameterKind::weight)) w *= 0.0625f;
  for (std::size_t b : {0u, 1u, 2u}) {
    RunningStatistics& running = model.network.running(b);
    for (double& mean : running.mean) mean = 0.5 * number();
    for (double& variance : running.variance) variance = number() > 0 ? 0.5 : 3.5;
  }
  return model;
}

// The text of docs/model-file.md, run as it stands there.
TEST(PythonSafetensors, TheDocumentedReaderComputesOurPredictions) {
  const TemporaryFolder folder;
  const Model model = exact_model();
  save_model(model, folder / "model.safetensors");
  const std::string page = read_text(EVENROW_TEST_PYTHON "/../../docs/model-file.md");
  const std::string opening = "```python\n";
  const std::size_t begin = page.find(opening) + opening.size();
  ASSERT_GE(begin, opening.size()) << "docs/model-file.md has no Python text";
  // some_rows() as network inputs: width, one-hot colour with "unknown" last, height.
  const std::string rows = "[[1.5,1,0,0,0,-2],[0,0,0,0,1,3],[NaN,0,0,1,0,NaN],[7,0,0,0,1,0.25]]";
  write_text(folder / "reader.py",
             page.substr(begin, page.find("```", begin) - begin) + "\nx = np.array(json.loads('" +
                 rows +
                 "'))\n"
                 "open('z', 'w').write(json.dumps(probabilities(x).ravel().tolist()))\n");
  const ChildResult result = run_in_child([&] {
    std::filesystem::current_path(folder.path());
    run_python((folder / "reader.py").string(), {});
    return std::string(::testing::Test::HasFailure() ? "failed" : "done");
  });
  ASSERT_EQ(result.text, "done");
  const auto theirs = json::parse(read_text(folder / "z")).get<std::vector<double>>();
  const std::vector<double> ours = model.predict(some_rows());
  ASSERT_EQ(ours.size(), theirs.size());
  EXPECT_EQ(std::set<double>(ours.begin(), ours.end()).size(), ours.size()) << "rows differ";
  for (std::size_t i = 0; i < ours.size(); ++i) {
    // The outputs are equal; each side's softmax of 3 is within 7 roundings (predict_test.cpp).
    EXPECT_NEAR(ours[i], theirs[i], 2 * 7 * 0x1.0p-53 * ours[i]) << i;
  }
}

TEST(PythonSafetensors, WritesFilesThatWeRead) {
  const TemporaryFolder folder;
  const auto path = folder / "theirs";
  ASSERT_NO_FATAL_FAILURE(run_python("safetensors_peer.py", {"make", path.string()}));
  const SafetensorsFile file = SafetensorsFile::load(path);
  EXPECT_EQ(file.metadata,
            (std::map<std::string, std::string>{{"from", "Python"}, {"text", "\"é\"\\\n🙂"}}));
  EXPECT_EQ(file.tensors().size(), 10u);
  EXPECT_EQ(file.require<float>("f32", {2, 3}),
            (std::vector<float>{0, 1 / 3.0f, 2 / 3.0f, 1, 4 / 3.0f, 5 / 3.0f}));
  const auto doubles = file.require<double>("f64", {4});
  EXPECT_EQ(doubles, (std::vector<double>{0.1, -0.0, std::numeric_limits<double>::infinity(),
                                          std::numeric_limits<double>::denorm_min()}));
  EXPECT_TRUE(std::signbit(doubles[1]));
  EXPECT_EQ(file.require<std::int64_t>("i64", {2}),
            (std::vector{std::numeric_limits<std::int64_t>::min(),
                         std::numeric_limits<std::int64_t>::max()}));
  EXPECT_EQ(file.require<std::int32_t>("i32", {2, 1}), (std::vector<std::int32_t>{-5, 6}));
  EXPECT_EQ(file.require<std::uint8_t>("u8", {3}), (std::vector<std::uint8_t>{0, 255, 7}));
  EXPECT_EQ(file.require("f16", Dtype::f16, {1}).bytes, to_bytes(std::string_view("\0\x3e", 2)));
  EXPECT_EQ(file.require("bool", Dtype::boolean, {2}).bytes, to_bytes(std::string_view("\1\0", 2)));
  EXPECT_EQ(file.require<float>("one value", {}), std::vector<float>{2.5f});
  EXPECT_TRUE(file.require<float>("empty", {0, 3}).empty());
  EXPECT_EQ(file.require<std::int64_t>("größer 🙂", {1}), std::vector<std::int64_t>{1});
}

}  // namespace
}  // namespace evenrow::io
