// evenrow predict: a model applied to new data.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "command.hpp"
#include "help.hpp"
#include "io/atomic_file.hpp"
#include "model_file.hpp"
#include "output.hpp"

namespace evenrow::cli {
namespace {

struct PredictArguments {
  std::string model, data, out;
  int threads = 0;
};

// A CSV field (RFC 4180): in quotes where it has to be.
std::string csv_field(std::string_view text) {
  const bool plain = text.find_first_of(",\"\r\n") == std::string_view::npos &&
                     (text.empty() || (text.front() != ' ' && text.back() != ' '));
  if (plain) return std::string(text);
  std::string field = "\"";
  for (const char c : text) {
    field += c;
    if (c == '"') field += c;
  }
  return field + "\"";
}

using Sink = std::function<void(std::string_view)>;

void write_predictions(const Model& model, std::span<const double> values, const Sink& sink) {
  constexpr std::size_t chunk = std::size_t{1} << 20;  // bytes a write
  const auto columns = static_cast<std::size_t>(model.prediction_columns());
  const bool classification = model.task == Task::classification;
  std::string text = "prediction";
  if (classification) {
    for (const std::string& name : model.classes) text += "," + csv_field("probability:" + name);
  }
  text += "\n";
  for (std::size_t at = 0; at < values.size(); at += columns) {
    const auto row = values.subspan(at, columns);
    if (classification) {
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      text += csv_field(model.classes[static_cast<std::size_t>(best)]);
      // Networks compute in float: more digits than a float's would say nothing.
      for (const double p : row) {
        fmt::format_to(std::back_inserter(text), ",{}", static_cast<float>(p));
      }
    } else {
      fmt::format_to(std::back_inserter(text), "{}", row[0]);
    }
    text += "\n";
    if (text.size() >= chunk) {
      sink(text);
      text.clear();
    }
  }
  sink(text);
}

Exit run(const PredictArguments& arguments) {
  const Model model = load_model(model_path(arguments.model));
  const Dataset data = read_data_for(model, arguments.data);
  const std::vector<double> values = model.predict(data, arguments.threads);
  if (arguments.out.empty()) {
    write_predictions(model, values, write_result);
    return Exit::success;
  }
  io::AtomicFile file(arguments.out);
  write_predictions(model, values,
                    [&](std::string_view text) { file.write(std::as_bytes(std::span(text))); });
  file.commit();
  return Exit::success;
}

}  // namespace

Command add_predict(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "predict", "predict MODEL DATA [-o FILE.csv] [OPTION]...",
      "Applies a model to data and writes a CSV file, a line a row.\n\n"
      "Classification: the column prediction has the label as the training data spelled it, and "
      "probability:NAME the probability of each class. Regression: the column prediction has the "
      "value in the target's own units. The data needs no target column; one that is there is "
      "not read.",
      "evenrow predict runs/flowers new-flowers.csv -o predictions.csv\n"
      "evenrow predict runs/fashion fashion-mnist:test | head");
  auto arguments = std::make_shared<PredictArguments>();
  parser->add_option("MODEL", arguments->model, kModelHelp)->required();
  parser->add_option("DATA", arguments->data, kDataHelp)->required();
  parser
      ->add_option("-o,--output", arguments->out,
                   "File to write, in one piece when all went well (default: standard output)")
      ->type_name("FILE");
  add_threads_option(*parser, arguments->threads);
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
