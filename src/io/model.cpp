// Predictions of a model.
#include "evenrow/model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/fail.hpp"
#include "io/check_model.hpp"

namespace evenrow {
namespace {

// Rows whose inputs are in memory at once. Fixed, as are the blocks of Network::infer.
constexpr std::int64_t kPredictionRows = 4096;

// exp(z_k - max) / sum(exp(z_j - max)): no exponent is above 0, so nothing overflows.
void softmax(std::span<const float> z, double* probabilities) {
  const double largest = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (std::size_t k = 0; k < z.size(); ++k) {
    probabilities[k] = std::exp(static_cast<double>(z[k]) - largest);
    sum += probabilities[k];
  }
  for (std::size_t k = 0; k < z.size(); ++k) probabilities[k] /= sum;
}

// 1 / (1 + exp(-z)), with an exponent that is never above 0: small values keep all their digits.
double sigmoid(double z) {
  const double e = std::exp(-std::abs(z));
  return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

// One row of network outputs to one row of predictions.
void finish(const Model& model, std::span<const float> outputs, double* predictions) {
  if (model.task == Task::regression) {
    predictions[0] = model.target_mean + model.target_scale * static_cast<double>(outputs[0]);
  } else if (model.loss.kind == LossKind::binary_cross_entropy) {
    const auto z = static_cast<double>(outputs[0]);
    predictions[0] = sigmoid(-z);
    predictions[1] = sigmoid(z);
  } else {
    softmax(outputs, predictions);
  }
}

}  // namespace

std::int64_t Model::prediction_columns() const {
  return task == Task::regression ? 1 : static_cast<std::int64_t>(classes.size());
}

std::vector<double> Model::predict(const Dataset& data, int threads) const {
  io::check_outputs(*this);
  if (inputs.inputs() != network.inputs()) {
    core::fail(ErrorKind::usage,
               "model: its {} columns make {} inputs, but the network has {} inputs",
               inputs.columns().size(), inputs.inputs(), network.inputs());
  }
  if (data.rows > std::numeric_limits<std::uint32_t>::max()) {
    core::fail(ErrorKind::usage, "{}: {} rows, expected at most {}; split the data", data.source,
               data.rows, std::numeric_limits<std::uint32_t>::max());
  }
  const auto outputs = static_cast<std::size_t>(network.outputs());
  const auto columns = static_cast<std::size_t>(prediction_columns());
  std::vector<double> predictions(static_cast<std::size_t>(data.rows) * columns);
  std::vector<float> y;
  std::vector<std::uint32_t> rows;
  std::int64_t first = 0;
  do {  // once for data without rows too: its columns are checked
    rows.resize(static_cast<std::size_t>(std::min(data.rows - first, kPredictionRows)));
    std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(first));
    const std::vector<float> x = inputs.apply(data, rows, threads);
    y.resize(rows.size() * outputs);
    network.infer(x, y, threads);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      finish(*this, std::span<const float>(y).subspan(i * outputs, outputs),
             predictions.data() + (static_cast<std::size_t>(first) + i) * columns);
    }
    first += kPredictionRows;
  } while (first < data.rows);
  return predictions;
}

}  // namespace evenrow
