// The options of `evenrow train` that are fields of TrainOptions: made from the one table of
// training options (src/train/option_table.hpp).
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/fail.hpp"
#include "core/names.hpp"
#include "core/nearest.hpp"
#include "evenrow/train.hpp"

namespace evenrow::cli {

/// What the command line says about TrainOptions. Values are kept as text until the whole line is
/// parsed, so that a configuration file can come first.
class GivenTrainOptions {
 public:
  /// Adds all options to `parser`, which keeps pointers into this object: it stays where it is.
  /// `without`: keys that mean nothing to this verb.
  explicit GivenTrainOptions(CLI::App& parser, const std::set<std::string_view>& without = {});
  GivenTrainOptions(const GivenTrainOptions&) = delete;
  GivenTrainOptions& operator=(const GivenTrainOptions&) = delete;

  /// Sets what the command line gave, leaves the rest. Errors (usage): names the option.
  void apply_to(TrainOptions& options) const;

  /// Whether the command line gave the option of this key ("batch_size").
  bool gave(const std::string& key) const;

  /// The first option given apart from --threads, for messages ("--epochs"); empty: none.
  std::string first_given_but_threads() const;

 private:
  struct Given {
    std::string text;
    const CLI::Option* option = nullptr;
  };
  std::map<std::string, Given> given_;  // by key; a map, because its elements never move
};

/// Options from a TOML file. Errors: io; usage, as options_from_toml.
TrainOptions read_options(const std::filesystem::path& path);

/// Checked options: those of the file `config` (if not empty), then those of the command line, then
/// `data` (if not empty). Errors (usage): no data; see check().
TrainOptions gathered_options(const std::string& data, const std::string& config,
                              const GivenTrainOptions& given);

/// The value of enumeration E that `text` names. Errors (usage): names the option, the values and
/// the nearest of them.
template <class E>
E parse_enum(const std::string& option, std::string_view text) {
  if (const auto value = core::parse_name<E>(text)) return *value;
  const auto known = core::names<E>();
  core::fail(ErrorKind::usage, "{} is '{}', expected one of {}{}", option, text,
             core::joined_names<E>(), core::did_you_mean(text, known));
}

/// The values of "none,batch".
template <class E>
std::vector<E> parse_enums(const std::string& option, std::string_view text) {
  std::vector<E> values;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    values.push_back(parse_enum<E>(option, text.substr(at, end - at)));
    at = end + 1;
  }
  return values;
}

/// The numbers of "0.1,1,10". Errors (usage): names the option.
std::vector<double> parse_numbers(const std::string& option, std::string_view text);

/// Adds the positional DATA and --config, which go with GivenTrainOptions.
void add_data_and_config(CLI::App& parser, std::string& data, std::string& config);

}  // namespace evenrow::cli
