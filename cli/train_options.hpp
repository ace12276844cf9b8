// The options of `evenrow train` that are fields of TrainOptions: made from the one table of
// training options (src/train/option_table.hpp).
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "evenrow/train.hpp"

namespace evenrow::cli {

/// What the command line says about TrainOptions. Values are kept as text until the whole line is
/// parsed, so that a configuration file can come first.
class GivenTrainOptions {
 public:
  /// Adds all options to `parser`, which keeps pointers into this object: it stays where it is.
  explicit GivenTrainOptions(CLI::App& parser);
  GivenTrainOptions(const GivenTrainOptions&) = delete;
  GivenTrainOptions& operator=(const GivenTrainOptions&) = delete;

  /// Sets what the command line gave, leaves the rest. Errors (usage): names the option.
  void apply_to(TrainOptions& options) const;

  /// The first option given apart from --threads, for messages ("--epochs"); empty: none.
  std::string first_given_but_threads() const;

 private:
  struct Given {
    std::string text;
    const CLI::Option* option = nullptr;
  };
  std::map<std::string, Given> given_;  // by key; a map, because its elements never move
};

}  // namespace evenrow::cli
