// The same networks, initial parameters, mini-batches and optimizers as PyTorch's, whose results
// are stored in data/ (make_reference.py writes them; scripts/parity.sh makes them again).
//
// Tolerances are multiples of NAME.rounding, which the generator measured: the root mean square of
// what float32 rounding does to PyTorch's own results on this very problem. Rounding errors are
// proportional to the unit in the last place, so in double they are 2^-29 of that. The multiple is
// 4 * (4 + 1) = 20: Evenrow's errors are up to 4 times PyTorch's, because its tanh and sigmoid are
// within 4 units in the last place where PyTorch's are within 1; PyTorch's reference has an error
// of its own; and each may be 4 standard deviations from zero.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "evenrow/network.hpp"
#include "evenrow/optimizer.hpp"
#include "evenrow/training_pass.hpp"
#include "io/safetensors.hpp"
#include "kernels/targets.hpp"
#include "nn/names.hpp"
#include "train/names.hpp"

namespace evenrow {
namespace {

constexpr std::int64_t kSteps = 50, kBatch = 24, kExamples = 96, kInputs = 12, kOutputs = 5;
constexpr double kRoundings = 20.0;

const std::filesystem::path& folder() {
  static const std::filesystem::path path = EVENROW_PARITY_DATA;
  return path;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    if (entry.path().stem() != "data") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

template <class E>
E value_of(const nlohmann::json& name) {
  return core::parse_name<E>(name.get<std::string>()).value();
}

struct Case {
  NetworkSpec network;
  LossSpec loss;
  OptimizerSpec optimizer;
  double learning_rate = 0;
  io::SafetensorsFile file;

  explicit Case(const std::string& name)
      : file(io::SafetensorsFile::load(folder() / (name + ".safetensors"))) {
    const auto description = nlohmann::json::parse(file.metadata.at("case"));
    network.inputs = description.at("inputs");
    for (const auto& block : description.at("blocks")) {
      network.blocks.push_back(
          {.units = block.at("units"),
           .norm = value_of<Norm>(block.at("norm")),
           .placement = value_of<NormPlacement>(block.at("placement")),
           .activation = value_of<Activation>(block.at("activation")),
           .bias = block.at("bias").get<bool>(),
           .eps = block.at("eps"),
           .new_weight = block.at("new_weight"),
           .input_activation = value_of<Activation>(block.at("input_activation")),
           .residual = block.at("residual")});
    }
    loss = {.kind = value_of<LossKind>(description.at("loss").at("kind")),
            .label_smoothing = description.at("loss").at("label_smoothing"),
            .huber_delta = description.at("loss").at("huber_delta")};
    optimizer = {.kind = value_of<OptimizerKind>(description.at("optimizer").at("kind")),
                 .momentum = description.at("optimizer").at("momentum"),
                 .weight_decay = description.at("optimizer").at("weight_decay")};
    learning_rate = description.at("learning_rate");
  }
};

template <class T>
std::vector<T> converted(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

template <class T>
struct Data {
  std::vector<T> x, values;
  std::vector<std::int32_t> classes, order;

  explicit Data(LossKind loss) {
    const auto file = io::SafetensorsFile::load(folder() / "data.safetensors");
    x = converted<T>(file.require<float>("x", {kExamples, kInputs}));
    order = file.require<std::int32_t>("order", {kSteps, kBatch});
    if (loss == LossKind::cross_entropy) {
      classes = file.require<std::int32_t>("classes", {kExamples});
    } else {
      const bool labels = loss == LossKind::binary_cross_entropy;
      values =
          converted<T>(file.require<float>(labels ? "labels" : "values", {kExamples, kOutputs}));
    }
  }
};

struct Results {
  std::vector<double> losses, outputs;
  std::vector<std::vector<double>> running_mean, running_variance;  // a block each
};

template <class T>
Results train(const Case& problem, double learning_rate) {
  const Data<T> data(problem.loss.kind);
  Network<T> network(problem.network, 0);
  for (const ParameterSlot& slot : network.slots()) {
    const std::vector<std::int64_t> shape = slot.kind == ParameterKind::weight
                                                ? std::vector{slot.rows, slot.columns}
                                                : std::vector{slot.rows};
    std::ranges::copy(problem.file.require<float>(slot.name, shape),
                      network.parameters().begin() + slot.offset);
  }
  TrainingPass<T> pass(problem.network,
                       {.loss = problem.loss, .max_examples = kBatch, .threads = 2});
  Optimizer<T> optimizer(network, problem.optimizer);

  Results results;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    std::vector<T> x, values;
    std::vector<std::int32_t> classes;
    for (std::int64_t i = 0; i < kBatch; ++i) {
      const std::int64_t row = data.order[static_cast<std::size_t>(step * kBatch + i)];
      x.insert(x.end(), data.x.begin() + row * kInputs, data.x.begin() + (row + 1) * kInputs);
      if (data.values.empty()) {
        classes.push_back(data.classes[static_cast<std::size_t>(row)]);
      } else {
        values.insert(values.end(), data.values.begin() + row * kOutputs,
                      data.values.begin() + (row + 1) * kOutputs);
      }
    }
    const PassResult result = pass.run(network, {.x = x, .classes = classes, .values = values},
                                       static_cast<std::uint64_t>(step));
    optimizer.step(network, pass.gradients(), result.gradient_norm, learning_rate, 2);
    pass.commit(network);
    results.losses.push_back(result.loss);
  }
  for (std::size_t b = 0; b < problem.network.blocks.size(); ++b) {
    results.running_mean.push_back(network.running(b).mean);
    results.running_variance.push_back(network.running(b).variance);
  }
  std::vector<T> outputs(static_cast<std::size_t>(kExamples * kOutputs));
  network.infer(data.x, outputs, 2);
  results.outputs.assign(outputs.begin(), outputs.end());
  return results;
}

// The largest distance from PyTorch's result, in tolerances: at most 1 where there is parity.
template <class T>
double worst(const Case& problem, const std::string& name, const std::vector<double>& found,
             const std::vector<std::int64_t>& shape) {
  const auto expected = problem.file.require<double>(name, shape);
  const bool each = name == "losses";  // one tolerance a step, otherwise one for all
  const auto rounding =
      problem.file.require<double>(name + ".rounding", each ? shape : std::vector<std::int64_t>{1});
  const double unit = std::is_same_v<T, float> ? 1.0 : 0x1.0p-29;
  EXPECT_EQ(found.size(), expected.size());
  double largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double tolerance = kRoundings * unit * rounding[each ? i : 0];
    const double distance = std::abs(found[i] - expected[i]) / tolerance;
    if (!(distance <= largest)) largest = distance;  // NaN too
  }
  return largest;
}

template <class T>
void expect_parity(const Case& problem) {
  const Results results = train<T>(problem, problem.learning_rate);
  EXPECT_LE(worst<T>(problem, "losses", results.losses, {kSteps}), 1.0);
  EXPECT_LE(worst<T>(problem, "outputs", results.outputs, {kExamples, kOutputs}), 1.0);
  for (std::size_t b = 0; b < problem.network.blocks.size(); ++b) {
    const std::int64_t channels = problem.network.norm_channels(b);
    if (channels == 0) continue;
    const std::string name = "blocks." + std::to_string(b);
    EXPECT_LE(worst<T>(problem, name + ".running_mean", results.running_mean[b], {channels}), 1.0);
    EXPECT_LE(
        worst<T>(problem, name + ".running_variance", results.running_variance[b], {channels}),
        1.0);
  }
}

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void TearDown() override { kernels::use_target(""); }
};

TEST_P(Parity, LossesInferenceAndRunningStatisticsAreThoseOfPyTorch) {
  const Case problem(GetParam());
  for (const std::string& target : kernels::available_targets()) {
    SCOPED_TRACE(target);
    ASSERT_TRUE(kernels::use_target(target));
    {
      SCOPED_TRACE("double");
      expect_parity<double>(problem);
    }
    SCOPED_TRACE("float");
    expect_parity<float>(problem);
  }
}

// The tolerances are tight enough to see a learning rate that is off by one in a million (float:
// one in a hundred): a wrong formula is further off.
TEST_P(Parity, AnotherLearningRateIsNoticed) {
  const Case problem(GetParam());
  const Results doubles = train<double>(problem, problem.learning_rate * (1 + 1e-6));
  EXPECT_GT(worst<double>(problem, "losses", doubles.losses, {kSteps}), 1.0);
  const Results floats = train<float>(problem, problem.learning_rate * (1 + 1e-2));
  EXPECT_GT(worst<float>(problem, "losses", floats.losses, {kSteps}), 1.0);
}

INSTANTIATE_TEST_SUITE_P(PyTorch, Parity, testing::ValuesIn(case_names()), [](const auto& suite) {
  std::string name = suite.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

// What the stored cases are there for: a case that is lost shows here.
TEST(ParityCases, CoverOptimizersLossesActivationsAndPlacements) {
  std::vector<OptimizerKind> optimizers, decayed;
  std::vector<LossKind> losses;
  std::vector<Activation> activations;
  std::vector<NormPlacement> placements;
  bool smoothed = false, plain = false, residual = false;
  for (const std::string& name : case_names()) {
    const Case problem(name);
    optimizers.push_back(problem.optimizer.kind);
    if (problem.optimizer.weight_decay > 0) decayed.push_back(problem.optimizer.kind);
    losses.push_back(problem.loss.kind);
    smoothed = smoothed || problem.loss.label_smoothing > 0;
    bool has_norm = false;
    for (const DenseSpec& block : problem.network.blocks) {
      activations.push_back(block.activation);
      residual = residual || block.residual > 0;
      if (block.norm == Norm::none) continue;
      has_norm = true;
      placements.push_back(block.placement);
    }
    plain = plain || !has_norm;
  }
  for (const auto& entry : core::EnumNames<OptimizerKind>::table) {
    EXPECT_THAT(optimizers, testing::Contains(entry.value)) << entry.name;
    EXPECT_THAT(decayed, testing::Contains(entry.value)) << entry.name;
  }
  for (const auto& entry : core::EnumNames<LossKind>::table) {
    EXPECT_THAT(losses, testing::Contains(entry.value)) << entry.name;
  }
  for (const auto& entry : core::EnumNames<Activation>::table) {
    EXPECT_THAT(activations, testing::Contains(entry.value)) << entry.name;
  }
  for (const auto& entry : core::EnumNames<NormPlacement>::table) {
    EXPECT_THAT(placements, testing::Contains(entry.value)) << entry.name;
  }
  EXPECT_TRUE(smoothed && plain && residual);
}

}  // namespace
}  // namespace evenrow
