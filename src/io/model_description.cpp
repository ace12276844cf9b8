#include "io/model_description.hpp"

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/nearest.hpp"
#include "data/names.hpp"
#include "io/names.hpp"
#include "io/safetensors_header.hpp"
#include "io/strict_json.hpp"
#include "nn/names.hpp"

namespace evenrow::io {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// ---- writing

// Names come from data files in any encoding, and come back byte for byte.
ordered_json text_json(const std::string& text) {
  if (is_utf8(text)) return text;
  std::string hex;
  for (const char c : text) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return {{"hex", hex}};
}

ordered_json texts_json(const std::vector<std::string>& texts) {
  ordered_json list = ordered_json::array();
  for (const std::string& text : texts) list.push_back(text_json(text));
  return list;
}

ordered_json column_json(const Column& column) {
  ordered_json object{{"name", text_json(column.name)}, {"kind", core::name_of(column.kind)}};
  if (column.kind == ColumnKind::categorical) object["categories"] = texts_json(column.categories);
  return object;
}

ordered_json block_json(const DenseSpec& block, const RunningStatistics& running) {
  ordered_json object{
      {"units", block.units},
      {"norm", core::name_of(block.norm)},
      {"placement", core::name_of(block.placement)},
      {"activation", core::name_of(block.activation)},
      {"dropout", block.dropout},
      {"bias", block.bias ? ordered_json(*block.bias) : ordered_json(nullptr)},
      {"eps", block.eps},
      {"new_weight", block.new_weight},
      {"initialization", core::name_of(block.initialization)},
  };
  // Where they say nothing they are left out, so that an earlier Evenrow reads the file.
  if (block.input_activation != Activation::none) {
    object["input_activation"] = core::name_of(block.input_activation);
  }
  if (block.residual != 0) object["residual"] = block.residual;
  if (block.norm == Norm::batch) {
    object["running"] = {{"new_weight", running.new_weight}, {"updates", running.updates}};
  }
  return object;
}

// ---- reading

// The keys of one JSON object, each read once; done() fails on a key that nothing has read.
class Fields {
 public:
  Fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) {
      core::fail(ErrorKind::data, "{}: expected an object, found {}", where_, object.type_name());
    }
  }

  std::string where(std::string_view key) const { return fmt::format("{}.{}", where_, key); }

  const json& value(const std::string& key) {
    const auto at = object_.find(key);
    if (at == object_.end()) core::fail(ErrorKind::data, "{}: is missing", where(key));
    read_.insert(key);
    return *at;
  }

  bool has(const std::string& key) const { return object_.contains(key); }

  std::int64_t integer(const std::string& key) {
    const json& found = value(key);
    const bool fits = found.is_number_integer() &&
                      (!found.is_number_unsigned() ||
                       found.get<std::uint64_t>() <=
                           static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (!fits) wrong(key, "a whole number", found);
    return found.get<std::int64_t>();
  }

  double number(const std::string& key) {
    const json& found = value(key);
    if (!found.is_number()) wrong(key, "a number", found);
    return found.get<double>();
  }

  std::optional<bool> optional_boolean(const std::string& key) {
    const json& found = value(key);
    if (found.is_null()) return std::nullopt;
    if (!found.is_boolean()) wrong(key, "true, false or null", found);
    return found.get<bool>();
  }

  const json& array(const std::string& key) {
    const json& found = value(key);
    if (!found.is_array()) wrong(key, "an array", found);
    return found;
  }

  template <class E>
  E name(const std::string& key) {
    const json& found = value(key);
    if (!found.is_string()) wrong(key, "a name", found);
    const auto& text = found.get_ref<const std::string&>();
    const auto parsed = core::parse_name<E>(text);
    if (!parsed) {
      core::fail(ErrorKind::data, "{}: unknown {} {:?}{}; known are {}", where(key),
                 core::EnumNames<E>::kind, text, core::did_you_mean(text, core::names<E>()),
                 core::joined_names<E>());
    }
    return *parsed;
  }

  std::string text(const std::string& key) { return text(value(key), where(key)); }

  std::vector<std::string> texts(const std::string& key) {
    std::vector<std::string> list;
    for (const json& element : array(key)) {
      list.push_back(text(element, fmt::format("{}[{}]", where(key), list.size())));
    }
    return list;
  }

  void done() const {
    for (const auto& [key, ignored] : object_.items()) {
      if (!read_.contains(key)) {
        core::fail(ErrorKind::data,
                   "{}: unknown key; version {} of the format does not have it, so this program "
                   "would not do what it asks for",
                   where(fmt::format("{:?}", key)), kModelVersion);
      }
    }
  }

 private:
  [[noreturn]] void wrong(std::string_view key, std::string_view expected,
                          const json& found) const {
    core::fail(ErrorKind::data, "{}: expected {}, found {}", where(key), expected,
               found.is_number() || found.is_boolean() ? found.dump() : found.type_name());
  }

  static std::string text(const json& found, const std::string& where) {
    if (found.is_string()) return found.get<std::string>();
    const json* hex = found.is_object() && found.size() == 1 && found.contains("hex")
                          ? &found.at("hex")
                          : nullptr;
    if (!hex || !hex->is_string()) {
      core::fail(ErrorKind::data, "{}: expected text or {{\"hex\": \"...\"}}, found {}", where,
                 found.type_name());
    }
    return bytes_of(hex->get_ref<const std::string&>(), where);
  }

  static std::string bytes_of(const std::string& hex, const std::string& where) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string bytes;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
      const std::size_t high = kDigits.find(hex[i]);
      const std::size_t low =
          i + 1 < hex.size() ? kDigits.find(hex[i + 1]) : std::string_view::npos;
      if (high == std::string_view::npos || low == std::string_view::npos) {
        core::fail(ErrorKind::data, "{}: \"hex\" is not pairs of the digits 0-9 and a-f", where);
      }
      bytes += static_cast<char>(high * 16 + low);
    }
    return bytes;
  }

  const json& object_;
  std::string where_;
  std::unordered_set<std::string> read_;
};

Column parse_column(const json& object, std::string where) {
  Fields fields(object, std::move(where));
  Column column;
  column.name = fields.text("name");
  column.kind = fields.name<ColumnKind>("kind");
  if (column.kind == ColumnKind::categorical) column.categories = fields.texts("categories");
  fields.done();
  return column;
}

void parse_block(const json& object, std::string where, ModelDescription& description) {
  Fields fields(object, std::move(where));
  DenseSpec block;
  block.units = fields.integer("units");
  block.norm = fields.name<Norm>("norm");
  block.placement = fields.name<NormPlacement>("placement");
  block.activation = fields.name<Activation>("activation");
  block.dropout = fields.number("dropout");
  block.bias = fields.optional_boolean("bias");
  block.eps = fields.number("eps");
  block.new_weight = fields.number("new_weight");
  block.initialization = fields.name<Initialization>("initialization");
  if (fields.has("input_activation")) {
    block.input_activation = fields.name<Activation>("input_activation");
  }
  if (fields.has("residual")) block.residual = fields.integer("residual");
  RunningStatistics running;
  running.new_weight = block.new_weight;
  if (block.norm == Norm::batch) {
    Fields state(fields.value("running"), fields.where("running"));
    running.new_weight = state.number("new_weight");
    running.updates = state.integer("updates");
    state.done();
  }
  fields.done();
  description.network.blocks.push_back(block);
  description.running.push_back(std::move(running));
}

}  // namespace

std::string description_text(const Model& model) {
  ordered_json columns = ordered_json::array();
  for (const Column& column : model.inputs.columns()) columns.push_back(column_json(column));
  ordered_json blocks = ordered_json::array();
  for (std::size_t b = 0; b < model.network.spec().blocks.size(); ++b) {
    blocks.push_back(block_json(model.network.spec().blocks[b], model.network.running(b)));
  }
  const ordered_json description{
      {"version", kModelVersion},
      {"task", core::name_of(model.task)},
      {"target",
       {{"name", text_json(model.target)},
        {"classes", texts_json(model.classes)},
        {"mean", model.target_mean},
        {"scale", model.target_scale}}},
      {"loss",
       {{"kind", core::name_of(model.loss.kind)},
        {"label_smoothing", model.loss.label_smoothing},
        {"huber_delta", model.loss.huber_delta}}},
      {"columns", std::move(columns)},
      {"network", {{"inputs", model.network.inputs()}, {"blocks", std::move(blocks)}}},
  };
  return description.dump();
}

ModelDescription parse_description(const std::string& text, const std::string& source) {
  const std::string where = fmt::format("{}: {}", source, kDescriptionKey);
  const json object = parse_strict_json(text, where);
  Fields fields(object, where);
  const std::int64_t version = fields.integer("version");
  if (version != kModelVersion) {
    core::fail(ErrorKind::data,
               "{}: version {} of the model format is not supported, only version {}; use the "
               "Evenrow that wrote it, or train again",
               source, version, kModelVersion);
  }
  ModelDescription description;
  description.task = fields.name<Task>("task");
  {
    Fields target(fields.value("target"), fields.where("target"));
    description.target = target.text("name");
    description.classes = target.texts("classes");
    description.target_mean = target.number("mean");
    description.target_scale = target.number("scale");
    target.done();
  }
  {
    Fields loss(fields.value("loss"), fields.where("loss"));
    description.loss.kind = loss.name<LossKind>("kind");
    description.loss.label_smoothing = loss.number("label_smoothing");
    description.loss.huber_delta = loss.number("huber_delta");
    loss.done();
  }
  for (const json& column : fields.array("columns")) {
    description.columns.push_back(parse_column(
        column, fmt::format("{}[{}]", fields.where("columns"), description.columns.size())));
  }
  Fields network(fields.value("network"), fields.where("network"));
  description.network.inputs = network.integer("inputs");
  for (const json& block : network.array("blocks")) {
    parse_block(block,
                fmt::format("{}[{}]", network.where("blocks"), description.network.blocks.size()),
                description);
  }
  network.done();
  fields.done();
  return description;
}

}  // namespace evenrow::io
