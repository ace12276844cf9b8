#include "describe.hpp"

#include <fmt/format.h>

#include "nn/names.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"
#include "report/text.hpp"

namespace evenrow::cli {

std::string network_text(const NetworkSpec& network) {
  std::string text = fmt::format("{}", network.inputs);
  for (const DenseSpec& block : network.blocks) {
    text += fmt::format("-{}{}", block.residual > 0 ? "+" : "", block.units);
  }
  return text;
}

std::string blocks_text(const TrainOptions& options) {
  if (options.hidden.empty()) return "no hidden blocks";
  const std::string_view activation = core::name_of(options.activation);
  std::string text = options.residual ? "residual, " : "";
  if (options.norm == Norm::none) {
    text += fmt::format("no normalization, {}", activation);
  } else if (options.residual || options.norm_placement == NormPlacement::before_linear) {
    text += fmt::format("batch norm before linear, {}", activation);
  } else {
    text += fmt::format("batch norm {} {}", core::name_of(options.norm_placement),
                        options.activation == Activation::none ? "no activation" : activation);
  }
  if (options.dropout > 0) text += fmt::format(", dropout {:g}", options.dropout);
  return text;
}

std::string list_text(const std::vector<std::string>& names, std::int64_t width) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string next = i == 0 ? "" : ", ";
    next += report::shortened(names[i], 24);
    const std::int64_t room = width - (i + 1 < names.size() ? 5 : 0);  // for ", ..."
    if (i > 0 && report::display_width(text) + report::display_width(next) > room) {
      text += ", ...";
      break;
    }
    text += next;
  }
  return text;
}

std::string evaluation_table(
    const std::vector<std::pair<std::string_view, const std::optional<Evaluation>*>>& parts,
    Task task) {
  using report::Align;
  const bool classification = task == Task::classification;
  std::vector<report::TableColumn> columns{
      {.header = "", .align = Align::left}, {.header = "rows"}, {.header = "loss"}};
  if (classification) {
    columns.push_back({.header = "accuracy"});
  } else {
    for (const char* name : {"RMSE", "MAE", "R2"}) columns.push_back({.header = name});
  }
  report::Table table(std::move(columns));
  for (const auto& [name, part] : parts) {
    if (!*part) continue;
    const Evaluation& e = **part;
    std::vector<std::string> cells{std::string(name), report::count(e.rows),
                                   report::number(e.loss)};
    if (classification) {
      cells.push_back(report::percent(e.accuracy));
    } else {
      for (const double value : {e.rmse, e.mae, e.r2}) cells.push_back(report::number(value));
    }
    table.add_row(std::move(cells));
  }
  return table.text();
}

}  // namespace evenrow::cli
