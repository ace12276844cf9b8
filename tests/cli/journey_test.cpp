// train -> evaluate -> predict -> inspect, on every kind of data, as the documentation tells it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "cli/program.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// The words of the line of `text` that begins with `label`, without it.
std::vector<std::string> words_after(const std::string& text, const std::string& label) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(label)) continue;
    std::istringstream rest(line.substr(label.size()));
    std::vector<std::string> words;
    for (std::string word; rest >> word;) words.push_back(word);
    return words;
  }
  ADD_FAILURE() << "no line begins with '" << label << "' in\n" << text;
  return {};
}

double number_after(const std::string& text, const std::string& label) {
  const auto words = words_after(text, label);
  return words.empty() ? std::nan("") : std::stod(words[0]);
}

std::vector<std::string> train(const std::string& data, const std::string& out,
                               std::vector<std::string> options = {}) {
  std::vector<std::string> words{"train",        data, "--out",    out, "--hidden", "16,8",
                                 "--batch-size", "16", "--epochs", "8", "--lr",     "0.01"};
  words.insert(words.end(), options.begin(), options.end());
  return words;
}

TEST(Journey, Classification) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const Outcome trained = place.run(train("flowers.csv", "run", {"--test", "flowers.csv"}));
  ASSERT_EQ(trained.exit, 0) << trained.err;
  // Progress on standard error: a summary, a header, a line an epoch; no control characters.
  EXPECT_THAT(trained.err, HasSubstr("216 training, 24 validation, 240 test rows, 3 features"));
  EXPECT_THAT(trained.err, HasSubstr("network   6-16-8-3 (batch norm before relu)"));
  EXPECT_THAT(trained.err, HasSubstr("\n    8  "));
  EXPECT_THAT(trained.err, Not(HasSubstr("\r")));
  EXPECT_THAT(trained.err, Not(HasSubstr("\x1b")));
  // Results on standard output.
  EXPECT_EQ(words_after(trained.out, "training")[0], "216");
  EXPECT_EQ(words_after(trained.out, "test")[0], "240");
  EXPECT_THAT(trained.out, HasSubstr("run/model.safetensors"));
  for (const char* file : {"config.toml", "steps.jsonl", "epochs.jsonl", "result.json"}) {
    EXPECT_TRUE(place.has(std::string("run/") + file)) << file;
  }
  EXPECT_EQ(line_count(place.read("run/epochs.jsonl")), 8);

  // The run folder stands for its model.
  const Outcome evaluated = place.run({"evaluate", "run", "flowers.csv"});
  ASSERT_EQ(evaluated.exit, 0) << evaluated.err;
  EXPECT_EQ(evaluated.err, "");
  const double accuracy = number_after(evaluated.out, "accuracy");
  EXPECT_EQ(words_after(trained.out, "test")[2], words_after(evaluated.out, "accuracy")[0]);
  EXPECT_THAT(evaluated.out, HasSubstr("confusion matrix"));
  EXPECT_THAT(evaluated.out, HasSubstr("\nIris, blue"));
  EXPECT_THAT(evaluated.out, HasSubstr("recall"));

  // Labels as they were spelled, quoted again; each row's probabilities add up to 1.
  const Outcome predicted =
      place.run({"predict", "run/model.safetensors", "flowers.csv", "-o", "labels.csv"});
  ASSERT_EQ(predicted.exit, 0) << predicted.err;
  EXPECT_EQ(predicted.out, "");
  const std::string labels = place.read("labels.csv");
  // Classes in the model's order, which is that of their names.
  EXPECT_EQ(labels.substr(0, labels.find('\n')),
            "prediction,\"probability:Iris, blue\",probability:setosa,probability:virginica");
  EXPECT_EQ(line_count(labels), 241);
  std::istringstream truth_lines(place.read("flowers.csv")), lines(labels);
  std::string truth, line;
  std::getline(truth_lines, truth);
  std::getline(lines, line);
  int right = 0;
  while (std::getline(lines, line) && std::getline(truth_lines, truth)) {
    const std::string label =
        line.substr(0, line.starts_with('"') ? line.find('"', 1) + 1 : line.find(','));
    if (truth.ends_with("," + label)) ++right;
    double sum = 0;
    std::istringstream fields(line.substr(label.size() + 1));
    for (std::string field; std::getline(fields, field, ',');) sum += std::stod(field);
    // Three floats, each rounded to 2^-24 of at most 1, and as much again when they were computed.
    EXPECT_NEAR(sum, 1.0, 6 * 0x1p-24);
  }
  EXPECT_NEAR(accuracy, 100.0 * right / 240, 0.005);  // as evaluate rounds it

  // Without -o the same goes to standard output; without a target column nothing changes.
  EXPECT_EQ(place.run({"predict", "run", "flowers.csv"}).out, labels);
  std::istringstream all(place.read("flowers.csv"));
  std::string without_target;
  while (std::getline(all, line)) {
    const std::size_t end = line.ends_with("blue\"") ? line.rfind(",\"Iris") : line.rfind(',');
    without_target += line.substr(0, end) + "\n";
  }
  place.write("new.csv", without_target);
  EXPECT_EQ(place.run({"predict", "run", "new.csv"}).out, labels);

  const Outcome model = place.run({"inspect", "run/model.safetensors"});
  EXPECT_THAT(model.out, HasSubstr("classification of species"));
  EXPECT_THAT(model.out, HasSubstr("3: Iris, blue, setosa, virginica"));
  EXPECT_THAT(model.out, HasSubstr("6-16-8-3"));
  EXPECT_THAT(model.out, HasSubstr("16x6"));
  EXPECT_EQ(words_after(model.out, "   batch norm").back(), "112");  // 8 epochs of 14 steps
  const Outcome data = place.run({"inspect", "flowers.csv"});
  EXPECT_EQ(words_after(data.out, "width")[1], "14");  // missing in rows 3, 20, ... 224
  EXPECT_THAT(data.out, HasSubstr("3 categories"));
  EXPECT_THAT(data.out, HasSubstr("target"));
}

TEST(Journey, Regression) {
  const Workplace place;
  place.write("houses.csv", houses_csv());
  std::vector<std::string> words = train("houses.csv", "run", {"--schedule", "cosine"});
  *(std::find(words.begin(), words.end(), "--epochs") + 1) = "30";
  const Outcome trained = place.run(words);
  ASSERT_EQ(trained.exit, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("RMSE      R2"));
  const Outcome evaluated = place.run({"evaluate", "run", "houses.csv"});
  ASSERT_EQ(evaluated.exit, 0) << evaluated.err;
  // The noise has a standard deviation of 2000 / sqrt(12) = 577, the price one of about 33,000.
  EXPECT_GT(number_after(evaluated.out, "R2"), 0.9);
  EXPECT_GE(number_after(evaluated.out, "RMSE"), number_after(evaluated.out, "MAE"));
  EXPECT_THAT(evaluated.out, Not(HasSubstr("confusion")));
  const std::string predicted = place.run({"predict", "run", "houses.csv"}).out;
  EXPECT_THAT(predicted, StartsWith("prediction\n"));
  EXPECT_EQ(line_count(predicted), 201);
  EXPECT_THAT(place.run({"inspect", "run"}).out, HasSubstr("validation R2"));
}

TEST(Journey, Images) {
  const Workplace place;
  write_images(place, "digits");
  const std::string data = "digits-images-idx3-ubyte";
  const Outcome trained = place.run(train(data, "run"));
  ASSERT_EQ(trained.exit, 0) << trained.err;
  EXPECT_THAT(place.run({"inspect", data}).out, HasSubstr("120 of 6 x 6 pixels"));
  const Outcome evaluated = place.run({"evaluate", "run", data});
  EXPECT_EQ(number_after(evaluated.out, "accuracy"), 100.0);  // bright rows tell the classes apart
  EXPECT_EQ(words_after(evaluated.out, "0 "), (std::vector<std::string>{"40", ".", "."}));
}

TEST(Journey, RunsAreComparedSideBySide) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  ASSERT_EQ(place.run(train("flowers.csv", "norm")).exit, 0);
  ASSERT_EQ(place.run(train("flowers.csv", "plain", {"--norm", "none"})).exit, 0);
  const Outcome outcome = place.run({"inspect", "norm", "plain"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_EQ(words_after(outcome.out, " "), (std::vector<std::string>{"norm", "plain"}));
  EXPECT_EQ(words_after(outcome.out, "normalization"), (std::vector<std::string>{"batch", "none"}));
  EXPECT_EQ(words_after(outcome.out, "state"), (std::vector<std::string>{"finished", "finished"}));
  EXPECT_EQ(words_after(outcome.out, "validation accuracy").size(), 4u);  // two of "NN.NN %"
}

TEST(Journey, ManyClassesShowThePairsConfusedMost) {
  const Workplace place;
  std::vector<std::string> species;
  for (int k = 0; k < 24; ++k) species.push_back("kind" + std::to_string(k));
  place.write("flowers.csv", flowers_csv(species));
  ASSERT_EQ(place.run(train("flowers.csv", "run", {"--validation", "0"})).exit, 0);
  const Outcome outcome = place.run({"evaluate", "run", "flowers.csv"});
  EXPECT_THAT(outcome.out, HasSubstr("most confused classes"));
  EXPECT_THAT(outcome.out, HasSubstr("lowest F1, of 24"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("confusion matrix")));
}

TEST(Repeat, TheRunsOwnConfigurationGivesTheSameBits) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  const std::vector<std::string> options{
      "--dropout",   "0.2",      "--optimizer", "nesterov",       "--schedule",
      "cosine",      "--warmup", "1.5",         "--seed",         "12345",
      "--clip-norm", "0.7",      "--decay-all", "--weight-decay", "0.001"};
  ASSERT_EQ(place.run(train("flowers.csv", "first", options)).exit, 0);
  ASSERT_EQ(place.run({"train", "--config", "first/config.toml", "--out", "second"}).exit, 0);
  EXPECT_EQ(place.read("first/model.safetensors"), place.read("second/model.safetensors"));
  EXPECT_EQ(place.read("first/steps.jsonl"), place.read("second/steps.jsonl"));
  EXPECT_EQ(place.read("first/config.toml"), place.read("second/config.toml"));
  // The command line goes before the file.
  ASSERT_EQ(
      place.run({"train", "--config", "first/config.toml", "--seed", "2", "--out", "third"}).exit,
      0);
  EXPECT_NE(place.read("first/model.safetensors"), place.read("third/model.safetensors"));
  EXPECT_THAT(place.read("third/config.toml"), HasSubstr("\nseed = 2\n"));
  EXPECT_THAT(place.read("third/config.toml"), HasSubstr("\ndecay_all = true\n"));
  ASSERT_EQ(
      place.run({"train", "--config", "first/config.toml", "--decay-all=false", "--out", "fourth"})
          .exit,
      0);
  EXPECT_THAT(place.read("fourth/config.toml"), HasSubstr("\ndecay_all = false\n"));
}

TEST(Repeat, ThreadsDoNotChangeABit) {
  const Workplace place;
  place.write("flowers.csv", flowers_csv());
  for (const char* threads : {"1", "2", "3"}) {
    ASSERT_EQ(place.run(train("flowers.csv", threads, {"--threads", threads})).exit, 0);
    EXPECT_EQ(place.read("1/model.safetensors"),
              place.read(std::string(threads) + "/model.safetensors"))
        << threads;
  }
}

}  // namespace
}  // namespace evenrow::test
