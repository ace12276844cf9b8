#include "evenrow/train.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/throws_error.hpp"
#include "train/examples.hpp"
#include "train/session.hpp"
#include "train/toy_data.hpp"

namespace evenrow {
namespace {

TrainOptions small(std::int64_t epochs = 6) {
  TrainOptions options;
  options.hidden = {16, 8};
  options.batch_size = 16;
  options.epochs = epochs;
  options.learning_rate = 0.01;
  options.threads = 1;
  return options;
}

std::vector<float> parameters_of(const Model& model) {
  return {model.network.parameters().begin(), model.network.parameters().end()};
}

struct Log : TrainObserver {
  TrainPlan plan;
  std::vector<StepMetrics> steps;
  std::vector<EpochMetrics> epochs;
  std::vector<std::string> warnings;
  std::int64_t stop_after = -1;
  void on_plan(const TrainPlan& p) override { plan = p; }
  void on_step(const StepMetrics& m) override { steps.push_back(m); }
  void on_epoch(const EpochMetrics& m) override { epochs.push_back(m); }
  void on_warning(const std::string& m) override { warnings.push_back(m); }
  bool stop_requested() override { return std::ssize(steps) == stop_after; }
};

TEST(Train, LearnsToClassifyWithEveryNormAndPlacement) {
  const Dataset data = three_clouds(300), test = three_clouds(90, 7);
  for (const Norm norm : {Norm::none, Norm::batch}) {
    for (const NormPlacement placement :
         {NormPlacement::before_activation, NormPlacement::after_activation,
          NormPlacement::before_linear}) {
      TrainOptions options = small();
      options.norm = norm;
      options.norm_placement = placement;
      Log log;
      const TrainResult result = train(data, options, &test, &log);
      // Centres are 5 apart, noise 1 in each direction: the best possible is 98.6 %.
      EXPECT_GT(result.test->accuracy, 0.93);
      EXPECT_EQ(result.model.classes, (std::vector<std::string>{"blue", "green", "red"}));
      EXPECT_EQ(log.plan.training_rows, 270);
      EXPECT_EQ(log.plan.validation_rows, 30);
      EXPECT_EQ(log.plan.test_rows, 90);
      EXPECT_EQ(log.plan.steps_per_epoch, 17);
      EXPECT_EQ(std::ssize(log.steps), 17 * 6);
      EXPECT_EQ(std::ssize(log.epochs), 6);
      EXPECT_LT(log.epochs.back().training_loss, log.epochs.front().training_loss);
      std::int64_t total = 0;
      for (const std::int64_t count : result.test->confusion) total += count;
      EXPECT_EQ(total, 90);
      const auto& confusion = result.test->confusion;
      EXPECT_EQ(static_cast<double>(confusion[0] + confusion[4] + confusion[8]) / 90,
                result.test->accuracy);
      EXPECT_EQ(result.model.network.running(1).updates, norm == Norm::batch ? 17 * 6 : 0);
    }
  }
}

TEST(Train, LearnsWithResidualBlocks) {
  TrainOptions options = small();
  options.residual = true;
  options.hidden = {8, 16, 16};
  options.dropout = 0.1;
  Log log;
  const Dataset data = three_clouds(300), test = three_clouds(90, 7);
  const TrainResult result = train(data, options, &test, &log);
  EXPECT_GT(result.test->accuracy, 0.93);
  ASSERT_EQ(log.plan.network.blocks.size(), 6u);  // linear, two for each residual block, output
  EXPECT_EQ(log.plan.network.blocks[4].residual, 2);
  EXPECT_EQ(log.plan.network.blocks[5].norm, Norm::batch);
  EXPECT_EQ(log.plan.network.blocks[5].input_activation, Activation::relu);
  EXPECT_EQ(result.model.network.running(5).updates, 17 * 6);
  const auto expected = parameters_of(result.model);
  options.threads = 3;
  EXPECT_EQ(parameters_of(train(data, options).model), expected);
}

TEST(Train, InitScaleIsAFactorOfTheInitialWeights) {
  TrainOptions options = small();
  options.norm = Norm::none;
  const Dataset data = three_clouds(60);
  const Network<float> plain = training::Session(data, options, nullptr).state().network;
  options.init_scale = 4.0;  // a power of two: exact
  const Network<float> scaled = training::Session(data, options, nullptr).state().network;
  ASSERT_EQ(plain.parameters().size(), scaled.parameters().size());
  for (std::size_t i = 0; i < plain.parameters().size(); ++i) {
    EXPECT_EQ(scaled.parameters()[i], 4.0f * plain.parameters()[i]);
  }
}

// A batch norm without eps divides by what the inputs were multiplied with: no bit differs when
// that is a power of two.
TEST(Train, BatchNormUndoesTheInputScaleAndWithoutItMatters) {
  const Dataset data = three_clouds(120), test = three_clouds(90, 7);
  for (const Norm norm : {Norm::none, Norm::batch}) {
    TrainOptions options = small(2);
    options.norm = norm;
    options.norm_eps = 0.0;
    options.norm_new_weight = 1.0;  // running statistics begin with variance 1, whatever the scale
    Log plain, scaled;
    const TrainResult one = train(data, options, &test, &plain);
    options.input_scale = 0.25;
    const TrainResult quarter = train(data, options, &test, &scaled);
    EXPECT_EQ(plain.steps.back().loss == scaled.steps.back().loss, norm == Norm::batch);
    EXPECT_EQ(one.test->loss == quarter.test->loss, norm == Norm::batch);
    // The scale is part of the model: the same evaluation from its own inference.
    EXPECT_EQ(evaluate(quarter.model, test).loss, quarter.test->loss);
    EXPECT_EQ(quarter.model.inputs.variance()[0], 16.0 * one.model.inputs.variance()[0]);
  }
}

TEST(Train, LearnsANumberInItsOwnUnits) {
  TrainOptions options = small(30);
  options.norm = Norm::none;
  const TrainResult result = train(noisy_plane(400), options);
  EXPECT_EQ(result.model.task, Task::regression);
  EXPECT_EQ(result.model.loss.kind, LossKind::squared_error);
  // The spread of the target is about 50, the noise 1.
  EXPECT_LT(result.validation->rmse, 10);
  EXPECT_GT(result.validation->r2, 0.95);
  EXPECT_LE(result.validation->mae, result.validation->rmse);
  EXPECT_NEAR(result.model.target_mean, 545, 15);
}

TEST(Train, BinaryCrossEntropyTrainsOneOutput) {
  Dataset data = three_clouds(200);
  for (std::int32_t& code : data.target->codes) code %= 2;
  data.target->spellings = {"no", "yes"};
  TrainOptions options = small();
  options.loss = LossKind::binary_cross_entropy;
  const TrainResult result = train(data, options);
  EXPECT_EQ(result.model.network.outputs(), 1);
  EXPECT_EQ(result.model.prediction_columns(), 2);
  EXPECT_EQ(result.validation->confusion.size(), 4u);
  EXPECT_GT(result.validation->accuracy, 0.6);
}

TEST(Train, SameSeedSameBitsOnAnyNumberOfThreads) {
  const Dataset data = three_clouds(300);
  TrainOptions options = small(2);
  options.dropout = 0.2;
  options.hidden = {130, 70};
  const auto expected = parameters_of(train(data, options).model);
  for (const int threads : {2, 3, 8}) {
    options.threads = threads;
    EXPECT_EQ(parameters_of(train(data, options).model), expected) << threads;
  }
  options.seed = 2;
  EXPECT_NE(parameters_of(train(data, options).model), expected);
}

// The clouds as bytes, and the same values as floats: bytes stay bytes until they are wanted.
TEST(Train, BytesGiveTheBitsOfTheSameFloats) {
  Dataset bytes = three_clouds(300);
  const std::vector<double>& values = std::get<std::vector<double>>(bytes.values);
  std::vector<std::uint8_t> small_values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    small_values.push_back(static_cast<std::uint8_t>(10 * (values[i] - (i % 2 == 0 ? 990 : -15))));
  }
  Dataset floats = bytes;
  floats.values = std::vector<float>(small_values.begin(), small_values.end());
  bytes.values = std::move(small_values);
  for (const int threads : {1, 2}) {
    TrainOptions options = small();
    options.threads = threads;
    const TrainResult of_bytes = train(bytes, options, &bytes);
    const TrainResult of_floats = train(floats, options, &floats);
    EXPECT_EQ(parameters_of(of_bytes.model), parameters_of(of_floats.model));
    EXPECT_EQ(of_bytes.training->loss, of_floats.training->loss);
    EXPECT_EQ(of_bytes.validation->loss, of_floats.validation->loss);
    EXPECT_EQ(of_bytes.test->loss, of_floats.test->loss);
  }
}

TEST(Train, LastMiniBatchIsKeptDroppedOrMerged) {
  TrainOptions options = small(1);
  options.validation = 0;
  const auto steps = [&](std::int64_t rows, LastBatch last_batch) {
    options.last_batch = last_batch;
    Log log;
    train(three_clouds(rows), options, nullptr, &log);
    return std::ssize(log.steps);
  };
  EXPECT_EQ(steps(48, LastBatch::merge), 3);
  EXPECT_EQ(steps(49, LastBatch::merge), 3);  // 16, 16, 17
  EXPECT_EQ(steps(50, LastBatch::merge), 4);  // 16, 16, 16, 2
  EXPECT_EQ(steps(50, LastBatch::keep), 4);
  EXPECT_EQ(steps(50, LastBatch::drop), 3);
  EXPECT_EQ(steps(9, LastBatch::merge), 1);
  options.batch_size = std::numeric_limits<std::int64_t>::max();  // all rows at once
  EXPECT_EQ(steps(9, LastBatch::merge), 1);
  options.batch_size = 16;
  EXPECT_THAT([&] { steps(49, LastBatch::keep); },
              ThrowsError(ErrorKind::usage, "a last one of a single example"));
  EXPECT_THAT([&] { steps(9, LastBatch::drop); },
              ThrowsError(ErrorKind::usage, "would leave nothing"));
  options.norm = Norm::none;
  EXPECT_EQ(steps(49, LastBatch::keep), 4);
}

TEST(Train, EarlyStoppingKeepsTheBestEpoch) {
  TrainOptions options = small(200);
  options.early_stop = 3;
  options.learning_rate = 0.05;
  const TrainResult result = train(three_clouds(120), options);
  ASSERT_LT(std::ssize(result.epochs), 200);
  const auto best = std::ranges::min_element(
      result.epochs, {}, [](const EpochMetrics& epoch) { return epoch.validation->loss; });
  EXPECT_EQ(best - result.epochs.begin(), std::ssize(result.epochs) - 1 - 3);
  EXPECT_EQ(result.validation->loss, best->validation->loss);
}

TEST(Train, ThreeStepsInARowThatAreNotFiniteStopTheRun) {
  Dataset data = noisy_plane(64);
  std::get<std::vector<double>>(data.values)[20] = 1e30;  // row 11, column a
  TrainOptions options = small(5);
  options.hidden = {};  // a linear model: every step multiplies the error
  options.validation = 0;
  options.batch_size = 64;
  options.optimizer.kind = OptimizerKind::sgd;
  options.learning_rate = 1e30;
  Log log;
  EXPECT_THAT(
      [&] { train(data, options, nullptr, &log); },
      ThrowsError(ErrorKind::training,
                  "3 steps in a row (up to step 4). Lower the learning rate (now 1e+30), or "
                  "look at these inputs"));
  EXPECT_EQ(log.steps.size(), 4u);
  EXPECT_FALSE(log.steps[0].skipped);
  EXPECT_TRUE(log.steps[1].skipped && log.steps[2].skipped && log.steps[3].skipped);
  EXPECT_EQ(log.warnings.size(), 3u);
  EXPECT_THAT([&] { train(data, options); },
              ThrowsError(ErrorKind::training, "in column 'a' of row 11"));
}

TEST(Train, DataThatDoesNotFitIsNamed) {
  const auto refused = [](const Dataset& data, const TrainOptions& options, ErrorKind kind,
                          const char* message, const Dataset* test = nullptr) {
    EXPECT_THAT([&] { train(data, options, test); }, ThrowsError(kind, message));
  };
  Dataset data = three_clouds(60);
  data.target->codes[6] = -1;
  refused(data, small(), ErrorKind::data,
          "clouds: row 7 has no value in the target column 'colour'");
  data = noisy_plane(60);
  data.target->numbers[6] = NAN;
  refused(data, small(), ErrorKind::data,
          "plane: row 7 has no value in the target column 'height'");
  data.target->numbers[6] = INFINITY;
  refused(data, small(), ErrorKind::data, "row 7 has an infinite target");
  data = three_clouds(60);
  data.target->spellings = {"red"};
  std::ranges::fill(data.target->codes, 0);
  refused(data, small(), ErrorKind::data, "one class only ('red')");
  data.target.reset();
  refused(data, small(), ErrorKind::data, "no target column");
  TrainOptions options = small();
  options.task = Task::regression;
  refused(three_clouds(60), options, ErrorKind::data, "regression needs numbers");
  options = small();
  options.loss = LossKind::squared_error;
  refused(three_clouds(60), options, ErrorKind::usage, "loss squared_error is for regression");
  options.loss = LossKind::binary_cross_entropy;
  refused(three_clouds(60), options, ErrorKind::usage, "the target has 3");
  Dataset test = three_clouds(12);
  test.target->spellings[2] = "violet";
  refused(three_clouds(60), small(), ErrorKind::data,
          "row 3 has the class 'violet', which is none of the 3 classes of the training data",
          &test);
  options = small();
  options.validation = 0.01;
  refused(three_clouds(9), options, ErrorKind::data, "leave nothing for validation");
  options.validation = 0.99;
  refused(three_clouds(9), options, ErrorKind::data, "leave nothing for training");
  options.validation = 0;
  Dataset one = three_clouds(1);
  refused(one, options, ErrorKind::data, "one training row is not enough for batch norm");
  options.epochs = 0;
  refused(three_clouds(60), options, ErrorKind::usage, "epochs is 0");
}

TEST(Task, AutomaticIsRegressionForManyOrFractionalNumbers) {
  Dataset data = noisy_plane(100);
  EXPECT_EQ(training::resolve_task(data, Task::automatic), Task::regression);
  Target& target = *data.target;
  target.spellings = {"1", "2"};
  for (std::size_t row = 0; row < 100; ++row) {
    target.codes.push_back(static_cast<std::int32_t>(row % 2));
    target.numbers[row] = 1 + static_cast<double>(row % 2);
  }
  EXPECT_EQ(training::resolve_task(data, Task::automatic), Task::classification);
  target.numbers[0] = 1.5;
  EXPECT_EQ(training::resolve_task(data, Task::automatic), Task::regression);
  EXPECT_EQ(training::resolve_task(three_clouds(9), Task::automatic), Task::classification);
}

TEST(FitModel, NumericClassesAreInTheOrderOfTheirNumbers) {
  Dataset data = three_clouds(6);
  data.target->spellings = {"10", "9", "-1"};
  data.target->numeric = true;
  data.target->numbers = {10, 9, -1, 10, 9, -1};
  const auto rows = training::all_rows(data);
  EXPECT_EQ(training::fit_model(data, small(), rows).classes,
            (std::vector<std::string>{"-1", "9", "10"}));
}

TEST(Split, IsRandomDisjointAndCoversAllRows) {
  const Dataset data = three_clouds(1000);
  const training::Split split = training::split_rows(data, 0.1, 3);
  EXPECT_EQ(split.validation.size(), 100u);
  std::vector<std::uint32_t> all = split.training;
  all.insert(all.end(), split.validation.begin(), split.validation.end());
  std::ranges::sort(all);
  EXPECT_EQ(all, training::all_rows(data));
  EXPECT_NE(split.validation, training::split_rows(data, 0.1, 4).validation);
}

TEST(Split, EveryRowIsHeldOutByOneFold) {
  const Dataset data = three_clouds(103);
  const auto folds = training::fold_rows(data, 5, 3);
  ASSERT_EQ(folds.size(), 5u);
  std::vector<int> held_out(103);
  for (const training::Split& fold : folds) {
    EXPECT_EQ(fold.training.size() + fold.validation.size(), 103u);
    EXPECT_GE(fold.validation.size(), 20u);
    EXPECT_LE(fold.validation.size(), 21u);
    EXPECT_TRUE(std::ranges::is_sorted(fold.training));
    std::vector<int> here(103);
    for (const std::uint32_t row : fold.validation) ++held_out[row], ++here[row];
    for (const std::uint32_t row : fold.training) ++here[row];
    EXPECT_EQ(std::ranges::count(here, 1), 103);  // in one part, once
  }
  EXPECT_EQ(std::ranges::count(held_out, 1), 103);
  EXPECT_EQ(folds[2].validation, training::fold_rows(data, 5, 3)[2].validation);
  EXPECT_NE(folds[2].validation, training::fold_rows(data, 5, 4)[2].validation);
  EXPECT_THAT([&] { training::fold_rows(data, 104, 3); },
              ThrowsError(ErrorKind::data, "103 rows are not enough for 104 folds"));
}

// Hand-computed: predictions are the mean plus what the network adds, here nothing.
TEST(Evaluate, RegressionMeasuresAreTheFormulas) {
  Model model;
  Dataset data = noisy_plane(4);
  data.target->numbers = {1, 2, 3, 6};
  model.task = Task::regression;
  model.loss.kind = LossKind::squared_error;
  model.target_mean = 2;
  model.target_scale = 4;
  model.inputs = InputNormalization::fit(data, training::all_rows(data));
  model.network = Network<float>({2, {DenseSpec{.units = 1}}}, 1);
  std::ranges::fill(model.network.parameters(), 0.0f);
  const Evaluation result = evaluate(model, data);
  EXPECT_EQ(result.rows, 4);
  EXPECT_EQ(result.rmse, std::sqrt((1 + 0 + 1 + 16) / 4.0));
  EXPECT_EQ(result.mae, (1 + 0 + 1 + 4) / 4.0);
  EXPECT_EQ(result.r2, 1 - 18.0 / 14.0);  // the mean of the targets is 3: 4 + 1 + 0 + 9
  EXPECT_EQ(result.loss, 18.0 / 16 / 4);
  data.target->numbers = {2, 2, 2, 2};
  EXPECT_TRUE(std::isnan(evaluate(model, data).r2));
}

TEST(Train, StopsWhenAskedAndSaysSo) {
  Log log;
  log.stop_after = 5;
  const TrainResult result = train(three_clouds(100), small(), nullptr, &log);
  EXPECT_TRUE(result.stopped);
  EXPECT_EQ(log.steps.size(), 5u);
  EXPECT_FALSE(result.validation.has_value());
}

}  // namespace
}  // namespace evenrow
