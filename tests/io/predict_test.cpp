#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "models.hpp"
#include "support.hpp"

namespace evenrow::io {
namespace {

// One numeric column that is passed on unchanged, and one linear block: outputs are weight * x +
// bias, exactly, for the small whole numbers used here.
Model linear_model(std::vector<float> weights, std::vector<float> biases) {
  Model model;
  model.inputs = InputNormalization::from_parts({{.name = "x"}}, {0.0}, {1.0});
  const auto units = static_cast<std::int64_t>(weights.size());
  model.network = Network<float>({.inputs = 1, .blocks = {{.units = units}}}, 1);
  std::ranges::copy(weights, model.network.parameter(0, ParameterKind::weight).begin());
  std::ranges::copy(biases, model.network.parameter(0, ParameterKind::bias).begin());
  return model;
}

Dataset values_of_x(std::vector<double> values) {
  Dataset data;
  data.source = "x values";
  data.columns = {{.name = "x"}};
  data.rows = static_cast<std::int64_t>(values.size());
  data.values = std::move(values);
  return data;
}

// Relative error of exp(z_k) / sum of K = 3 terms, in units of 2^-53: exp() is within 1 ULP (2),
// the sum adds K - 1 roundings to its terms' 2, and the division one more: 2 + 4 + 1.
constexpr double kSoftmaxError = 7 * 0x1.0p-53;

TEST(Predict, ClassProbabilitiesAreTheSoftmaxOfTheOutputs) {
  Model model = linear_model({1, 0, -1}, {0, 2, 0});
  model.classes = {"a", "b", "c"};
  EXPECT_EQ(model.prediction_columns(), 3);
  const std::vector<double> p = model.predict(values_of_x({0, 1, -3}));
  ASSERT_EQ(p.size(), 9u);
  const double z[3][3] = {{0, 2, 0}, {1, 2, -1}, {-3, 2, 3}};
  for (int i = 0; i < 3; ++i) {
    const double sum = std::exp(z[i][0]) + std::exp(z[i][1]) + std::exp(z[i][2]);
    for (int k = 0; k < 3; ++k) {
      EXPECT_NEAR(p[static_cast<std::size_t>(3 * i + k)], std::exp(z[i][k]) / sum,
                  2 * kSoftmaxError);
    }
  }
}

TEST(Predict, LargeOutputsDoNotOverflow) {
  Model model = linear_model({1, 0}, {0, 0});
  model.classes = {"a", "b"};
  const std::vector<double> p = model.predict(values_of_x({1e30, -1e30, 100}));
  EXPECT_EQ(p[0], 1.0);
  EXPECT_EQ(p[1], 0.0);
  EXPECT_EQ(p[2], 0.0);
  EXPECT_EQ(p[3], 1.0);
  // A small probability keeps its digits: exp(-100), not 1 - 1 = 0.
  EXPECT_NEAR(p[5] / std::exp(-100.0), 1.0, 2 * kSoftmaxError);
}

TEST(Predict, OneOutputGivesBothClasses) {
  Model model = linear_model({1}, {0});
  model.classes = {"no", "yes"};
  model.loss.kind = LossKind::binary_cross_entropy;
  EXPECT_EQ(model.prediction_columns(), 2);
  const std::vector<double> p = model.predict(values_of_x({0, 40, -40, 1e30}));
  EXPECT_EQ(p[0], 0.5);
  EXPECT_EQ(p[1], 0.5);
  EXPECT_NEAR(p[2] / std::exp(-40.0), 1.0, kSoftmaxError);
  EXPECT_EQ(p[3], 1.0);
  EXPECT_EQ(p[4], 1.0);
  EXPECT_NEAR(p[5] / std::exp(-40.0), 1.0, kSoftmaxError);
  EXPECT_EQ(p[6], 0.0);
  EXPECT_EQ(p[7], 1.0);
}

TEST(Predict, RegressionIsInTheTargetsUnits) {
  Model model = linear_model({2}, {1});
  model.task = Task::regression;
  model.loss.kind = LossKind::squared_error;
  model.target_mean = 100;
  model.target_scale = 10;
  EXPECT_EQ(model.prediction_columns(), 1);
  EXPECT_EQ(model.predict(values_of_x({0, 3})), (std::vector<double>{110, 170}));
}

// More rows than are in memory at once: every row is that of a data set of its own, whatever the
// number of threads.
TEST(Predict, EveryRowInItsPlace) {
  Model model = linear_model({1}, {0});
  model.task = Task::regression;
  model.loss.kind = LossKind::squared_error;
  std::vector<double> x(4096 * 2 + 5);
  std::iota(x.begin(), x.end(), 0.0);
  for (const int threads : {1, 3}) {
    EXPECT_EQ(model.predict(values_of_x(x), threads), x) << threads << " threads";
  }
}

TEST(Predict, WithoutRows) {
  Model model = linear_model({1}, {0});
  model.task = Task::regression;
  model.loss.kind = LossKind::squared_error;
  EXPECT_TRUE(model.predict(values_of_x({})).empty());
}

TEST(Predict, ColumnsAreFoundByNameAndOtherInputsAreAnError) {
  const Model model = classification_model();
  Dataset data = some_rows();
  const std::vector<double> expected = model.predict(data);
  ASSERT_EQ(expected.size(), 12u);
  for (const double p : expected) EXPECT_TRUE(p > 0 && p < 1) << p;

  std::swap(data.columns[0], data.columns[2]);
  auto& values = std::get<std::vector<double>>(data.values);
  for (std::size_t i = 0; i < values.size(); i += 3) std::swap(values[i], values[i + 2]);
  EXPECT_EQ(model.predict(data), expected);

  data.columns[0].name = "depth";
  EXPECT_THAT(message_of(ErrorKind::data, [&] { (void)model.predict(data); }),
              ::testing::HasSubstr("height"));
}

TEST(Predict, AModelWhosePartsDoNotFitIsRefused) {
  const Dataset data = values_of_x({1});
  const auto refused = [&](const Model& model) {
    return message_of(ErrorKind::usage, [&] { (void)model.predict(data); });
  };
  EXPECT_EQ(refused(Model{}),
            "model: 0 classes and 0 network outputs with cross_entropy, expected 2 or more classes "
            "and one output each");
  Model model = linear_model({1, 2}, {0, 0});
  model.classes = {"a", "b", "c"};
  EXPECT_EQ(refused(model),
            "model: 3 classes and 2 network outputs with cross_entropy, expected 2 or more classes "
            "and one output each");
  model.classes.pop_back();
  model.task = Task::automatic;
  EXPECT_EQ(refused(model), "model: task auto, expected classification or regression");
  model.task = Task::classification;
  model.inputs = classification_model().inputs;
  EXPECT_EQ(refused(model), "model: its 3 columns make 6 inputs, but the network has 1 inputs");
}

}  // namespace
}  // namespace evenrow::io
