// A model as evenrow inspect shows it.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "describe.hpp"
#include "inspect.hpp"
#include "io/names.hpp"
#include "nn/names.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"

namespace evenrow::cli {
namespace {

using report::Align;

std::string range_text(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return values.empty() ? "-" : report::range(*low, *high);
}

// The lines of one block, in the order in which its layers are computed; the block's number stands
// on the first.
class LayerTable {
 public:
  void add_block(const Network<float>& network, std::size_t index) {
    const DenseSpec& block = network.spec().blocks[index];
    const std::int64_t inputs = network.spec().inputs_of(index);
    block_ = fmt::format("{}", index);
    if (block.placement == NormPlacement::before_linear) add_norm(network, index);
    if (block.input_activation != Activation::none) {
      add(std::string(core::name_of(block.input_activation)));
    }
    add(block.has_bias() ? "linear" : "linear, no bias", fmt::format("{}x{}", block.units, inputs),
        block.units * inputs + (block.has_bias() ? block.units : 0));
    if (block.placement == NormPlacement::before_activation) add_norm(network, index);
    if (block.activation != Activation::none) add(std::string(core::name_of(block.activation)));
    if (block.placement == NormPlacement::after_activation) add_norm(network, index);
    if (block.dropout > 0) add(fmt::format("dropout {:g}", block.dropout));
    if (block.residual > 0) {
      add(fmt::format("+ input of block {}",
                      static_cast<std::int64_t>(index) + 1 - block.residual));
    }
  }

  std::string text() const { return table_.text(); }

 private:
  void add_norm(const Network<float>& network, std::size_t index) {
    if (network.spec().blocks[index].norm == Norm::none) return;
    const RunningStatistics& running = network.running(index);
    const std::int64_t channels = network.spec().norm_channels(index);
    add("batch norm", fmt::format("{}", channels), 2 * channels,
        {range_text(running.mean), range_text(running.variance), report::count(running.updates)});
  }

  void add(std::string layer, std::string shape = "", std::int64_t parameters = 0,
           const std::vector<std::string>& statistics = {}) {
    std::vector<std::string> cells{block_, std::move(layer), std::move(shape),
                                   parameters > 0 ? report::count(parameters) : ""};
    cells.insert(cells.end(), statistics.begin(), statistics.end());
    table_.add_row(std::move(cells));
    block_.clear();
  }

  std::string block_;
  report::Table table_{{{.header = "", .align = Align::right},
                        {.header = "layer", .align = Align::left},
                        {.header = "shape"},
                        {.header = "parameters"},
                        {.header = "running mean"},
                        {.header = "running var"},
                        {.header = "updates"}}};
};

std::string inputs_text(const Model& model) {
  const auto& columns = model.inputs.columns();
  const auto categorical = std::count_if(columns.begin(), columns.end(), [](const Column& column) {
    return column.kind == ColumnKind::categorical;
  });
  const auto numeric = static_cast<std::int64_t>(columns.size()) - categorical;
  std::string text = fmt::format("{} from {} numeric", report::count(model.inputs.inputs()),
                                 report::count(numeric));
  if (categorical > 0) text += fmt::format(" and {} categorical", report::count(categorical));
  text += " columns: ";
  std::vector<std::string> names;
  for (const Column& column : columns) names.push_back(column.name);
  return text + list_text(names, 68 - static_cast<std::int64_t>(text.size()));
}

}  // namespace

std::string model_text(const Model& model, const std::string& name) {
  report::Table about({{.align = Align::left}, {.align = Align::left, .widest = 68}});
  about.add_row({"model", name});
  const bool classification = model.task == Task::classification;
  about.add_row({"task", fmt::format("{} of {}", core::name_of(model.task), model.target)});
  if (classification) {
    about.add_row(
        {"classes", fmt::format("{}: {}", model.classes.size(), list_text(model.classes, 60))});
  } else {
    about.add_row({"target", fmt::format("mean {}, standard deviation {} in training",
                                         report::number(model.target_mean),
                                         report::number(model.target_scale))});
  }
  about.add_row({"loss", std::string(core::name_of(model.loss.kind))});
  about.add_row({"inputs", inputs_text(model)});
  about.add_row(
      {"network",
       fmt::format("{}, {} parameters", network_text(model.network.spec()),
                   report::count(static_cast<std::int64_t>(model.network.parameters().size())))});
  LayerTable layers;
  for (std::size_t i = 0; i < model.network.spec().blocks.size(); ++i) {
    layers.add_block(model.network, i);
  }
  return about.text() + "\n" + layers.text();
}

}  // namespace evenrow::cli
