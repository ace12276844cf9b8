#include "evenrow/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/examples.hpp"

namespace evenrow {
namespace training {
namespace {

void judge_classes(const Model& model, const Examples& examples, std::span<const float> outputs,
                   Evaluation& result) {
  const std::size_t classes = model.classes.size();
  const auto width = static_cast<std::size_t>(model.network.outputs());
  result.confusion.assign(classes * classes, 0);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < examples.classes.size(); ++i) {
    const float* z = outputs.data() + i * width;
    std::size_t predicted = 0;
    if (width == 1) {
      predicted = z[0] > 0 ? 1 : 0;
    } else {
      for (std::size_t k = 1; k < width; ++k) {
        if (z[k] > z[predicted]) predicted = k;
      }
    }
    const auto truth = static_cast<std::size_t>(examples.classes[i]);
    ++result.confusion[truth * classes + predicted];
    right += truth == predicted ? 1 : 0;
  }
  result.accuracy = static_cast<double>(right) / static_cast<double>(examples.count);
}

void judge_numbers(const Model& model, const Examples& examples, std::span<const float> outputs,
                   Evaluation& result) {
  const double n = static_cast<double>(examples.count);
  double mean = 0;
  for (const double number : examples.numbers) mean += number / n;
  double squared = 0, absolute = 0, about_mean = 0;
  for (std::size_t i = 0; i < examples.numbers.size(); ++i) {
    const double truth = examples.numbers[i];
    const double error =
        static_cast<double>(outputs[i]) * model.target_scale + model.target_mean - truth;
    squared += error * error;
    absolute += std::abs(error);
    about_mean += (truth - mean) * (truth - mean);
  }
  result.rmse = std::sqrt(squared / n);
  result.mae = absolute / n;
  result.r2 =
      about_mean > 0.0 ? 1.0 - squared / about_mean : std::numeric_limits<double>::quiet_NaN();
}

// Outputs of all examples; inputs that are made of bytes are not all in memory at once.
void infer_examples(const Model& model, const Examples& examples, std::span<float> outputs,
                    int threads) {
  if (!examples.of_bytes) return model.network.infer(examples.x, outputs, threads);
  constexpr std::size_t kTogether = 4096;
  const auto width = static_cast<std::size_t>(model.network.outputs());
  const std::span<const std::uint32_t> rows = examples.rows;
  for (std::size_t first = 0; first < rows.size(); first += kTogether) {
    const auto some = rows.subspan(first, std::min(kTogether, rows.size() - first));
    model.network.infer(examples.of_bytes->normalize(some, threads),
                        outputs.subspan(first * width, some.size() * width), threads);
  }
}

}  // namespace

Evaluation evaluate_examples(const Model& model, const Examples& examples, int threads) {
  std::vector<float> outputs(static_cast<std::size_t>(examples.count * model.network.outputs()));
  infer_examples(model, examples, outputs, threads);
  LossSpec plain = model.loss;
  plain.label_smoothing = 0.0;
  Evaluation result;
  result.rows = examples.count;
  result.loss = loss<float>(plain, outputs, examples.count, {examples.classes, examples.values});
  if (model.task == Task::classification) {
    judge_classes(model, examples, outputs, result);
  } else {
    judge_numbers(model, examples, outputs, result);
  }
  return result;
}

}  // namespace training

Evaluation evaluate(const Model& model, const Dataset& data, int threads) {
  const std::vector<std::uint32_t> rows = training::all_rows(data);
  return training::evaluate_examples(model, training::encode(model, data, rows, threads), threads);
}

}  // namespace evenrow
