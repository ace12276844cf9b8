#include <gtest/gtest.h>

#include <string>

#include "evenrow/train.hpp"
#include "support/throws_error.hpp"
#include "train/option_table.hpp"

namespace evenrow {
namespace {

TrainOptions parse(const std::string& text) {
  return options_from_toml(text, "run.toml");
}

void expect_refused(const std::string& text, const std::string& message) {
  EXPECT_THAT([&] { parse(text); }, ThrowsError(ErrorKind::usage, message)) << text;
}

TEST(Config, EveryOptionComesBackAsItWas) {
  TrainOptions options;
  options.data = "a \"quoted\" \\ path\twith é\n";
  options.test = "test.csv";
  options.target = "species";
  options.task = Task::regression;
  options.hidden = {7, 5, 3};
  options.residual = true;
  options.norm = Norm::none;
  options.norm_placement = NormPlacement::before_linear;
  options.norm_eps = 1e-3;
  options.norm_new_weight = 1.0;
  options.activation = Activation::gelu;
  options.dropout = 0.1;
  options.initialization = Initialization::xavier;
  options.init_scale = 0.5;
  options.input_scale = 2.0;
  options.loss = LossKind::huber;
  options.label_smoothing = 0.05;
  options.huber_delta = 2.5;
  options.optimizer = {OptimizerKind::nesterov, 0.8, 0.7, 0.6, 0.5, 1e-7, 0.01, true, 3.0};
  options.learning_rate = 0.1 + 0.2;  // not a short decimal
  options.schedule = {ScheduleKind::cosine, 1.5, 3.0, 0.3};
  options.batch_size = 33;
  options.last_batch = LastBatch::drop;
  options.epochs = 12;
  options.early_stop = 4;
  options.validation = 0.25;
  options.observe = 50;
  options.seed = 9007199254740993;  // no double holds it
  options.precision = Precision::bf16;
  options.threads = 3;
  const std::string text = to_toml(options);
  EXPECT_EQ(to_toml(parse(text)), text);
  // Each field differs from its default, so a field that was not read would show.
  const std::string defaults = to_toml({.data = ""});
  int fields = 0;
  training::visit_options(options, [&](const char* key, const auto&, const char*) {
    const auto line = [&](const std::string& document) {
      const auto start = document.find(std::string("\n") + key + " = ");
      EXPECT_NE(start, std::string::npos) << key;
      return document.substr(start, document.find('\n', start + 1) - start);
    };
    EXPECT_NE(line(text), line(defaults)) << key;
    ++fields;
  });
  EXPECT_EQ(fields, 39);
}

TEST(Config, NothingGivenMeansDefaults) {
  EXPECT_EQ(to_toml(parse("")), to_toml(TrainOptions{.data = ""}));
  EXPECT_EQ(parse("lr = 1").learning_rate, 1.0);  // a whole number is a number
  EXPECT_EQ(parse("loss = \"auto\"").loss, std::nullopt);
  EXPECT_TRUE(parse("hidden = []").hidden.empty());
}

TEST(Config, MistakesAreNamedWithLineKeyAndNearestName) {
  expect_refused("epochs = 3\nbatchsize = 7",
                 "run.toml, line 2: batchsize: unknown option (did you mean 'batch_size'?)");
  expect_refused("epochs = 3\n\nepochs = 4", "run.toml, line 3: not TOML");
  expect_refused("epochs = ", "run.toml, line 1: not TOML");
  expect_refused("epochs = 2.5", "run.toml, line 1: epochs = 2.5, expected a whole number");
  expect_refused("epochs = \"3\"", "expected a whole number");
  expect_refused("lr = \"fast\"", "expected a number");
  expect_refused("data = 3", "expected text in quotes");
  expect_refused("decay_all = 1", "expected true or false");
  expect_refused("hidden = 256", "expected a list of whole numbers");
  expect_refused("hidden = [256, \"a\"]", "expected a list of whole numbers");
  expect_refused("seed = -1", "expected a whole number >= 0");
  expect_refused("threads = 9999999999", "expected a smaller whole number");
  expect_refused("norm = \"bach\"", "expected one of none, batch (did you mean 'batch'?)");
  expect_refused("optimizer = 3", "expected one of sgd, momentum");
  expect_refused("loss = \"none\"", "expected one of auto, cross_entropy");
}

TEST(Config, ValuesOutOfRangeAreNamed) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"hidden = [3, 0]", "hidden is 0"},
      {"hidden = [3]\nresidual = true", "hidden is one layer, expected two or more layers"},
      {"norm_placement = \"after\"\nresidual = true",
       "norm_placement is after, expected before_linear with residual"},
      {"norm_eps = -1.0", "norm_eps is -1"},
      {"norm_new_weight = 0.0", "norm_new_weight is 0"},
      {"dropout = 1.0", "dropout is 1"},
      {"dropout = nan", "dropout is nan"},
      {"label_smoothing = 1.0", "label_smoothing is 1"},
      {"huber_delta = 0.0", "huber_delta is 0"},
      {"lr = -0.1", "lr is -0.1"},
      {"lr = inf", "lr is inf"},
      {"momentum = 1.0", "momentum is 1"},
      {"rho = 1.0", "rho is 1"},
      {"beta1 = 1.0", "beta1 is 1"},
      {"beta2 = -0.5", "beta2 is -0.5"},
      {"optimizer_eps = -1.0", "optimizer_eps is -1"},
      {"weight_decay = -1.0", "weight_decay is -1"},
      {"clip_norm = -1.0", "clip_norm is -1"},
      {"warmup = -1.0", "warmup is -1"},
      {"step_epochs = 0.0", "step_epochs is 0"},
      {"step_factor = 0.0", "step_factor is 0"},
      {"batch_size = 0", "batch_size is 0, expected at least 1"},
      {"batch_size = 1", "batch_size is 1, expected at least 2 with batch norm"},
      {"epochs = 0", "epochs is 0, expected at least 1"},
      {"observe = -1", "observe is -1, expected at least 0"},
      {"early_stop = -1", "early_stop is -1"},
      {"early_stop = 1\nvalidation = 0.0", "early_stop is 1, expected 0 without validation data"},
      {"validation = 1.0", "validation is 1"},
      {"threads = 2000", "threads is 2000"},
  };
  for (const auto& [text, message] : mistakes) {
    expect_refused(text, std::string("run.toml, line 1: ") + message);
  }
  EXPECT_THAT([] { check({.data = "x", .epochs = 0}); },
              ThrowsError(ErrorKind::usage, "epochs is 0"));
  EXPECT_NO_THROW(parse("batch_size = 1\nnorm = \"none\""));
}

}  // namespace
}  // namespace evenrow
