// Help text and usage errors: what CLI11 does not do by itself.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace evenrow::cli {

/// Adds a verb whose help is, in the order that help2man reads: usage lines, description,
/// arguments, options in groups, example. `usage` has one line a form, without the program's name.
CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& usage,
                   const std::string& description, const std::string& example);

/// The same shape for the program itself.
void set_help_shape(CLI::App& app, const std::string& usage, const std::string& example);

/// --threads of the verbs that only read a model.
void add_threads_option(CLI::App& verb, int& threads);

/// What to tell about a command line that cannot be parsed: names an unknown option or verb and
/// the nearest known one, else says what CLI11 found.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

}  // namespace evenrow::cli
