// Options of a training run: their ranges, and their TOML form, both by the table of options.
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <type_traits>
#include <vector>

#include "core/fail.hpp"
#include "core/nearest.hpp"
#include "evenrow/train.hpp"
#include "io/names.hpp"
#include "io/toml.hpp"
#include "nn/names.hpp"
#include "train/names.hpp"
#include "train/option_table.hpp"

namespace evenrow {
namespace {

using training::visit_options;

struct Problem {
  std::string key;
  std::string message;  // "VALUE, expected ..."
};

std::optional<Problem> find_problem(const TrainOptions& o) {
  std::optional<Problem> problem;
  const auto require = [&](bool good, const char* key, const auto& value, const char* expected) {
    if (!good && !problem) problem = {key, fmt::format("{}, expected {}", value, expected)};
  };
  const auto fraction = [&](double value, const char* key) {
    require(value >= 0.0 && value < 1.0, key, value, "a number in [0, 1)");
  };
  const auto at_least_zero = [&](double value, const char* key) {
    require(value >= 0.0 && std::isfinite(value), key, value, "a number >= 0");
  };
  const auto scale = [&](double value, const char* key) {
    require(value >= 1e-9 && value <= 1e9, key, value, "a number from 1e-9 to 1e9");
  };
  for (const std::int64_t units : o.hidden) {
    require(units >= 1, "hidden", units, "layers of at least 1 unit");
  }
  require(!o.residual || o.hidden.size() >= 2, "hidden", o.hidden.empty() ? "empty" : "one layer",
          "two or more layers with residual: the width of the network, then the units inside each "
          "residual block");
  require(!o.residual || o.norm_placement != NormPlacement::after_activation, "norm_placement",
          "after", "before_linear with residual, whose blocks normalize what they read");
  at_least_zero(o.norm_eps, "norm_eps");
  require(o.norm_new_weight > 0.0 && o.norm_new_weight <= 1.0, "norm_new_weight", o.norm_new_weight,
          "a number in (0, 1]");
  fraction(o.dropout, "dropout");
  scale(o.init_scale, "init_scale");
  scale(o.input_scale, "input_scale");
  fraction(o.label_smoothing, "label_smoothing");
  require(o.huber_delta > 0.0 && std::isfinite(o.huber_delta), "huber_delta", o.huber_delta,
          "a number > 0");
  at_least_zero(o.learning_rate, "lr");
  fraction(o.optimizer.momentum, "momentum");
  fraction(o.optimizer.rho, "rho");
  fraction(o.optimizer.beta1, "beta1");
  fraction(o.optimizer.beta2, "beta2");
  at_least_zero(o.optimizer.eps, "optimizer_eps");
  at_least_zero(o.optimizer.weight_decay, "weight_decay");
  at_least_zero(o.optimizer.clip_norm, "clip_norm");
  at_least_zero(o.schedule.warmup_epochs, "warmup");
  require(o.schedule.step_epochs > 0.0 && std::isfinite(o.schedule.step_epochs), "step_epochs",
          o.schedule.step_epochs, "a number > 0");
  require(o.schedule.step_factor > 0.0 && o.schedule.step_factor <= 1.0, "step_factor",
          o.schedule.step_factor, "a number in (0, 1]");
  require(o.batch_size >= 1, "batch_size", o.batch_size, "at least 1");
  const bool normalizes = o.norm == Norm::batch && !o.hidden.empty();
  require(!normalizes || o.batch_size >= 2, "batch_size", o.batch_size,
          "at least 2 with batch norm, because the variance of one example is 0 whatever it is; "
          "use a larger mini-batch, or norm none");
  require(o.epochs >= 1, "epochs", o.epochs, "at least 1");
  require(o.early_stop >= 0, "early_stop", o.early_stop, "at least 0");
  fraction(o.validation, "validation");
  require(o.early_stop == 0 || o.validation > 0.0, "early_stop", o.early_stop,
          "0 without validation data; give validation a part of the training data");
  require(o.observe >= 0, "observe", o.observe, "at least 0");
  require(o.seed <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()), "seed",
          o.seed, "below 2^63");
  require(o.threads >= 0 && o.threads <= 1024, "threads", o.threads, "0 to 1024");
  return problem;
}

template <class T>
inline constexpr bool is_optional_loss =
    std::is_same_v<std::remove_const_t<T>, std::optional<LossKind>>;

// A number in TOML: floats keep a point or an exponent, so that they stay floats.
std::string toml_number(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string toml_string(std::string_view value) {
  std::ostringstream text;
  text << toml::toml_formatter(toml::value<std::string>(value), toml::format_flags::none);
  return text.str();
}

template <class T>
std::string toml_value(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return toml_string(value);
  } else if constexpr (is_optional_loss<T>) {
    return toml_string(value ? core::name_of(*value) : "auto");
  } else if constexpr (std::is_enum_v<T>) {
    return toml_string(core::name_of(value));
  } else if constexpr (std::is_same_v<T, double>) {
    return toml_number(value);
  } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
    return fmt::format("[{}]", fmt::join(value, ", "));
  } else {
    return fmt::format("{}", value);
  }
}

// Where a key stands, for messages.
std::string place(const std::string& source, const toml::node& node, std::string_view key) {
  return fmt::format("{}, line {}: {}", source, node.source().begin.line, key);
}

template <class T>
void read_value(const toml::node& node, const std::string& where, T& field) {
  const auto expected = [&](std::string_view what) {
    std::ostringstream found;
    node.visit([&](const auto& n) { found << n; });
    core::fail(ErrorKind::usage, "{} = {}, expected {}", where, found.str(), what);
  };
  if constexpr (std::is_same_v<T, std::string>) {
    if (!node.is_string()) expected("text in quotes");
    field = node.as_string()->get();
  } else if constexpr (is_optional_loss<T> || std::is_enum_v<T>) {
    using Enum = std::conditional_t<is_optional_loss<T>, LossKind, T>;
    const std::string_view name = node.is_string() ? node.as_string()->get() : std::string_view();
    const auto value = core::parse_name<Enum>(name);
    if (is_optional_loss<T> && name == "auto") {
      field = T{};
    } else if (value) {
      field = *value;
    } else {
      const auto known = core::names<Enum>();
      expected(fmt::format("one of {}{}{}", is_optional_loss<T> ? "auto, " : "",
                           core::joined_names<Enum>(), core::did_you_mean(name, known)));
    }
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!node.is_boolean()) expected("true or false");
    field = node.as_boolean()->get();
  } else if constexpr (std::is_same_v<T, double>) {
    if (node.is_floating_point()) {
      field = node.as_floating_point()->get();
    } else if (node.is_integer()) {
      field = static_cast<double>(node.as_integer()->get());
    } else {
      expected("a number");
    }
  } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
    field.clear();
    if (!node.is_array()) expected("a list of whole numbers, such as [256, 128]");
    for (const toml::node& entry : *node.as_array()) {
      if (!entry.is_integer()) expected("a list of whole numbers, such as [256, 128]");
      field.push_back(entry.as_integer()->get());
    }
  } else {
    if (!node.is_integer()) expected("a whole number");
    const std::int64_t value = node.as_integer()->get();
    if (!std::in_range<T>(value)) {
      expected(std::is_unsigned_v<T> ? "a whole number >= 0" : "a smaller whole number");
    }
    field = static_cast<T>(value);
  }
}

}  // namespace

void check(const TrainOptions& options) {
  if (const auto problem = find_problem(options)) {
    core::fail(ErrorKind::usage, "{} is {}", problem->key, problem->message);
  }
}

std::string to_toml(const TrainOptions& options) {
  std::string text;
  visit_options(options, [&](const char* key, const auto& field, const char* help) {
    text += fmt::format("# {}\n{} = {}\n", help, key, toml_value(field));
  });
  return text;
}

TrainOptions options_from_toml(const std::string& text, const std::string& source) {
  const toml::table document = io::parse_toml(text, source);
  TrainOptions options;
  std::vector<std::string_view> known;
  visit_options(options, [&](const char* key, auto& field, const char*) {
    known.emplace_back(key);
    if (const toml::node* node = document.get(key)) {
      read_value(*node, place(source, *node, key), field);
    }
  });
  for (const auto& [key, node] : document) {
    if (std::ranges::find(known, key.str()) == known.end()) {
      core::fail(ErrorKind::usage, "{}: unknown option{}", place(source, node, key.str()),
                 core::did_you_mean(key.str(), known));
    }
  }
  if (const auto problem = find_problem(options)) {
    const toml::node* node = document.get(problem->key);
    core::fail(ErrorKind::usage, "{} is {}",
               node != nullptr ? place(source, *node, problem->key) : problem->key,
               problem->message);
  }
  return options;
}

}  // namespace evenrow
