#include "help.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/nearest.hpp"
#include "report/text.hpp"

namespace evenrow::cli {
namespace {

constexpr std::int64_t kHelpWidth = 79;
constexpr std::int64_t kOptionColumn = 28;

// One entry of a list: the name, then its description in a column of its own.
std::string list_entry(const std::string& name, const std::string& description) {
  std::string entry = "  " + name;
  const std::int64_t width = report::display_width(entry);
  if (width + 2 > kOptionColumn) {
    entry += "\n" + std::string(kOptionColumn, ' ');
  } else {
    entry += std::string(static_cast<std::size_t>(kOptionColumn - width), ' ');
  }
  return entry + report::wrapped(description, kHelpWidth - kOptionColumn, kOptionColumn) + "\n";
}

class HelpShape : public CLI::Formatter {
 public:
  explicit HelpShape(std::string usage) : usage_(std::move(usage)) {}

  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode mode) const override {
    std::string text = make_usage(app, {}) + "\n" +
                       report::wrapped(app->get_description(), kHelpWidth) + "\n" +
                       make_positionals(app) + make_groups(app, mode) +
                       make_subcommands(app, mode) + make_footer(app);
    // CLI11 leaves an empty line after some groups; one before each is enough.
    for (std::size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
    return text;
  }

  std::string make_usage(const CLI::App*, std::string) const override {
    std::string text;
    for (std::size_t at = 0; at <= usage_.size();) {
      const std::size_t end = std::min(usage_.find('\n', at), usage_.size());
      text +=
          (at == 0 ? "Usage: evenrow " : "  or:  evenrow ") + usage_.substr(at, end - at) + "\n";
      at = end + 1;
    }
    return text;
  }

  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    std::string text = "\n" + (is_positional ? "Arguments" : group) + ":\n";
    for (const CLI::Option* option : options) text += make_option(option, is_positional);
    return text;
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string name = option->get_name(is_positional, !is_positional);
    // "-h,--help" as the GNU tools write it.
    if (const std::size_t comma = name.find(','); comma != std::string::npos) {
      name.insert(comma + 1, " ");
    }
    if (!is_positional && option->get_type_size() != 0) name += " " + option->get_type_name();
    return list_entry(name, option->get_description());
  }

  std::string make_subcommand(const CLI::App* verb) const override {
    const std::string description = verb->get_description();
    return list_entry(verb->get_name(), description.substr(0, description.find("\n\n")));
  }

  std::string make_footer(const CLI::App* app) const override {
    return "\nExample:\n" + app->get_footer() + "\n";
  }

 private:
  std::string usage_;
};

std::string indented(const std::string& lines) {
  std::string text = "  ";
  for (const char c : lines) {
    text += c;
    if (c == '\n') text += "  ";
  }
  return text;
}

std::vector<std::string> long_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& known) {
  const std::vector<std::string_view> views(known.begin(), known.end());
  return core::did_you_mean(name, views);
}

}  // namespace

CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& usage,
                   const std::string& description, const std::string& example) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->group("Verbs");
  verb->set_help_flag("-h,--help", "Show this help.");
  set_help_shape(*verb, usage, example);
  return verb;
}

void set_help_shape(CLI::App& app, const std::string& usage, const std::string& example) {
  app.formatter(std::make_shared<HelpShape>(usage));
  app.footer(indented(example));
}

void add_threads_option(CLI::App& verb, int& threads) {
  verb.add_option("--threads", threads,
                  "Threads; 0: all that the process may use. Never changes a bit of the result.")
      ->type_name("N")
      ->check(CLI::Range(0, 1024).description(""));
}

std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const auto verbs = app.get_subcommands();  // those on the command line: none or one
  const CLI::App& parser = verbs.empty() ? app : *verbs.front();
  const std::string help =
      verbs.empty() ? "evenrow --help" : fmt::format("evenrow {} --help", parser.get_name());
  for (const std::string& word : parser.remaining()) {
    if (word.starts_with("-") && word != "-" && word != "--") {
      const std::string name = word.substr(0, word.find('='));
      return fmt::format("unknown option '{}'{}; {} lists them", report::printable(name),
                         did_you_mean(name, long_options(parser)), help);
    }
  }
  if (verbs.empty()) {
    std::vector<std::string> known;
    for (const CLI::App* verb : app.get_subcommands({})) known.push_back(verb->get_name());
    const auto words = app.remaining();
    if (!words.empty()) {
      return fmt::format("unknown verb '{}'{}; the verbs are {}", report::printable(words.front()),
                         did_you_mean(words.front(), known), fmt::join(known, ", "));
    }
    return fmt::format("a verb is missing: {}; evenrow --help tells more", fmt::join(known, ", "));
  }
  for (const CLI::Option* option : parser.get_options()) {
    if (option->get_items_expected_max() == 1 && option->count() > 1) {
      return fmt::format("{} is given twice", option->get_name());
    }
  }
  if (const auto words = parser.remaining(); !words.empty()) {
    return fmt::format("unexpected argument '{}'; see {}", report::printable(words.front()), help);
  }
  return fmt::format("{}; see {}", report::printable(error.what()), help);
}

}  // namespace evenrow::cli
