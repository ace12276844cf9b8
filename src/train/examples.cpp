#include "train/examples.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "core/fail.hpp"
#include "core/random.hpp"
#include "io/names.hpp"
#include "nn/names.hpp"

namespace evenrow::training {
namespace {

constexpr std::size_t kMostNumericClasses = 20;  // a numeric target with more is for regression

bool whole(double value) {
  return std::isnan(value) || value == std::floor(value);
}

const Target& require_target(const Dataset& data) {
  if (!data.target) {
    core::fail(ErrorKind::data, "{}: no target column; name one that the file has", data.source);
  }
  return *data.target;
}

// Numbers in their order, otherwise by spelling: the same whatever the order of the rows.
std::vector<std::string> sorted_classes(const Target& target) {
  std::vector<std::string> classes = target.spellings;
  if (!target.numeric) {
    std::ranges::sort(classes);
    return classes;
  }
  std::unordered_map<std::string, double> number;
  for (std::size_t row = 0; row < target.codes.size(); ++row) {
    if (target.codes[row] >= 0) {
      number[target.spellings[static_cast<std::size_t>(target.codes[row])]] = target.numbers[row];
    }
  }
  std::ranges::sort(classes, [&](const std::string& a, const std::string& b) {
    return std::pair(number[a], a) < std::pair(number[b], b);
  });
  return classes;
}

// Rows are counted from 1 in messages, without the header.
void require_present(const Dataset& data, bool present, std::uint32_t row) {
  if (!present) {
    core::fail(ErrorKind::data,
               "{}: row {} has no value in the target column '{}'; give it one, or remove the row",
               data.source, std::uint64_t{row} + 1, data.target->name);
  }
}

void check_loss_fits(LossKind kind, Task task, std::size_t classes) {
  const bool for_classes =
      kind == LossKind::cross_entropy || kind == LossKind::binary_cross_entropy;
  if (for_classes != (task == Task::classification)) {
    core::fail(ErrorKind::usage, "loss {} is for {}, and the task is {}", core::name_of(kind),
               for_classes ? "classification" : "regression", core::name_of(task));
  }
  if (kind == LossKind::binary_cross_entropy && classes != 2) {
    core::fail(ErrorKind::usage,
               "loss binary_cross_entropy is for 2 classes, and the target has {}; use "
               "cross_entropy",
               classes);
  }
}

}  // namespace

Task resolve_task(const Dataset& data, Task requested) {
  const Target& target = require_target(data);
  Task task = requested;
  if (task == Task::automatic) {
    const bool few = !target.spellings.empty() && target.spellings.size() <= kMostNumericClasses;
    const bool numbers = target.numeric && !(few && std::ranges::all_of(target.numbers, whole));
    task = numbers ? Task::regression : Task::classification;
  }
  if (task == Task::regression && !target.numeric) {
    core::fail(ErrorKind::data,
               "{}: target column '{}' has words (such as '{}'), and regression needs numbers; use "
               "--task classification, or another --target",
               data.source, target.name, target.spellings.empty() ? "" : target.spellings.front());
  }
  if (task == Task::classification && target.spellings.size() < 2) {
    core::fail(ErrorKind::data, "{}: target column '{}' has {}; expected at least two classes{}",
               data.source, target.name,
               target.spellings.empty()
                   ? std::string(target.numeric ? "too many distinct values" : "no values")
                   : fmt::format("one class only ('{}')", target.spellings.front()),
               target.spellings.empty() && target.numeric ? "; use --task regression" : "");
  }
  return task;
}

std::vector<std::uint32_t> all_rows(const Dataset& data) {
  if (data.rows >= std::numeric_limits<std::uint32_t>::max()) {
    core::fail(ErrorKind::data, "{}: {} rows, at most 2^32 - 2 are supported", data.source,
               data.rows);
  }
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(data.rows));
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

namespace {

std::vector<std::uint32_t> shuffled_rows(const Dataset& data, std::uint64_t seed) {
  return core::random_permutation(core::RandomStream(seed, core::Purpose::split, 0),
                                  static_cast<std::uint32_t>(all_rows(data).size()));
}

// Holds out rows [first, last) of `shuffled`.
Split held_out_split(const std::vector<std::uint32_t>& shuffled, std::size_t first,
                     std::size_t last) {
  Split split{.training = shuffled, .validation = {}};
  const auto begin = split.training.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = split.training.begin() + static_cast<std::ptrdiff_t>(last);
  split.validation.assign(begin, end);
  split.training.erase(begin, end);
  // In the order of the file: neighbours in memory stay neighbours.
  std::ranges::sort(split.training);
  std::ranges::sort(split.validation);
  return split;
}

}  // namespace

Split split_rows(const Dataset& data, double validation, std::uint64_t seed) {
  if (validation == 0.0) return {all_rows(data), {}};
  const auto held_out =
      static_cast<std::int64_t>(std::llround(validation * static_cast<double>(data.rows)));
  if (held_out < 1 || held_out >= data.rows) {
    core::fail(
        ErrorKind::data,
        "{}: {} rows leave nothing for {}, with validation {}; use validation 0 or more rows",
        data.source, data.rows, held_out < 1 ? "validation" : "training", validation);
  }
  return held_out_split(shuffled_rows(data, seed), 0, static_cast<std::size_t>(held_out));
}

std::vector<Split> fold_rows(const Dataset& data, std::int64_t folds, std::uint64_t seed) {
  if (data.rows < folds) {
    core::fail(ErrorKind::data, "{}: {} rows are not enough for {} folds", data.source, data.rows,
               folds);
  }
  const std::vector<std::uint32_t> shuffled = shuffled_rows(data, seed);
  std::vector<Split> splits;
  for (std::int64_t fold = 0; fold < folds; ++fold) {
    splits.push_back(held_out_split(shuffled, static_cast<std::size_t>(data.rows * fold / folds),
                                    static_cast<std::size_t>(data.rows * (fold + 1) / folds)));
  }
  return splits;
}

Model fit_model(const Dataset& data, const TrainOptions& options,
                std::span<const std::uint32_t> rows) {
  Model model;
  model.task = resolve_task(data, options.task);
  const Target& target = *data.target;
  model.target = target.name;
  model.loss = {options.loss.value_or(model.task == Task::classification ? LossKind::cross_entropy
                                                                         : LossKind::squared_error),
                options.label_smoothing, options.huber_delta};
  check_loss_fits(model.loss.kind, model.task, target.spellings.size());
  if (model.task == Task::classification) {
    model.classes = sorted_classes(target);
  } else {
    double sum = 0, squares = 0;
    for (const std::uint32_t row : rows) {
      require_present(data, !std::isnan(target.numbers[row]), row);
      if (std::isinf(target.numbers[row])) {
        core::fail(ErrorKind::data, "{}: row {} has an infinite target; give it a finite value",
                   data.source, std::uint64_t{row} + 1);
      }
      sum += target.numbers[row];
    }
    const double n = static_cast<double>(rows.size());
    model.target_mean = sum / n;
    for (const std::uint32_t row : rows) {
      const double deviation = target.numbers[row] - model.target_mean;
      squares += deviation * deviation;
    }
    model.target_scale = squares > 0.0 ? std::sqrt(squares / n) : 1.0;
  }
  model.inputs = InputNormalization::fit(data, rows);
  if (options.input_scale != 1.0) {
    std::vector<double> variance(model.inputs.variance().begin(), model.inputs.variance().end());
    for (double& value : variance) value /= options.input_scale * options.input_scale;
    model.inputs = InputNormalization::from_parts(
        model.inputs.columns(), {model.inputs.mean().begin(), model.inputs.mean().end()},
        std::move(variance));
  }
  return model;
}

Examples encode(const Model& model, const Dataset& data, std::span<const std::uint32_t> rows,
                int threads) {
  const Target& target = require_target(data);
  Examples examples;
  examples.count = static_cast<std::int64_t>(rows.size());
  examples.rows.assign(rows.begin(), rows.end());
  if (model.task == Task::regression) {
    if (!target.numeric) {
      core::fail(ErrorKind::data,
                 "{}: target column '{}' has words, and the model predicts numbers", data.source,
                 target.name);
    }
    for (const std::uint32_t row : rows) {
      const double number = target.numbers[row];
      require_present(data, !std::isnan(number), row);
      examples.numbers.push_back(number);
      examples.values.push_back(
          static_cast<float>((number - model.target_mean) / model.target_scale));
    }
  } else {
    std::unordered_map<std::string_view, std::int32_t> index;
    for (const std::string& name : model.classes) {
      index.emplace(name, static_cast<std::int32_t>(index.size()));
    }
    std::vector<std::int32_t> class_of_code;
    for (const std::string& spelling : target.spellings) {
      const auto found = index.find(spelling);
      class_of_code.push_back(found == index.end() ? -1 : found->second);
    }
    if (target.codes.size() != static_cast<std::size_t>(data.rows)) {
      core::fail(ErrorKind::data,
                 "{}: target column '{}' has too many distinct values for the model's {} classes",
                 data.source, target.name, model.classes.size());
    }
    for (const std::uint32_t row : rows) {
      const std::int32_t code = target.codes[row];
      require_present(data, code >= 0, row);
      const std::int32_t label = class_of_code[static_cast<std::size_t>(code)];
      if (label < 0) {
        core::fail(ErrorKind::data,
                   "{}: row {} has the class '{}', which is none of the {} classes of the training "
                   "data ({}{})",
                   data.source, std::uint64_t{row} + 1,
                   target.spellings[static_cast<std::size_t>(code)], model.classes.size(),
                   fmt::join(model.classes.begin(),
                             model.classes.begin() +
                                 std::min<std::ptrdiff_t>(10, std::ssize(model.classes)),
                             ", "),
                   model.classes.size() > 10 ? ", ..." : "");
      }
      examples.classes.push_back(label);
      if (model.loss.kind == LossKind::binary_cross_entropy) {
        examples.values.push_back(static_cast<float>(label));
      }
    }
  }
  data::PreparedInputs prepared(model.inputs, data, rows);
  if (prepared.of_bytes()) {
    examples.of_bytes = std::move(prepared);
  } else {
    examples.x = prepared.normalize(rows, threads);
  }
  return examples;
}

void Examples::inputs_of(std::size_t example, std::int64_t inputs, float* to) const noexcept {
  if (of_bytes) {
    of_bytes->normalize(rows[example], to);
  } else {
    std::copy_n(x.data() + static_cast<std::int64_t>(example) * inputs, inputs, to);
  }
}

}  // namespace evenrow::training
