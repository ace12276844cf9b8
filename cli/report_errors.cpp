// Where a run's model errs: its counts from result.json, examples from the data that it names.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <variant>

#include "core/fail.hpp"
#include "report/numbers.hpp"
#include "report_sources.hpp"
#include "train/examples.hpp"

namespace evenrow::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kMostImages = 24, kMostRows = 15, kMostColumns = 8;
constexpr std::size_t kMostPoints = 500;

double value_at(const Dataset& data, std::size_t row, std::size_t column) {
  return std::visit(
      [&](const auto& values) {
        return static_cast<double>(values[row * data.columns.size() + column]);
      },
      data.values);
}

std::string cell_text(const Dataset& data, std::size_t row, std::size_t column) {
  const double value = value_at(data, row, column);
  const Column& about = data.columns[column];
  if (about.kind == ColumnKind::numeric || std::isnan(value)) return report::number(value, 5);
  return about.categories[static_cast<std::size_t>(value)];
}

// A row as grey pixels: bytes as they are, other numbers from the smallest to the largest.
std::vector<std::uint8_t> pixels_of(const Dataset& data, std::size_t row) {
  std::vector<double> values;
  for (std::size_t k = 0; k < data.columns.size(); ++k) values.push_back(value_at(data, row, k));
  double low = 0, high = 255;
  if (!std::holds_alternative<std::vector<std::uint8_t>>(data.values)) {
    low = *std::ranges::min_element(values);
    high = *std::ranges::max_element(values);
  }
  std::vector<std::uint8_t> pixels;
  for (const double value : values) {
    const double part = high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0.0;
    pixels.push_back(static_cast<std::uint8_t>(std::lround(255 * (std::isnan(part) ? 0 : part))));
  }
  return pixels;
}

// The rows of one part of a run's data, and what the model says about them.
struct Judged {
  const Dataset& data;
  std::vector<std::uint32_t> rows;
  std::vector<double> predictions;  // of all rows of `data`
  training::Examples truths;        // of `rows`
};

void describe_row(report::Mistake& mistake, const Dataset& data, std::uint32_t row) {
  mistake.row = std::int64_t{row} + 1;
  if (data.image_height > 0) {
    mistake.pixels = pixels_of(data, row);
    return;
  }
  for (std::size_t k = 0; k < std::min(data.columns.size(), kMostColumns); ++k) {
    mistake.cells.push_back(cell_text(data, row, k));
  }
}

// The surest mistakes; false when the counts are not those of result.json.
bool add_wrong_rows(report::RunErrors& errors, const Judged& judged, std::size_t most) {
  const std::size_t classes = errors.classes.size();
  struct Wrong {
    std::size_t at, truth, predicted;
    double probability;
  };
  std::vector<Wrong> wrong;
  std::vector<std::int64_t> counts(classes * classes, 0);
  for (std::size_t i = 0; i < judged.rows.size(); ++i) {
    const double* row = judged.predictions.data() + judged.rows[i] * classes;
    const auto predicted = static_cast<std::size_t>(std::max_element(row, row + classes) - row);
    const auto truth = static_cast<std::size_t>(judged.truths.classes[i]);
    ++counts[truth * classes + predicted];
    if (truth != predicted) wrong.push_back({i, truth, predicted, row[predicted]});
  }
  if (counts != errors.confusion) return false;
  std::ranges::stable_sort(wrong, std::greater<>(), &Wrong::probability);
  wrong.resize(std::min(wrong.size(), most));
  for (const Wrong& one : wrong) {
    report::Mistake mistake{.truth = errors.classes[one.truth],
                            .predicted = errors.classes[one.predicted],
                            .probability = one.probability};
    describe_row(mistake, judged.data, judged.rows[one.at]);
    errors.mistakes.push_back(std::move(mistake));
  }
  return true;
}

void add_far_rows(report::RunErrors& errors, const Judged& judged, std::size_t most,
                  bool examples) {
  const std::size_t n = judged.rows.size();
  std::vector<double> distances;
  for (std::size_t i = 0; i < n; ++i) {
    distances.push_back(std::abs(judged.predictions[judged.rows[i]] - judged.truths.numbers[i]));
  }
  const std::size_t shown = std::min(n, kMostPoints);
  for (std::size_t k = 0; k < shown; ++k) {
    const std::size_t i = k * n / shown;
    errors.truths.push_back(judged.truths.numbers[i]);
    errors.predictions.push_back(judged.predictions[judged.rows[i]]);
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return distances[a] > distances[b]; });
  for (std::size_t k = 0; examples && k < std::min(n, most); ++k) {
    const std::size_t i = order[k];
    report::Mistake mistake{.truth = report::number(judged.truths.numbers[i], 5),
                            .predicted = report::number(judged.predictions[judged.rows[i]], 5)};
    describe_row(mistake, judged.data, judged.rows[i]);
    errors.mistakes.push_back(std::move(mistake));
  }
  std::ranges::sort(distances);
  errors.absolute_errors = std::move(distances);
}

}  // namespace

const Dataset& ReportReader::data(const std::string& source, const ReadOptions& options) {
  const std::pair key{source, options.target};
  const auto found = data_.find(key);
  if (found != data_.end()) return found->second;
  return data_.emplace(key, read_dataset(source, options)).first->second;
}

void ReportReader::add_examples(report::RunErrors& errors, const Run& run, const Model& model) {
  const bool test = errors.part == "test";
  const TrainOptions& options = run.options;
  ReadOptions reading{.target = options.target};
  if (test) reading = {.target = model.target, .expected = model.inputs.columns()};
  const Dataset& read = data(test ? options.test : options.data, reading);
  Judged judged{read,
                test ? training::all_rows(read)
                     : training::split_rows(read, options.validation, options.seed).validation,
                model.predict(read, threads_),
                {}};
  judged.truths = training::encode(model, read, judged.rows, threads_);
  errors.image_height = read.image_height;
  errors.image_width = read.image_width;
  for (std::size_t k = 0; k < std::min(read.columns.size(), kMostColumns); ++k) {
    errors.columns.push_back(read.columns[k].name);
  }
  const std::size_t most = read.image_height > 0 ? kMostImages : kMostRows;
  if (model.task == Task::regression) {
    add_far_rows(errors, judged, most, examples_);
  } else if (!add_wrong_rows(errors, judged, most)) {
    errors.without_examples =
        fmt::format("{} is not what it was when the model was evaluated, so there are no examples.",
                    errors.data);
  }
}

std::optional<report::RunErrors> ReportReader::errors_of(const Run& run) {
  const fs::path path = fs::path(run.name) / "model.safetensors";
  std::error_code ignored;
  if (!run.result || !run.result->is_object() || !fs::exists(path, ignored)) return std::nullopt;
  report::RunErrors errors;
  const Json* part = nullptr;
  for (const char* name : {"test", "validation"}) {
    const auto found = run.result->find(name);
    if (found == run.result->end() || !found->is_object()) continue;
    errors.part = name;
    part = &*found;
    break;
  }
  if (part == nullptr) return std::nullopt;
  const Model model = load_model(path);
  errors.data =
      fs::path(errors.part == "test" ? run.options.test : run.options.data).filename().string();
  errors.target = model.target;
  const bool classification = model.task == Task::classification;
  try {
    part->at("rows").get_to(errors.rows);
    if (classification) {
      errors.classes = model.classes;
      part->at("confusion").get_to(errors.confusion);
      if (errors.confusion.size() != model.classes.size() * model.classes.size())
        return std::nullopt;
    }
  } catch (const Json::exception& error) {
    core::fail(ErrorKind::data, "{}: not a result as training writes it: {}",
               (fs::path(run.name) / "result.json").string(), error.what());
  }
  if (classification && !examples_) return errors;
  try {
    add_examples(errors, run, model);
  } catch (const Error& error) {
    errors.without_examples = fmt::format(
        "The {} data cannot be used here, so there are no examples: {}", errors.part, error.what());
  }
  return errors;
}

}  // namespace evenrow::cli
