// evenrow evaluate: how good a model is on a data set.
#include "evenrow/evaluate.hpp"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.hpp"
#include "confusion.hpp"
#include "describe.hpp"
#include "help.hpp"
#include "io/names.hpp"
#include "model_file.hpp"
#include "output.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"

namespace evenrow::cli {
namespace {

struct EvaluateArguments {
  std::string model, data;
  int threads = 0;
};

Exit run(const EvaluateArguments& arguments) {
  const std::filesystem::path path = model_path(arguments.model);
  const Model model = load_model(path);
  const Dataset data = read_data_for(model, arguments.data);
  const Evaluation evaluation = evaluate(model, data, arguments.threads);

  report::Table table({{.align = report::Align::left}, {.align = report::Align::left}});
  table.add_row({"model", path.string()});
  table.add_row({"data", arguments.data});
  table.add_row({"rows", report::count(evaluation.rows)});
  table.add_row({"loss", report::number(evaluation.loss)});
  if (model.task == Task::regression) {
    table.add_row({"RMSE", report::number(evaluation.rmse)});
    table.add_row({"MAE", report::number(evaluation.mae)});
    table.add_row({"R2", report::number(evaluation.r2)});
    write_result(table.text());
    return Exit::success;
  }
  table.add_row({"accuracy", report::percent(evaluation.accuracy)});
  const Confusion confusion{.counts = evaluation.confusion, .classes = model.classes};
  write_result(table.text() + "\n" + confusion_text(confusion) + "\n" +
               class_scores_text(confusion));
  return Exit::success;
}

}  // namespace

Command add_evaluate(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "evaluate", "evaluate MODEL DATA [OPTION]...",
      "Tells how good a model is on data with a known target.\n\n"
      "Classification: loss, accuracy, the confusion matrix (with more than 20 classes, or where "
      "it does not fit 80 columns, the pairs confused most), and precision, recall and F1 of "
      "every class. Regression: loss, root mean squared error (RMSE), mean absolute error (MAE) "
      "and R2, in the target's own units; the loss is of the scaled target.",
      "evenrow evaluate runs/fashion fashion-mnist:test\n"
      "evenrow evaluate runs/flowers/model.safetensors more-flowers.csv");
  auto arguments = std::make_shared<EvaluateArguments>();
  parser->add_option("MODEL", arguments->model, kModelHelp)->required();
  parser->add_option("DATA", arguments->data, kDataHelp)->required();
  add_threads_option(*parser, arguments->threads);
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
