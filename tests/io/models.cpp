#include "models.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace evenrow::io {
namespace {

std::vector<Column> columns() {
  return {{.name = "width"},
          {.name = "colour",
           .kind = ColumnKind::categorical,
           .categories = {"red", "a \"quoted\"\nword\\", "größer ≥ 🙂"}},
          {.name = "height"}};
}

InputNormalization inputs() {
  return InputNormalization::from_parts(columns(), {0.1, 0.2, 0.3, 0.4, 0.1, -3.0},
                                        {2.0, 0.16, 0.21, 0.24, 0.09, 1.0 / 3.0});
}

// Distinct values of both signs, of which most are no short decimal numbers.
void fill(Network<float>& network) {
  float step = 0;
  for (float& w : network.parameters()) w = std::sin(step += 1.0f);
  for (std::size_t b = 0; b < network.spec().blocks.size(); ++b) {
    RunningStatistics& running = network.running(b);
    for (std::size_t c = 0; c < running.mean.size(); ++c) {
      running.mean[c] = std::sin(100.0 + static_cast<double>(b * 10 + c));
      running.variance[c] = std::exp(std::sin(200.0 + static_cast<double>(b * 10 + c)));
    }
    running.updates = running.mean.empty() ? 0 : 1'000'000'007 + static_cast<std::int64_t>(b);
  }
}

template <class T>
void expect_same_bits(std::span<const T> a, std::span<const T> b) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(std::bit_cast<Bits>(a[i]), std::bit_cast<Bits>(b[i])) << i;
  }
}

void expect_same_number(double a, double b) {
  expect_same_bits<double>(std::span(&a, 1), std::span(&b, 1));
}

}  // namespace

Model classification_model() {
  Model model;
  model.inputs = inputs();
  model.network = Network<float>({.inputs = 6,
                                  .blocks = {{.units = 4,
                                              .norm = Norm::batch,
                                              .activation = Activation::relu,
                                              .dropout = 0.1,
                                              .eps = 1e-3,
                                              .new_weight = 0.3},
                                             {.units = 5,
                                              .norm = Norm::batch,
                                              .placement = NormPlacement::after_activation,
                                              .activation = Activation::leaky_relu,
                                              .bias = true,
                                              .initialization = Initialization::he},
                                             {.units = 3}}},
                                 1);
  fill(model.network);
  model.network.running(1).new_weight = 0.7;
  model.target = "Größe";
  model.classes = {"1.0", "naïve \"x\"", "two\nlines"};
  model.loss.label_smoothing = 0.1;
  return model;
}

Model regression_model() {
  Model model;
  model.inputs = inputs();
  model.network = Network<float>({.inputs = 6,
                                  .blocks = {{.units = 7,
                                              .activation = Activation::tanh,
                                              .bias = false,
                                              .initialization = Initialization::xavier},
                                             {.units = 1}}},
                                 1);
  fill(model.network);
  model.task = Task::regression;
  model.target = "price";
  model.loss = {.kind = LossKind::huber, .huber_delta = 0.7};
  model.target_mean = 10;
  model.target_scale = 2;
  return model;
}

Dataset some_rows() {
  const double missing = std::numeric_limits<double>::quiet_NaN();
  Dataset data;
  data.source = "some rows";
  data.columns = columns();
  data.columns[1].categories.insert(data.columns[1].categories.begin(), "never seen");
  data.values = std::vector<double>{1.5, 1, -2, 0, 0, 3, missing, 3, missing, 7, missing, 0.25};
  data.rows = 4;
  return data;
}

void expect_same(const Model& a, const Model& b) {
  EXPECT_EQ(a.network.spec(), b.network.spec());
  expect_same_bits(a.network.parameters(), b.network.parameters());
  for (std::size_t i = 0; i < a.network.spec().blocks.size(); ++i) {
    const RunningStatistics &left = a.network.running(i), &right = b.network.running(i);
    expect_same_bits<double>(left.mean, right.mean);
    expect_same_bits<double>(left.variance, right.variance);
    expect_same_number(left.new_weight, right.new_weight);
    EXPECT_EQ(left.updates, right.updates);
  }
  ASSERT_EQ(a.inputs.columns().size(), b.inputs.columns().size());
  for (std::size_t i = 0; i < a.inputs.columns().size(); ++i) {
    EXPECT_EQ(a.inputs.columns()[i].name, b.inputs.columns()[i].name);
    EXPECT_EQ(a.inputs.columns()[i].kind, b.inputs.columns()[i].kind);
    EXPECT_EQ(a.inputs.columns()[i].categories, b.inputs.columns()[i].categories);
  }
  expect_same_bits(a.inputs.mean(), b.inputs.mean());
  expect_same_bits(a.inputs.variance(), b.inputs.variance());
  EXPECT_EQ(a.task, b.task);
  EXPECT_EQ(a.target, b.target);
  EXPECT_EQ(a.classes, b.classes);
  EXPECT_EQ(a.loss, b.loss);
  expect_same_number(a.target_mean, b.target_mean);
  expect_same_number(a.target_scale, b.target_scale);
}

}  // namespace evenrow::io
