#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "cli/program.hpp"
#include "report/text.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Help : public testing::TestWithParam<const char*> {};

TEST_P(Help, ShowsUsageAndAnExampleIn80Columns) {
  const Workplace workplace;
  const std::string verb = GetParam();
  const Outcome outcome = workplace.run(verb.empty() ? std::vector<std::string>{"--help"}
                                                     : std::vector<std::string>{verb, "--help"});
  EXPECT_EQ(outcome.exit, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, StartsWith("Usage: evenrow " + (verb.empty() ? "VERB" : verb)));
  EXPECT_THAT(outcome.out, HasSubstr("\nExample:\n  evenrow "));
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LT(report::display_width(line), 80) << line;
  }
}

INSTANTIATE_TEST_SUITE_P(Verbs, Help,
                         testing::Values("", "train", "evaluate", "predict", "inspect", "lr-find",
                                         "compare", "tune", "report", "bench"),
                         [](const auto& verb_info) {
                           std::string verb = verb_info.param;
                           std::erase(verb, '-');
                           return verb.empty() ? std::string("program") : verb;
                         });

TEST(Version, IsOneLine) {
  const Workplace workplace;
  const Outcome outcome = workplace.run({"--version"});
  EXPECT_EQ(outcome.exit, 0);
  EXPECT_TRUE(std::regex_match(outcome.out, std::regex("evenrow \\d+\\.\\d+\\.\\d+\n")))
      << outcome.out;
}

// Every option is a key of the configuration file and the other way round.
TEST(Help, OptionsAreTheKeysOfTheConfiguration) {
  const Workplace workplace;
  workplace.write("flowers.csv", flowers_csv());
  ASSERT_EQ(workplace.run({"train", "flowers.csv", "--epochs", "1", "--out", "run"}).exit, 0);
  std::set<std::string> keys, options{"data"};
  std::smatch match;
  std::istringstream config(workplace.read("run/config.toml"));
  for (std::string line; std::getline(config, line);) {
    if (std::regex_search(line, match, std::regex("^([a-z0-9_]+) = "))) keys.insert(match[1]);
  }
  std::istringstream help(workplace.run({"train", "--help"}).out);
  for (std::string line; std::getline(help, line);) {
    if (!std::regex_search(line, match, std::regex("^  --([a-z0-9-]+)"))) continue;
    std::string option = match[1];
    for (char& c : option) c = c == '-' ? '_' : c;
    const std::set<std::string> of_the_run{"out", "config", "resume", "tensorboard"};
    if (!of_the_run.contains(option)) options.insert(option);
  }
  EXPECT_EQ(options, keys);
}

}  // namespace
}  // namespace evenrow::test
