#include "train_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "core/fail.hpp"
#include "core/nearest.hpp"
#include "io/names.hpp"
#include "io/read_file.hpp"
#include "nn/names.hpp"
#include "train/names.hpp"
#include "train/option_table.hpp"

namespace evenrow::cli {
namespace {

using UnitList = std::vector<std::int64_t>;

template <class Number>
Number parse_number(const std::string& option, std::string_view text, std::string_view expected) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool good = error == std::errc{} && end == text.data() + text.size();
  if constexpr (std::is_floating_point_v<Number>) good = good && std::isfinite(value);
  if (!good) core::fail(ErrorKind::usage, "{} is '{}', expected {}", option, text, expected);
  return value;
}

template <class Number>
std::vector<Number> parse_list(const std::string& option, std::string_view text,
                               std::string_view expected) {
  std::vector<Number> numbers;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    numbers.push_back(parse_number<Number>(option, text.substr(at, end - at), expected));
    at = end + 1;
  }
  return numbers;
}

UnitList parse_units(const std::string& option, std::string_view text) {
  if (text == "none") return {};
  return parse_list<std::int64_t>(
      option, text,
      "whole numbers with commas between them and no blanks, such as 256,128, or none");
}

// One overload a type of field: what the help calls its values, how they are read and shown.
std::string value_name(const std::string&) {
  return "TEXT";
}
std::string value_name(double) {
  return "X";
}
std::string value_name(std::int64_t) {
  return "N";
}
std::string value_name(std::uint64_t) {
  return "N";
}
std::string value_name(int) {
  return "N";
}
std::string value_name(const UnitList&) {
  return "N,N,...";
}
template <class E>
requires std::is_enum_v<E> std::string value_name(E) {
  return core::joined_names<E>("|");
}
template <class E>
std::string value_name(const std::optional<E>&) {
  return "auto|" + core::joined_names<E>("|");
}

template <class T>
T parse(const std::string& option, std::string_view text, const T&) {
  if constexpr (std::is_same_v<T, std::string>) {
    return std::string(text);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (text == "true" || text == "false") return text == "true";
    core::fail(ErrorKind::usage, "{} is '{}', expected true or false", option, text);
  } else if constexpr (std::is_same_v<T, UnitList>) {
    return parse_units(option, text);
  } else if constexpr (std::is_enum_v<T>) {
    return parse_enum<T>(option, text);
  } else {
    return parse_number<T>(option, text,
                           std::is_floating_point_v<T> ? "a number"
                           : std::is_unsigned_v<T>     ? "a whole number >= 0"
                                                       : "a whole number");
  }
}
template <class E>
std::optional<E> parse(const std::string& option, std::string_view text, const std::optional<E>&) {
  if (text == "auto") return std::nullopt;
  return parse_enum<E>(option, text);
}

template <class T>
std::string show(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::string(core::name_of(value));
  } else if constexpr (std::is_same_v<T, UnitList>) {
    return fmt::format("{}", fmt::join(value, ","));
  } else {
    return fmt::format("{}", value);
  }
}
template <class E>
std::string show(const std::optional<E>& value) {
  return value ? show(*value) : "auto";
}

std::string long_option(std::string_view key) {
  std::string option = "--" + std::string(key);
  std::replace(option.begin(), option.end(), '_', '-');
  return option;
}

// Help as a sentence.
std::string sentence(std::string_view help, const std::string& default_text) {
  std::string text(help);
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return default_text.empty() ? text : fmt::format("{} (default: {})", text, default_text);
}

// The heading under which an option and those after it stand in the help.
constexpr std::pair<std::string_view, std::string_view> kGroups[] = {
    {"test", "Data"},           {"hidden", "Network"},    {"loss", "Loss"},
    {"optimizer", "Optimizer"}, {"schedule", "Schedule"}, {"batch_size", "Training"},
};

// The names of values that their type does not tell.
constexpr std::pair<std::string_view, std::string_view> kValueNames[] = {
    {"test", "DATA"}, {"target", "COLUMN"}, {"warmup", "EPOCHS"}, {"step_epochs", "EPOCHS"}};

}  // namespace

GivenTrainOptions::GivenTrainOptions(CLI::App& parser, const std::set<std::string_view>& without) {
  TrainOptions defaults;
  std::string group;
  training::visit_options(
      defaults, [&](std::string_view key, const auto& field, std::string_view help) {
        for (const auto& [first, heading] : kGroups) {
          if (key == first) group = heading;
        }
        if (key == "data" || without.contains(key)) return;  // data: the positional argument
        Given& given = given_[std::string(key)];
        CLI::Option* option = nullptr;
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(field)>, bool>) {
          option = parser.add_flag(long_option(key), given.text, sentence(help, ""));
        } else {
          option = parser.add_option(long_option(key), given.text, sentence(help, show(field)));
          std::string name = value_name(field);
          for (const auto& [special, special_name] : kValueNames) {
            if (key == special) name = special_name;
          }
          option->type_name(name);
        }
        given.option = option->group(group);
      });
}

void GivenTrainOptions::apply_to(TrainOptions& options) const {
  training::visit_options(options, [&](std::string_view key, auto& field, std::string_view) {
    if (!gave(std::string(key))) return;
    field = parse(long_option(key), given_.at(std::string(key)).text, field);
  });
}

bool GivenTrainOptions::gave(const std::string& key) const {
  const auto found = given_.find(key);
  return found != given_.end() && found->second.option->count() > 0;
}

std::string GivenTrainOptions::first_given_but_threads() const {
  for (const auto& [key, given] : given_) {
    if (key != "threads" && given.option->count() > 0) return long_option(key);
  }
  return {};
}

TrainOptions read_options(const std::filesystem::path& path) {
  const auto bytes = io::read_file(path);
  return options_from_toml({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                           path.string());
}

TrainOptions gathered_options(const std::string& data, const std::string& config,
                              const GivenTrainOptions& given) {
  TrainOptions options;
  if (!config.empty()) options = read_options(config);
  given.apply_to(options);
  if (!data.empty()) options.data = data;
  if (options.data.empty()) {
    core::fail(ErrorKind::usage,
               "DATA is missing: a CSV, npy, npz or IDX file, or fashion-mnist; see evenrow train "
               "--help");
  }
  check(options);
  return options;
}

std::vector<double> parse_numbers(const std::string& option, std::string_view text) {
  return parse_list<double>(option, text,
                            "numbers with commas between them and no blanks, such as 0.01,0.1,1");
}

void add_data_and_config(CLI::App& parser, std::string& data, std::string& config) {
  parser.add_option("DATA", data,
                    "A CSV file (.csv, .tsv, .txt), .npy, .npz or IDX images (all but npz also "
                    "gzipped), or the word fashion-mnist.");
  parser
      .add_option("--config", config,
                  "Options from a TOML file, such as the config.toml of an earlier run.")
      ->type_name("FILE")
      ->group("Run");
}

}  // namespace evenrow::cli
