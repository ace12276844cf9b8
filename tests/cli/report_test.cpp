// evenrow report on folders as training and comparing leave them, and its pages in a browser.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

#include "cli/program.hpp"
#include "support/python.hpp"

namespace evenrow::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A class that would end the script with the page's data, and start one of its own.
const std::string kEvil = "</script><img src=x onerror=alert(1)>";

void train(const Workplace& place, const std::string& data, const std::string& out,
           std::vector<std::string> options = {}) {
  std::vector<std::string> words{"train", data,           "--out", out,         "--hidden",
                                 "16,8",  "--batch-size", "16",    "--observe", "5"};
  words.insert(words.end(), options.begin(), options.end());
  const Outcome outcome = place.run(words);
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
}

std::string compare_json(const std::string& vary) {
  return R"({"format":"evenrow comparison","version":1,"vary":")" + vary +
         R"(","metric":"accuracy","direction":"maximize","values":[16,64],"norms":["none","batch"],
"seeds":[1],"best_of_all":0.9,"margin":0.02,"runs":[
{"norm":"none","value":16,"seed":1,"score":0.88,"training_score":0.9,"diverged":false,"seconds":1.2,"folder":"../none"},
{"norm":"none","value":64,"seed":1,"score":null,"training_score":null,"diverged":true,"seconds":1.2,"folder":"runs/x"},
{"norm":"batch","value":16,"seed":1,"score":0.87,"training_score":0.9,"diverged":false,"seconds":1.2,"folder":"../batch"},
{"norm":"batch","value":64,"seed":1,"score":0.9,"training_score":0.99,"diverged":false,"seconds":1.2,"folder":"runs/y"}],
"usable_range":[
{"norm":"none","best":0.88,"low":16,"high":16,"size":0,"unit":"doublings","interval":[0,0],"open_low":true,"open_high":false},
{"norm":"batch","best":0.9,"low":20,"high":64,"size":1.7,"unit":"doublings","interval":[1.1,2],"open_low":false,"open_high":true}]})";
}

class Report : public testing::Test {
 protected:
  Outcome report(std::vector<std::string> words) {
    words.insert(words.begin(), "report");
    return place_.run(words);
  }
  void expect_error(const std::string& folder, int exit, const std::string& message) {
    const Outcome outcome = report({folder, "-o", "none.html"});
    EXPECT_EQ(outcome.exit, exit);
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_FALSE(place_.has("none.html"));
  }

  Workplace place_;
};

// Every kind of page, in one browser: starting it is what takes time.
TEST_F(Report, PagesInABrowser) {
  write_images(place_, "bars");
  place_.write("flowers.csv", flowers_csv({"setosa", "\"" + kEvil + "\"", "virginica"}));
  place_.write("houses.csv", houses_csv());
  train(place_, "bars-images-idx3-ubyte", "images", {"--epochs", "1", "--lr", "1e-9"});
  for (const char* norm : {"batch", "none"})
    train(place_, "flowers.csv", norm, {"--norm", norm, "--epochs", "3"});
  train(place_, "houses.csv", "houses", {"--validation", "0.3", "--epochs", "3"});
  std::filesystem::create_directory(place_ / "sizes");
  place_.write("sizes/compare.json", compare_json("batch-size"));
  const Outcome tuned = place_.run(
      {"tune", "flowers.csv", "--trials", "16", "--epochs", "3", "--refine", "--out", "study"});
  ASSERT_EQ(tuned.exit, 0) << tuned.err;
  for (const auto& [vary, values] : {std::pair{"lr", "1e-3,0.1,1e30"}, {"seed", "1,2"}}) {
    const Outcome compared = place_.run({"compare", "flowers.csv", "--vary", vary, "--values",
                                         values, "--hidden", "8", "--epochs", "2", "--out", vary});
    ASSERT_EQ(compared.exit, 0) << compared.err;
  }

  for (const auto& [page, folders] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"pair.html", {"batch", "none/"}},
           {"images.html", {"images"}},
           {"study.html", {"study"}},
           {"rates.html", {"lr", "seed"}},
           {"other.html", {"sizes", "houses"}}}) {
    std::vector<std::string> words = folders;
    words.insert(words.end(), {"-o", page});
    const Outcome outcome = report(words);
    ASSERT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_EQ(outcome.out, page + "\n");
  }
  const std::string pair = place_.read("pair.html");
  std::string version = place_.run({"--version"}).out;  // "evenrow 1.2.3\n"
  version = "<td>" + version.substr(8, version.size() - 9) + "</td>";
  EXPECT_THAT(pair, AllOf(HasSubstr("2 runs: batch, none."), HasSubstr("Configuration and time"),
                          HasSubstr(version), HasSubstr("Errors without batch norm"),
                          HasSubstr("In block 2 the median"), HasSubstr("Rows that were wrong"),
                          HasSubstr("&lt;/script&gt;&lt;img"), Not(HasSubstr(kEvil))));
  EXPECT_THAT(place_.read("images.html"),
              AllOf(HasSubstr("Confusion matrix"), HasSubstr("Images that were wrong")));
  EXPECT_THAT(place_.read("rates.html"),
              AllOf(HasSubstr("Learning rate and result"), HasSubstr("The usable range is "),
                    HasSubstr("runs diverged and count as 0"), HasSubstr("Seed and result"),
                    HasSubstr(" of 2 seeds without batch norm")));
  EXPECT_THAT(place_.read("other.html"),
              AllOf(HasSubstr("Gap between training"), HasSubstr("Predictions beside the truth"),
                    HasSubstr("Rows with the largest errors"), HasSubstr("1 of 4 runs diverged")));
  EXPECT_THAT(place_.read("study.html"),
              AllOf(HasSubstr("Of 16 trials "), HasSubstr("Parameters of all trials"),
                    HasSubstr("Which parameters mattered"), HasSubstr("The best trials"),
                    HasSubstr("Refined, from trial 8 on"), HasSubstr("batch_size")));
  // The same folders give the same page.
  ASSERT_EQ(report({"batch", "none/", "-o", "again.html"}).exit, 0);
  EXPECT_EQ(place_.read("again.html"), pair);

#if !EVENROW_SANITIZED  // the pages are the same
  // A page with everything that is looked for: the checks must find it.
  std::string broken = std::regex_replace(pair, std::regex("<h3 "), "<h6 ");
  broken.replace(broken.find("<section"), 0,
                 "<p><font color=\"#999999\">pale</font></p><img src=\"elsewhere.png\">"
                 "<canvas width=\"3000\" height=\"9\"></canvas>"
                 "<figure><p class=\"finding\">It is - here.</p></figure>");
  place_.write("broken.html", broken);
  run_python("report_pages.py",
             {(place_ / "pair.html").string(), (place_ / "images.html").string(),
              (place_ / "study.html").string(), (place_ / "rates.html").string(),
              (place_ / "other.html").string(), "--broken", (place_ / "broken.html").string()});
#endif
}

TEST_F(Report, OfARunWithoutAVersion) {
  place_.write("flowers.csv", flowers_csv());
  train(place_, "flowers.csv", "run", {"--epochs", "1"});
  const std::string result = place_.read("run/result.json");
  for (const char* other : {"\"epoch_version\": \"", "\"version\": 3, \"x\": \""}) {
    const std::regex version("\"version\": ?\"");
    ASSERT_TRUE(std::regex_search(result, version));
    place_.write("run/result.json", std::regex_replace(result, version, other));
    const Outcome outcome = report({"run"});
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_THAT(place_.read("report.html"), HasSubstr("Configuration and time"));
  }
}

TEST_F(Report, ShowsNoRowsWhenAskedNotTo) {
  place_.write("flowers.csv", flowers_csv());
  train(place_, "flowers.csv", "run", {"--epochs", "1", "--lr", "1e-9"});
  ASSERT_EQ(report({"run"}).exit, 0);
  const std::string with = place_.read("report.html");
  EXPECT_THAT(with, HasSubstr("Rows that were wrong"));
  ASSERT_EQ(report({"run", "--no-examples"}).exit, 0);
  const std::string without = place_.read("report.html");
  EXPECT_THAT(without,
              AllOf(HasSubstr("Confusion matrix"), Not(HasSubstr("Rows that were wrong"))));

  // Data that is gone or another one is said; the counts are those of training.
  place_.write("flowers.csv", flowers_csv({"virginica", "\"Iris, blue\"", "setosa"}));
  ASSERT_EQ(report({"run"}).exit, 0);
  EXPECT_THAT(place_.read("report.html"), HasSubstr("is not what it was"));
  std::filesystem::remove(place_ / "flowers.csv");
  const Outcome outcome = report({"run"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(place_.read("report.html"),
              AllOf(HasSubstr("there are no examples"), HasSubstr("Confusion matrix")));
}

TEST_F(Report, RefusesWhatIsNoFolderOfEvenrow) {
  std::filesystem::create_directory(place_ / "empty");
  expect_error("empty", 4, "empty: nothing to report on there");
  expect_error("missing", 4, "missing: nothing to report on there");
  place_.write("unfinished/comparison.toml", "");
  expect_error("unfinished", 4, "unfinished: this comparison is not finished");
}

TEST_F(Report, OfAStudy) {
  place_.write("flowers.csv", flowers_csv());
  place_.write("space.toml",
               "[lr]\nlow = 1e-3\nhigh = 0.5\n[norm]\nvalues = [\"batch\", \"none\"]\n");
  const Outcome tuned =
      place_.run({"tune", "flowers.csv", "--trials", "12", "--epochs", "3", "--space", "space.toml",
                  "--pruner", "none", "--search", "random", "--out", "study"});
  ASSERT_EQ(tuned.exit, 0) << tuned.err;
  ASSERT_EQ(report({"study", "-o", "study.html"}).exit, 0);
  const std::string page = place_.read("study.html");
  EXPECT_THAT(page, AllOf(HasSubstr("Of 12 trials 12 ran to their end; the best, "),
                          HasSubstr("mattered"), HasSubstr("accuracy")));
  // Axes end where the space does, which no trial of a random search is likely to meet.
  EXPECT_THAT(page.substr(page.find("\"marks\""), 200),
              AllOf(HasSubstr("\"text\":\"0.001\""), HasSubstr("\"text\":\"0.5\"")));
  // A study that has hardly begun, one that is broken, and a journal without any.
  const std::string journal = place_.read("study/journal.log");
  place_.write("begun/journal.log", journal.substr(0, journal.find("\"op_code\":6") - 1));
  ASSERT_EQ(report({"begun", "-o", "begun.html"}).exit, 0);
  EXPECT_THAT(place_.read("begun.html"), HasSubstr("has run to its end yet"));
  place_.write("broken/journal.log", journal + "{\"op_code\":11}\n");
  expect_error("broken", 3, "op_code 11 is unknown");
  place_.write("none/journal.log", "");
  expect_error("none", 3, "there is no study in it");
}

TEST_F(Report, NamesTheLineThatIsWrong) {
  place_.write("flowers.csv", flowers_csv());
  train(place_, "flowers.csv", "run", {"--epochs", "1"});
  const std::string lines = place_.read("run/observations.jsonl");
  const std::string first = lines.substr(0, lines.find('\n') + 1);
  place_.write("run/observations.jsonl", first + "{\"step\":1}\n");
  expect_error("run", 3, "observations.jsonl, line 2: not an observation as training writes them");
  place_.write("run/observations.jsonl", first + "{\"step\":1,\n");
  expect_error("run", 3, "observations.jsonl, line 2: invalid JSON");
  place_.write("run/observations.jsonl",
               std::regex_replace(first, std::regex("\"quantiles\":\\[[^,]*,"), "\"quantiles\":["));
  expect_error("run", 3, "observations.jsonl, line 1: expected 7 quantiles, found 6");
  // The beginning of a line, which a killed run may leave, is no line.
  place_.write("run/observations.jsonl", first + "{\"st");
  EXPECT_EQ(report({"run"}).exit, 0);
}

TEST_F(Report, RefusesAComparisonThatIsNone) {
  for (const auto& [from, to, message] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"evenrow comparison", "x", "expected format \"evenrow comparison\", version 1, found"},
           {"\"version\":1", "\"version\":2", "version 2"},
           {"maximize", "minimize", "direction is \"minimize\""},
           {"\"values\":[16,64]", "\"values\":[]", "without values, norms or runs"},
           {"\"margin\":0.02", "\"margin\":\"x\"", "not a comparison as evenrow compare writes it"},
           {"\"seeds\"", "\"norms\"", "stands twice"}}) {
    std::string json = compare_json("lr");
    json.replace(json.find(from), from.size(), to);
    place_.write("lr/compare.json", json);
    expect_error("lr", 3, message);
  }
}

}  // namespace
}  // namespace evenrow::test
