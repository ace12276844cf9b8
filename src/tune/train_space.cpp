#include "tune/train_space.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/fail.hpp"
#include "core/nearest.hpp"
#include "io/names.hpp"
#include "io/toml.hpp"
#include "nn/names.hpp"
#include "train/names.hpp"
#include "train/option_table.hpp"
#include "tune/names.hpp"
#include "tune/space.hpp"

namespace evenrow::tuning {
namespace {

using Keys = std::vector<std::string_view>;

// What decides which data a trial sees, how long it takes or what is compared, is no parameter.
const Keys kNotSearched{"data",       "test", "target",  "task",    "loss",      "epochs",
                        "early_stop", "seed", "threads", "observe", "validation"};
const Keys kLog{"norm_eps",      "norm_new_weight", "init_scale", "input_scale", "lr",
                "optimizer_eps", "weight_decay",    "clip_norm",  "huber_delta", "batch_size"};
const Keys kDecays{"momentum", "rho", "beta1", "beta2"};
constexpr std::int64_t kMostLayers = 64;

bool contains(const Keys& keys, std::string_view key) {
  return std::ranges::find(keys, key) != keys.end();
}

// An option that means something under some choices of another one alone.
std::optional<Condition> condition_of(std::string_view key) {
  if (key == "momentum") return Condition{"optimizer", {"momentum", "nesterov"}};
  if (key == "rho") return Condition{"optimizer", {"rmsprop"}};
  if (key == "beta1" || key == "beta2") return Condition{"optimizer", {"adam", "adamw"}};
  if (key == "optimizer_eps") return Condition{"optimizer", {"rmsprop", "adam", "adamw"}};
  if (key.starts_with("norm_")) return Condition{"norm", {"batch"}};
  return std::nullopt;
}

// A table of a space file, for messages.
class Entry {
 public:
  Entry(const std::string& source, std::string_view key, const toml::node& node, const Keys& keys)
      : source_(source), key_(key), node_(node) {
    if (!node.is_table()) {
      fail(node, fmt::format("expected a table [{}] with {}", key, fmt::join(keys, ", ")));
    }
    for (const auto& [name, value] : *node.as_table()) {
      if (contains(keys, name.str())) continue;
      fail(value, fmt::format("unknown key {}{}; expected {}", name.str(),
                              core::did_you_mean(name.str(), keys), fmt::join(keys, ", ")));
    }
  }

  [[noreturn]] void fail(const toml::node& node, const std::string& what) const {
    core::fail(ErrorKind::usage, "{}, line {}: {}: {}", source_, node.source().begin.line, key_,
               what);
  }
  const toml::node& node() const { return node_; }
  const toml::node* get(std::string_view name) const { return node_.as_table()->get(name); }
  const toml::node& at(std::string_view name) const {
    const toml::node* found = get(name);
    if (found == nullptr) fail(node_, fmt::format("{} is missing", name));
    return *found;
  }
  double number(const toml::node& node, std::string_view name, bool whole) const {
    if (node.is_integer()) return static_cast<double>(node.as_integer()->get());
    if (whole) fail(node, fmt::format("{} is not a whole number", name));
    if (!node.is_floating_point()) fail(node, fmt::format("{} is not a number", name));
    return node.as_floating_point()->get();
  }
  // [low, high] of whole numbers.
  std::pair<double, double> range(std::string_view name) const {
    const toml::node& node = at(name);
    if (!node.is_array() || node.as_array()->size() != 2) {
      fail(node, fmt::format("{} is not [low, high]", name));
    }
    return {number((*node.as_array())[0], name, true), number((*node.as_array())[1], name, true)};
  }
  // What is wrong with a parameter, with its place.
  void check(const Parameter& parameter) const {
    Parameter alone = parameter;
    alone.condition.reset();
    try {
      tuning::check({alone});
    } catch (const Error& error) {
      core::fail(ErrorKind::usage, "{}, line {}: {}", source_, node_.source().begin.line,
                 error.what());
    }
  }

 private:
  const std::string& source_;
  std::string_view key_;
  const toml::node& node_;
};

// Text of one of the `values` of an option.
std::string choice_text(const Entry& entry, const toml::node& value) {
  if (value.is_string()) return value.as_string()->get();
  if (value.is_integer()) return fmt::format("{}", value.as_integer()->get());
  if (value.is_floating_point()) return fmt::format("{}", value.as_floating_point()->get());
  if (value.is_boolean()) return value.as_boolean()->get() ? "true" : "false";
  entry.fail(value, "one of values is neither text, a number nor true or false");
}

// A choice as a value of the option; false: it is none.
template <class T>
bool set_from_text(T& field, const std::string& text) {
  if constexpr (std::is_enum_v<T>) {
    const auto value = core::parse_name<T>(text);
    if (value) field = *value;
    return value.has_value();
  } else if constexpr (std::is_same_v<T, bool>) {
    field = text == "true";
    return field || text == "false";
  } else if constexpr (std::is_arithmetic_v<T>) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, field);
    return error == std::errc{} && stop == end;
  } else {
    return false;
  }
}

template <class T>
Parameter option_parameter(std::string_view key, const Entry& entry, T field) {
  Parameter p{.name = std::string(key), .condition = condition_of(key)};
  if (const toml::node* values = entry.get("values")) {
    p.type = ParameterType::categorical;
    if (!values->is_array()) entry.fail(*values, "values is not a list");
    for (const toml::node& value : *values->as_array()) {
      const std::string text = choice_text(entry, value);
      if (!set_from_text(field, text)) {
        if constexpr (std::is_enum_v<T>) {
          const auto known = core::names<T>();
          entry.fail(value, fmt::format("'{}' is not one of {}{}", text, core::joined_names<T>(),
                                        core::did_you_mean(text, known)));
        }
        entry.fail(value, fmt::format("'{}' is not a value of this option", text));
      }
      p.choices.push_back(text);
    }
    if (entry.get("low") != nullptr || entry.get("high") != nullptr) {
      entry.fail(*values, "it has both values and a range");
    }
  } else if constexpr (std::is_enum_v<T> || std::is_same_v<T, bool>) {
    entry.fail(entry.node(), "values is missing");
  } else {
    constexpr bool kWhole = std::is_integral_v<T>;
    p.type = kWhole ? ParameterType::integer : ParameterType::real;
    p.low = entry.number(entry.at("low"), "low", kWhole);
    p.high = entry.number(entry.at("high"), "high", kWhole);
    p.scale = contains(kLog, key)                 ? Scale::log
              : contains(kDecays, key) && !kWhole ? Scale::one_minus_log
                                                  : Scale::linear;
    if (const toml::node* scale = entry.get("scale")) {
      const std::string name = scale->is_string() ? scale->as_string()->get() : std::string();
      const auto value = core::parse_name<Scale>(name);
      const auto known = core::names<Scale>();
      if (!value) {
        entry.fail(*scale,
                   fmt::format("scale is '{}', expected one of {}{}", name,
                               core::joined_names<Scale>(), core::did_you_mean(name, known)));
      }
      p.scale = *value;
    }
  }
  entry.check(p);
  return p;
}

void add_hidden(const Entry& entry, Space& space) {
  const auto [shallow, deep] = entry.range("depth");
  const auto [narrow, wide] = entry.range("units");
  if (shallow < 0 || deep > kMostLayers) {
    entry.fail(entry.at("depth"), fmt::format("depth is not within 0 and {}", kMostLayers));
  }
  space.push_back(
      {.name = "hidden.depth", .type = ParameterType::integer, .low = shallow, .high = deep});
  entry.check(space.back());
  for (std::int64_t layer = 1; layer <= static_cast<std::int64_t>(deep); ++layer) {
    space.push_back({.name = fmt::format("hidden.{}", layer),
                     .type = ParameterType::integer,
                     .low = narrow,
                     .high = wide,
                     .scale = Scale::log,
                     .condition = Condition{"hidden.depth", {}, static_cast<double>(layer)}});
    entry.check(space.back());
  }
}

}  // namespace

const char* const kDefaultSpace = R"([hidden]
depth = [1, 4]
units = [32, 512]

[norm]
values = ["batch", "none"]

[norm_placement]
values = ["before", "after"]

[norm_new_weight]
low = 0.01
high = 0.5

[dropout]
low = 0.0
high = 0.5

[optimizer]
values = ["momentum", "adam", "adamw"]

[lr]
low = 1e-4
high = 0.5

[momentum]
low = 0.8
high = 0.99

[beta1]
low = 0.8
high = 0.99

[beta2]
low = 0.9
high = 0.9999

[weight_decay]
low = 1e-6
high = 1e-2

[batch_size]
low = 32
high = 512
)";

Space training_space(const std::string& text, const std::string& source,
                     const std::set<std::string>& without) {
  const toml::table document = io::parse_toml(text, source);
  Space space;
  TrainOptions options;
  Keys known;
  training::visit_options(options, [&](std::string_view key, const auto& field, std::string_view) {
    using T = std::remove_cvref_t<decltype(field)>;
    if (contains(kNotSearched, key)) return;
    known.push_back(key);
    const toml::node* node = document.get(key);
    if (node == nullptr || without.contains(std::string(key))) return;
    if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
      add_hidden(Entry(source, key, *node, {"depth", "units"}), space);
    } else if constexpr (std::is_enum_v<T> || std::is_same_v<T, bool>) {
      space.push_back(option_parameter(key, Entry(source, key, *node, {"values"}), field));
    } else if constexpr (std::is_arithmetic_v<T>) {
      space.push_back(option_parameter(
          key, Entry(source, key, *node, {"low", "high", "scale", "values"}), field));
    }
  });
  for (const auto& [key, node] : document) {
    if (contains(known, key.str())) continue;
    const std::string where = fmt::format("{}, line {}", source, node.source().begin.line);
    if (contains(kNotSearched, key.str())) {
      core::fail(ErrorKind::usage,
                 "{}: {} is not searched: it decides what trials are compared by; give it as an "
                 "option",
                 where, key.str());
    }
    core::fail(ErrorKind::usage, "{}: {}: unknown option{}", where, key.str(),
               core::did_you_mean(key.str(), known));
  }
  // Where the other option is fixed, there is nothing to depend on.
  for (Parameter& p : space) {
    if (p.condition && std::ranges::none_of(space, [&](const Parameter& other) {
          return other.name == p.condition->parameter;
        })) {
      p.condition.reset();
    }
  }
  check(space);
  return space;
}

TrainOptions options_of(const TrainOptions& base, const TrialParameters& parameters) {
  TrainOptions options = base;
  training::visit_options(options, [&](std::string_view key, auto& field, std::string_view) {
    using T = std::remove_cvref_t<decltype(field)>;
    const std::string name(key);
    if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
      if (!parameters.has("hidden.depth")) return;
      field.clear();
      for (std::int64_t layer = 1; layer <= parameters.integer("hidden.depth"); ++layer) {
        field.push_back(parameters.integer(fmt::format("hidden.{}", layer)));
      }
    } else if (parameters.has(name)) {
      const auto& space = parameters.space();
      const auto found = std::ranges::find(space, name, &Parameter::name);
      if (found->type == ParameterType::categorical) {
        set_from_text(field, parameters.choice(name));
      } else if constexpr (std::is_same_v<T, double>) {
        field = parameters.real(name);
      } else if constexpr (std::is_same_v<T, std::int64_t>) {
        field = parameters.integer(name);
      }
    }
  });
  return options;
}

}  // namespace evenrow::tuning
