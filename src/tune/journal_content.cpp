#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/fail.hpp"
#include "io/strict_json.hpp"
#include "tune/journal.hpp"

namespace evenrow {
namespace {

using nlohmann::json;
using tuning::JournalTrial;

// Python's json writes and reads NaN, Infinity and -Infinity, which are not JSON: null and text
// here.
std::string without_python_numbers(std::string_view line) {
  std::string text;
  bool quoted = false;
  for (std::size_t i = 0; i < line.size();) {
    const auto replace = [&](std::string_view word, std::string_view by) {
      if (quoted || !line.substr(i).starts_with(word)) return false;
      text += by;
      i += word.size();
      return true;
    };
    if (replace("NaN", "null") || replace("Infinity", "\"Infinity\"") ||
        replace("-Infinity", "\"-Infinity\"")) {
      continue;
    }
    if (quoted && line[i] == '\\' && i + 1 < line.size()) {
      text += line[i++];  // what follows is not the end of the text
    } else if (line[i] == '"') {
      quoted = !quoted;
    }
    text += line[i++];
  }
  return text;
}

// The members of an object, each of the type that is asked for.
class Fields {
 public:
  Fields(const json& object, const std::string& where) : object_(object), where_(where) {
    if (!object.is_object()) fail("expected a JSON object");
  }

  [[noreturn]] void fail(const std::string& what) const {
    core::fail(ErrorKind::data, "{}: {}; it is not a line of an Optuna journal", where_, what);
  }
  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  const json& at(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) fail(fmt::format("{} is missing", key));
    return *found;
  }
  std::int64_t whole(const char* key) const {
    const json& value = at(key);
    if (!value.is_number_integer()) fail(fmt::format("{} is not a whole number", key));
    if (value.is_number_unsigned() &&
        value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
      fail(fmt::format("{} is too large", key));
    }
    return value.get<std::int64_t>();
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) fail(fmt::format("{} is not text", key));
    return at(key).get<std::string>();
  }
  double number(const char* key) const { return number_of(at(key), key); }
  double number_of(const json& value, const char* key) const {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
    if (value == "Infinity") return kInfinity;
    if (value == "-Infinity") return -kInfinity;
    if (!value.is_number()) fail(fmt::format("{} is not a number", key));
    return value.get<double>();
  }
  const json& object(const char* key) const {
    if (!at(key).is_object()) fail(fmt::format("{} is not an object", key));
    return at(key);
  }
  TrialState state(const char* key) const {
    const std::int64_t state = whole(key);
    if (state < 0 || state > 4) fail(fmt::format("{} is {}, which is no state", key, state));
    return static_cast<TrialState>(state);
  }
  // "2026-11-26T17:32:45.137856+00:00" as seconds since 1970, whatever the offset: it is UTC.
  std::optional<double> time(const char* key) const {
    if (!has(key)) return std::nullopt;
    const std::string value = text(key);
    std::array<int, 6> parts{};
    constexpr std::array<std::pair<std::size_t, std::size_t>, 6> kPlaces{
        {{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}}};
    double fraction = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto [at, length] = kPlaces[i];
      if (value.size() < at + length) fail(fmt::format("{} is not a time", key));
      const char* begin = value.data() + at;
      if (std::from_chars(begin, begin + length, parts[i]).ptr != begin + length) {
        fail(fmt::format("{} is not a time", key));
      }
    }
    if (value.size() >= 26 && value[19] == '.') {
      int micros = 0;
      std::from_chars(value.data() + 20, value.data() + 26, micros);
      fraction = micros * 1e-6;
    }
    const std::chrono::year_month_day day{std::chrono::year(parts[0]),
                                          std::chrono::month(static_cast<unsigned>(parts[1])),
                                          std::chrono::day(static_cast<unsigned>(parts[2]))};
    if (!day.ok()) fail(fmt::format("{} is not a time", key));
    const auto days = std::chrono::sys_days(day).time_since_epoch().count();
    return static_cast<double>(days) * 86400.0 + parts[3] * 3600.0 + parts[4] * 60.0 + parts[5] +
           fraction;
  }

 private:
  const json& object_;
  const std::string& where_;
};

// "{"name": "FloatDistribution", "attributes": {...}}", the classes of optuna.distributions.
Parameter parameter_of(const std::string& name, const std::string& distribution,
                       const std::string& where) {
  const json parsed = io::parse_strict_json(without_python_numbers(distribution), where);
  const Fields fields(parsed, where);
  const std::string kind = fields.text("name");
  const Fields attributes(fields.object("attributes"), where);
  Parameter parameter{.name = name};
  if (kind == "CategoricalDistribution") {
    parameter.type = ParameterType::categorical;
    if (!attributes.at("choices").is_array()) fields.fail("choices is not a list");
    for (const json& choice : attributes.at("choices")) {
      parameter.choices.push_back(choice.is_string() ? choice.get<std::string>() : choice.dump());
    }
    if (parameter.choices.empty()) fields.fail("choices is empty");
    return parameter;
  }
  // Names of earlier versions of Optuna, which it still reads.
  const bool integer = kind.starts_with("Int");
  if (!integer && kind != "FloatDistribution" && !kind.ends_with("UniformDistribution")) {
    fields.fail(fmt::format("{} is no distribution that is known here", kind));
  }
  parameter.type = integer ? ParameterType::integer : ParameterType::real;
  parameter.low = attributes.number("low");
  parameter.high = attributes.number("high");
  const bool log = kind.find("Log") != std::string::npos ||
                   (attributes.has("log") && attributes.at("log") == true);
  parameter.scale = log ? Scale::log : Scale::linear;
  if (!std::isfinite(parameter.low) || !std::isfinite(parameter.high) ||
      parameter.low > parameter.high || (log && parameter.low <= 0)) {
    fields.fail(fmt::format("the range of {} is empty, not finite, or log at zero", name));
  }
  return parameter;
}

void set_parameter(JournalTrial& trial, Parameter parameter, double value, const Fields& fields) {
  const bool categorical = parameter.type == ParameterType::categorical;
  if (!std::isfinite(value) ||
      (categorical && !(value >= 0 && value < static_cast<double>(parameter.choices.size()) &&
                        value == std::floor(value)))) {
    fields.fail(fmt::format("the value of {} is outside of its distribution", parameter.name));
  }
  for (auto& [known, known_value] : trial.parameters) {
    if (known.name != parameter.name) continue;
    known = std::move(parameter);
    known_value = value;
    return;
  }
  trial.parameters.emplace_back(std::move(parameter), value);
}

void set_attributes(std::map<std::string, std::string>& attributes, const json& given) {
  for (const auto& [key, value] : given.items()) attributes[key] = value.dump();
}

std::vector<double> numbers_of(const Fields& fields, const char* key) {
  std::vector<double> numbers;
  if (!fields.has(key)) return numbers;
  if (!fields.at(key).is_array()) fields.fail(fmt::format("{} is not a list", key));
  for (const json& value : fields.at(key)) numbers.push_back(fields.number_of(value, key));
  return numbers;
}

JournalTrial new_trial(const Fields& fields, const std::string& where) {
  JournalTrial trial{.study = fields.whole("study_id")};
  if (fields.has("state")) trial.state = fields.state("state");
  trial.values = numbers_of(fields, "values");
  if (fields.has("value")) trial.values = {fields.number("value")};
  trial.start = fields.time("datetime_start");
  trial.end = fields.time("datetime_complete");
  if (fields.has("params")) {
    const Fields distributions(fields.at("distributions"), where);
    for (const auto& [name, value] : fields.object("params").items()) {
      set_parameter(trial, parameter_of(name, distributions.text(name.c_str()), where),
                    fields.number_of(value, "params"), fields);
    }
  }
  if (fields.has("user_attrs")) set_attributes(trial.user_attributes, fields.object("user_attrs"));
  if (fields.has("system_attrs")) {
    set_attributes(trial.system_attributes, fields.object("system_attrs"));
  }
  if (fields.has("intermediate_values")) {
    for (const auto& [step, value] : fields.object("intermediate_values").items()) {
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), number);
      if (error != std::errc{} || end != step.data() + step.size()) {
        fields.fail("a step is not a whole number");
      }
      trial.intermediate[number] = fields.number_of(value, "intermediate_values");
    }
  }
  return trial;
}

}  // namespace

namespace tuning {

void JournalContent::apply(std::string_view line, const std::string& where) {
  const json object = io::parse_strict_json(without_python_numbers(line), where);
  const Fields fields(object, where);
  const std::int64_t operation = fields.whole("op_code");
  const auto study = [&]() -> JournalStudy* {  // nullptr: there is none, which Optuna passes over
    const std::int64_t id = fields.whole("study_id");
    if (id < 0 || id >= std::ssize(studies_)) return nullptr;
    JournalStudy& found = studies_[static_cast<std::size_t>(id)];
    return found.deleted ? nullptr : &found;
  };
  const auto open_trial = [&]() -> JournalTrial* {  // nullptr: none, or it has ended
    const std::int64_t id = fields.whole("trial_id");
    if (id < 0 || id >= std::ssize(trials_)) return nullptr;
    JournalTrial& found = trials_[static_cast<std::size_t>(id)];
    const bool open = found.state == TrialState::running || found.state == TrialState::waiting;
    return open ? &found : nullptr;
  };
  switch (operation) {
    case 0: {
      JournalStudy created{.name = fields.text("study_name")};
      if (!fields.at("directions").is_array()) fields.fail("directions is not a list");
      for (const json& direction : fields.at("directions")) {
        created.directions.push_back(direction == 2 ? Direction::maximize : Direction::minimize);
      }
      if (!find_study(created.name)) studies_.push_back(std::move(created));
      return;
    }
    case 1:
      if (JournalStudy* found = study()) found->deleted = true;
      return;
    case 2:
      if (JournalStudy* found = study()) {
        set_attributes(found->user_attributes, fields.object("user_attr"));
      }
      return;
    case 4:
      if (JournalStudy* found = study()) {
        JournalTrial trial = new_trial(fields, where);
        trial.number = std::ssize(found->trials);
        found->trials.push_back(std::ssize(trials_));
        trials_.push_back(std::move(trial));
      }
      return;
    case 5:
      if (JournalTrial* trial = open_trial()) {
        set_parameter(*trial,
                      parameter_of(fields.text("param_name"), fields.text("distribution"), where),
                      fields.number("param_value_internal"), fields);
      }
      return;
    case 6:
      if (JournalTrial* trial = open_trial()) {
        trial->state = fields.state("state");
        if (fields.has("values")) trial->values = numbers_of(fields, "values");
        if (fields.has("datetime_start")) trial->start = fields.time("datetime_start");
        trial->end = fields.time("datetime_complete");
      }
      return;
    case 7:
      if (JournalTrial* trial = open_trial()) {
        trial->intermediate[fields.whole("step")] = fields.number("intermediate_value");
      }
      return;
    case 8:
    case 9:
      if (JournalTrial* trial = open_trial()) {
        set_attributes(operation == 8 ? trial->user_attributes : trial->system_attributes,
                       fields.object(operation == 8 ? "user_attr" : "system_attr"));
      }
      return;
    case 3:   // attributes of Optuna's own
    case 10:  // which Optuna passes over too
      return;
    default:
      fields.fail(fmt::format("op_code {} is unknown", operation));
  }
}

std::optional<std::size_t> JournalContent::find_study(const std::string& name) const {
  for (std::size_t i = 0; i < studies_.size(); ++i) {
    if (!studies_[i].deleted && studies_[i].name == name) return i;
  }
  return std::nullopt;
}

std::size_t apply_lines(std::string_view bytes, const std::string& path, std::int64_t& line,
                        JournalContent& content) {
  std::size_t at = 0;
  for (std::size_t end; (end = bytes.find('\n', at)) != std::string_view::npos; at = end + 1) {
    content.apply(bytes.substr(at, end - at), fmt::format("{}, line {}", path, ++line));
  }
  return at;
}

}  // namespace tuning
}  // namespace evenrow
