// Uses an installed Evenrow as a stranger would: the operator on a small tensor, a training loop of
// its own, a model file, and an error. Prints what went wrong and exits with 1 when anything did.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <evenrow/evenrow.hpp>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace {

int failures = 0;

void expect(bool holds, const char* what) {
  if (!holds) {
    std::printf("failed: %s\n", what);
    ++failures;
  }
}

// y and the statistics have at most a few roundings each; 16 units in the last place of a value
// near 1.5 leave room for the order in which the library does them.
bool near(double value, double expected) {
  return std::abs(value - expected) <= 16 * std::numeric_limits<float>::epsilon() * 1.5;
}

// Two channels, row-major, four rows: channel 0 is 1, 2, 3, 4 (mean 2.5, biased variance 1.25),
// channel 1 is ten times that.
void normalize_rows() {
  const std::vector<float> x{1, 10, 2, 20, 3, 30, 4, 40};
  const std::vector<float> gamma{1, 2}, beta{0, 1};
  std::vector<float> y(8), dx(8), dgamma(2), dbeta(2);
  const auto shape = evenrow::NormShape::row_major(4, 2);
  const auto saved = evenrow::batch_norm_train<float>(
      {.x = x, .gamma = gamma, .beta = beta, .y = y, .shape = shape}, {.eps = 0.0});
  expect(saved.count() == 4, "count");
  expect(saved.mean()[0] == 2.5 && saved.mean()[1] == 25, "mean");
  expect(saved.biased_variance()[0] == 1.25 && saved.biased_variance()[1] == 125, "variance");
  const double first = -1.5 / std::sqrt(1.25);  // (1 - 2.5) / sqrt(1.25)
  expect(near(y[0], first) && near(y[1], 2 * first + 1), "y of the first row");
  expect(near(y[6], -first) && near(y[7], -2 * first + 1), "y of the last row");

  evenrow::RunningStatistics running(2, 0.5);
  running.update(saved);
  expect(running.mean[0] == 1.25 && running.variance[1] == 63, "running statistics");

  const std::vector<float> dy{1, 0, 0, 0, 0, 0, 0, 1};
  evenrow::batch_norm_backward<float>(
      {.x = x, .dy = dy, .gamma = gamma, .beta = beta, .dx = dx, .dgamma = dgamma, .dbeta = dbeta},
      saved);
  expect(dbeta[0] == 1 && dbeta[1] == 1, "dbeta is sum(dy)");
  expect(near(dgamma[0], first) && near(dgamma[1], -first), "dgamma is sum(dy * xhat)");
  expect(near(dx[0] + dx[2] + dx[4] + dx[6], 0), "dx sums to 0");
}

// Two classes, inside and outside of a circle: no line separates them, a small network does.
struct Points {
  std::vector<float> x;
  std::vector<std::int32_t> classes;
};

Points grid_points() {
  Points points;
  for (int i = -10; i <= 10; ++i) {
    for (int j = -10; j <= 10; ++j) {
      const float a = static_cast<float>(i) / 10, b = static_cast<float>(j) / 10;
      points.x.insert(points.x.end(), {a, b});
      points.classes.push_back(a * a + b * b < 0.5f ? 1 : 0);
    }
  }
  return points;
}

double accuracy(const evenrow::Network<float>& network, const Points& points) {
  std::vector<float> outputs(points.classes.size() * 2);
  network.infer(points.x, outputs);
  std::size_t right = 0;
  for (std::size_t i = 0; i < points.classes.size(); ++i) {
    right += (outputs[2 * i + 1] > outputs[2 * i]) == (points.classes[i] == 1);
  }
  return static_cast<double>(right) / static_cast<double>(points.classes.size());
}

void train_network() {
  const Points points = grid_points();
  const evenrow::NetworkSpec spec{
      .inputs = 2,
      .blocks = {
          {.units = 16, .norm = evenrow::Norm::batch, .activation = evenrow::Activation::relu},
          {.units = 2}}};
  evenrow::Network<float> network(spec, 1);
  evenrow::TrainingPass<float> pass(
      spec, {.max_examples = static_cast<std::int64_t>(points.classes.size())});
  evenrow::Optimizer<float> optimizer(network, {.kind = evenrow::OptimizerKind::adam});
  double first_loss = 0, last_loss = 0;
  for (std::uint64_t step = 0; step < 300; ++step) {
    const auto result = pass.run(network, {.x = points.x, .classes = points.classes}, step);
    expect(result.finite, "finite loss and gradients");
    optimizer.step(network, pass.gradients(), result.gradient_norm, 0.02);
    pass.commit(network);
    (step == 0 ? first_loss : last_loss) = result.loss;
  }
  expect(last_loss < first_loss / 4, "the loss falls to less than a quarter");
  expect(network.running(0).updates == 300, "300 committed updates");
  expect(accuracy(network, points) > 0.95, "more than 95 % of the points are right");

  // A model file gives the same network back.
  const auto path = std::filesystem::temp_directory_path() / "evenrow-outside.safetensors";
  evenrow::Dataset data;
  data.source = "grid";
  data.rows = static_cast<std::int64_t>(points.classes.size());
  data.columns = {{.name = "a"}, {.name = "b"}};
  data.values = points.x;
  std::vector<std::uint32_t> rows(points.classes.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint32_t>(i);
  const evenrow::Model model{.network = network,
                             .inputs = evenrow::InputNormalization::fit(data, rows),
                             .task = evenrow::Task::classification,
                             .target = "circle",
                             .classes = {"outside", "inside"}};
  evenrow::save_model(model, path);
  const evenrow::Model loaded = evenrow::load_model(path);
  std::filesystem::remove(path);
  expect(loaded.network.spec() == spec, "the loaded network's specification");
  expect(loaded.predict(data) == model.predict(data), "the loaded model predicts the same bits");
}

// The exception type crosses the library's border with its kind.
void meet_errors() {
  try {
    evenrow::Network<float>({.inputs = 0, .blocks = {}}, 1);
    expect(false, "a network without blocks is refused");
  } catch (const evenrow::Error& error) {
    expect(error.kind() == evenrow::ErrorKind::usage, "kind of a usage error");
  }
  try {
    evenrow::read_dataset("no-such-file.csv");
    expect(false, "a missing file is refused");
  } catch (const evenrow::Error& error) {
    expect(error.kind() == evenrow::ErrorKind::io, "kind of an io error");
    expect(std::string(error.what()).find("no-such-file.csv") != std::string::npos,
           "the message names the file");
  }
}

}  // namespace

int main() {
  normalize_rows();
  train_network();
  meet_errors();
  if (failures == 0) std::printf("outside: all as expected\n");
  return failures == 0 ? 0 : 1;
}
