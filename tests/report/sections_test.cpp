// The sentences of a report: what they say of numbers that are known, also where batch norm loses.
#include "report/sections.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "evenrow/error.hpp"

namespace evenrow::report {
namespace {

using testing::_;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

RunData run_of(const std::string& norm, std::vector<double> accuracies) {
  RunData run{.folder = "runs/" + norm, .config = {{"norm", norm}, {"seed", "1"}}};
  run.batch_norm = norm == "batch";
  run.hidden_blocks = 2;
  for (std::size_t i = 0; i < accuracies.size(); ++i) {
    run.epochs.push_back({.epoch = static_cast<std::int64_t>(i) + 1,
                          .training_loss = 1 - accuracies[i],
                          .training_accuracy = accuracies[i] + 0.01,
                          .validation_loss = 1 - accuracies[i],
                          .validation_accuracy = accuracies[i],
                          .seconds = 1});
  }
  return run;
}

// Two blocks whose activation input has these medians and standard deviations over time.
void observe(RunData& run, const std::vector<double>& medians,
             const std::vector<double>& deviations) {
  for (std::size_t i = 0; i < medians.size(); ++i) {
    BlockState block{.variance = deviations[i] * deviations[i],
                     .weight_gradient = 1,
                     .units = 10,
                     .dead_units = 1};
    block.activation_input.fill(medians[i]);
    run.observations.push_back({.step = static_cast<std::int64_t>(i), .blocks = {block, block}});
  }
}

std::vector<std::string> findings(const std::vector<Block>& blocks) {
  std::vector<std::string> all;
  for (const Block& block : blocks) {
    if (const auto* figure = std::get_if<Figure>(&block)) all.push_back(figure->finding);
  }
  return all;
}

TEST(Labels, SayWhatDiffers) {
  std::vector<RunData> runs{run_of("none", {0.8}), run_of("batch", {0.8})};
  label_runs(runs);
  EXPECT_EQ(runs[0].label, "without batch norm");
  EXPECT_EQ(runs[1].label, "with batch norm");
  EXPECT_EQ(runs[0].colour, 1);  // one colour for batch norm, whatever comes first
  EXPECT_EQ(runs[1].colour, 0);

  runs[1].config[1].second = "2";
  runs[1].config.push_back({"weight_decay", "0.1"});
  runs.push_back(runs[1]);
  label_runs(runs);
  EXPECT_EQ(runs[1].label, "with batch norm, seed 2, weight decay 0.1 (batch)");
  EXPECT_EQ(runs[2].label, "with batch norm, seed 2, weight decay 0.1 (batch) #2");

  runs.resize(1);
  label_runs(runs);
  EXPECT_EQ(runs[0].label, "none");  // nothing differs: the folder
  EXPECT_EQ(phrase("with batch norm"), "with batch norm");
  EXPECT_EQ(phrase("lr 0.1"), "for lr 0.1");
}

TEST(Configuration, TellsOptionsVersionsAndTimes) {
  std::vector<RunData> runs{run_of("none", {0.8, 0.9}), run_of("batch", {0.8})};
  runs[0].version = "1.2.3";
  runs[0].finished = true;
  runs[0].seconds = 2;
  runs[1].planned_epochs = 5;
  label_runs(runs);
  const auto blocks = configuration_blocks(runs);
  const auto& times = std::get<Grid>(blocks[0]);
  EXPECT_THAT(times.headers, ElementsAre("run", "Evenrow", "state", "epochs", "training",
                                         "an epoch"));  // nothing was observed
  EXPECT_THAT(
      times.rows,
      ElementsAre(ElementsAre("without batch norm", "1.2.3", "finished", "2", "2.0 s", "1.0 s"),
                  ElementsAre("with batch norm", "-", "stopped at 1 of 5", "1", _, "1.0 s")));
  EXPECT_THAT(std::get<Grid>(blocks[1]).rows, Contains(ElementsAre("norm", "none", "batch")));
  EXPECT_THAT(std::get<Grid>(blocks[2]).rows, Contains(ElementsAre("seed", "1", "1")));
}

TEST(Curves, CompareTwoRuns) {
  std::vector<RunData> runs{run_of("none", {0.7, 0.8, 0.82}), run_of("batch", {0.8, 0.85, 0.84})};
  label_runs(runs);
  EXPECT_EQ(
      findings(curve_blocks(runs))[0],
      "Validation accuracy ends at 84.00 % with batch norm and at 82.00 % without batch norm: "
      "2.00 points higher with batch norm. The best that both reach, 82.00 %, comes in epoch 2 "
      "with batch norm and in epoch 3 without batch norm.");
  // The other way round.
  runs = {run_of("batch", {0.7, 0.8}), run_of("none", {0.8, 0.9})};
  label_runs(runs);
  EXPECT_THAT(findings(curve_blocks(runs))[0], HasSubstr(": 10.00 points lower with batch norm."));
}

TEST(Curves, TellOfOneRunAndOfMany) {
  std::vector<RunData> runs{run_of("batch", {0.8, 0.9, 0.85})};
  label_runs(runs);
  EXPECT_EQ(findings(curve_blocks(runs))[0],
            "Validation accuracy is highest in epoch 2 (90.00 %) and ends at 85.00 %; training "
            "accuracy ends at 86.00 %.");
  for (const char* seed : {"2", "3"}) {
    runs.push_back(run_of("batch", {0.5 + 0.1 * (seed[0] - '0')}));
    runs.back().config[1].second = seed;
  }
  label_runs(runs);
  EXPECT_EQ(findings(curve_blocks(runs))[0],
            "Validation accuracy ends best for seed 1 (85.00 %) and worst for seed 2 (70.00 %).");
  // Without validation data: training.
  for (RunEpoch& epoch : runs[0].epochs) epoch.validation_accuracy = epoch.validation_loss = kNone;
  runs.resize(1);
  EXPECT_THAT(findings(curve_blocks(runs))[0],
              HasSubstr("Training accuracy is highest in epoch 2"));
  EXPECT_TRUE(curve_blocks({RunData{}}).empty());
}

TEST(Layers, SayWhetherBatchNormSteadied) {
  std::vector<RunData> runs{run_of("none", {0.8}), run_of("batch", {0.8})};
  observe(runs[0], {0, -4, -2}, {1, 2, 3});        // moves by 4 / mean deviation 2, 3-fold
  observe(runs[1], {0, 0.5, -0.5}, {1, 1, 1.25});  // 1 / 1.0833
  label_runs(runs);
  EXPECT_EQ(findings(layer_blocks(runs))[0],
            "In block 2 the median of what enters the activation moved by 0.92 standard deviations "
            "with batch norm and by 2 without batch norm, and its standard deviation changed "
            "1.2-fold and 3.0-fold: batch norm steadied both.");
  EXPECT_EQ(
      findings(layer_blocks(runs))[1],
      "Over training the gradient of block 1 was 1 times that of block 2 without batch norm and "
      "1 times that of block 2 with batch norm.");
  std::swap(runs[0].observations, runs[1].observations);
  EXPECT_THAT(findings(layer_blocks(runs))[0], EndsWith("batch norm steadied neither."));
  runs[0].observations.clear();
  observe(runs[0], {0, 1}, {1, 9});
  EXPECT_THAT(findings(layer_blocks(runs))[0], EndsWith("the width, not the median."));
  EXPECT_TRUE(layer_blocks({run_of("none", {0.8})}).empty());
}

ComparisonData comparison() {
  ComparisonData data{.folder = "lr",
                      .vary = "lr",
                      .metric = "accuracy",
                      .best = 0.9,
                      .margin = 0.02,
                      .values = {0.1, 1},
                      .norms = {"none", "batch"},
                      .runs = {},
                      .ranges = {}};
  data.runs = {{.norm = "none",
                .value = 0.1,
                .seed = 1,
                .score = 0.89,
                .training_score = 0.95,
                .folder = "a"},
               {.norm = "none", .value = 1, .seed = 1, .folder = "b"},
               {.norm = "batch",
                .value = 0.1,
                .seed = 1,
                .score = 0.88,
                .training_score = 0.90,
                .folder = "c"},
               {.norm = "batch",
                .value = 1,
                .seed = 1,
                .score = 0.9,
                .training_score = 0.98,
                .folder = "d"}};
  data.ranges = {
      {.norm = "none", .best = 0.89, .low = 0.1, .high = 0.1, .size = 0, .unit = "decades"},
      {.norm = "batch",
       .best = 0.9,
       .low = 0.1,
       .high = 1,
       .size = 1,
       .interval_low = 0.8,
       .interval_high = 1,
       .unit = "decades",
       .open_high = true}};
  return data;
}

TEST(Comparison, SaysTheUsableRange) {
  ComparisonData data = comparison();
  const auto blocks = comparison_blocks(data);
  EXPECT_EQ(findings(blocks)[0],
            "The usable range is 0 decades (0.1 to 0.1) without batch norm and at least 1 decades "
            "(0.1 to 1; 95 % interval 0.80 to 1) with batch norm: batch norm made it wider by 1 "
            "decades.");
  EXPECT_THAT(std::get<Figure>(blocks[1]).note, HasSubstr("1 of 4 runs diverged"));
  std::swap(data.ranges[0].size, data.ranges[1].size);
  EXPECT_THAT(findings(comparison_blocks(data))[0], HasSubstr("batch norm made it narrower by 1"));
  data.ranges[0].low = kNone;
  EXPECT_THAT(findings(comparison_blocks(data))[0], HasSubstr("is no value without batch norm"));
}

TEST(Comparison, CountsTheSeeds) {
  ComparisonData data = comparison();
  data.vary = "seed";
  data.values = {1, 2};
  for (UsableRange& range : data.ranges) range.low = range.high = kNone;
  data.ranges[0].size = 1;
  data.ranges[1].size = 2;
  const auto blocks = comparison_blocks(data);
  EXPECT_EQ(findings(blocks)[0],
            "Within 2 points of the best of all results are 1 of 2 seeds without batch norm, 2 of "
            "2 seeds with batch norm.");
  EXPECT_THAT(std::get<Figure>(blocks[1]).note, Not(HasSubstr("bars")));
}

// Gaps in points at 16, 32, 64, ..., with batch norm and without.
std::string gap_finding(const std::vector<double>& batch, const std::vector<double>& none) {
  ComparisonData data = comparison();
  data.vary = "batch-size";
  data.values.clear();
  data.runs.clear();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    data.values.push_back(static_cast<double>(16u << i));
    for (const bool normalized : {false, true}) {
      data.runs.push_back({.norm = normalized ? "batch" : "none",
                           .value = data.values.back(),
                           .seed = 1,
                           .score = 0.5,
                           .training_score = 0.5 + (normalized ? batch : none)[i] / 100,
                           .folder = "a"});
    }
  }
  return findings(comparison_blocks(data))[1];
}

TEST(Comparison, TellsTheTrendOfTheGapOverAllBatchSizes) {
  const std::vector<double> mixed{5, 9, 3, 8, 4, 6}, rising{2, 3, 4, 4.5, 7, 6.9};
  const std::vector<double> falling{7, 6, 5, 4, 3, 2};
  EXPECT_EQ(
      gap_finding(rising, mixed),
      "Without batch norm the gap is 5.00 points at 16 and 6.00 points at 512 (no clear trend: the "
      "larger of two sizes has the larger one in 7 of 15 pairs); with batch norm the gap is 2.00 "
      "points at 16 and 6.90 points at 512 (the larger of two sizes has the larger one in 14 of "
      "15). With batch norm it grows with the mini-batch, as if small ones regularized.");
  EXPECT_THAT(gap_finding(rising, rising), EndsWith("so batch norm need not be the reason."));
  // Its ends alone would say that it grows, or that nothing is seen where all but one agree.
  EXPECT_THAT(gap_finding({5, 9, 3, 8, 4, 6}, falling), EndsWith("regularize is not seen."));
  EXPECT_THAT(gap_finding(falling, falling),
              testing::AllOf(HasSubstr("has the smaller one in 15 of 15)"),
                             EndsWith("regularize is not seen.")));
  // Four sizes in order: two of 24 orders are as clear, which is more than one in twenty; of five,
  // two of 120.
  EXPECT_THAT(gap_finding({1, 2, 3, 4}, {1, 2, 3, 4}),
              EndsWith("at 128 (too few sizes to tell a trend)."));
  EXPECT_THAT(gap_finding({1, 2, 3, 4, 5}, falling), EndsWith("as if small ones regularized."));
  EXPECT_THAT(gap_finding({1, 2, 3, 5, 4}, falling), EndsWith("not seen."));  // 10 of 120
  EXPECT_THAT(gap_finding({1, 1, 1, 1, 1}, falling), HasSubstr("no clear trend"));
}

TEST(Errors, NameTheClassesConfusedMost) {
  RunData run = run_of("batch", {0.8});
  run.errors = RunErrors{.part = "test",
                         .data = "flowers.csv",
                         .rows = 20,
                         .classes = {"a", "b"},
                         .confusion = {8, 2, 0, 10}};
  const auto blocks = error_blocks(run);
  EXPECT_EQ(std::get<Paragraph>(blocks[0]).text,
            "Of 20 rows of flowers.csv (test data), 2 are wrong (10.0 %). Confused most: “a” taken "
            "for “b”, 2 of 10 rows (20.0 %).");
  EXPECT_TRUE(std::holds_alternative<Matrix>(blocks[1]));
  run.errors->confusion = {10, 0, 0, 10};
  EXPECT_EQ(std::get<Paragraph>(error_blocks(run)[0]).text,
            "All 20 rows of flowers.csv (test data) are right.");
  EXPECT_TRUE(error_blocks(run_of("batch", {0.8})).empty());
}

TEST(Study, TellsOfTheBestAndOfWhatMattered) {
  StudyData study{.folder = "s", .metric = "accuracy", .parameters = {}, .trials = {}};
  study.parameters = {{.name = "lr",
                       .logarithmic = true,
                       .low = {1e-4, "0.0001"},
                       .high = {1, "1"},
                       .importance = 0.75},
                      {.name = "norm", .categories = {"none", "batch"}, .importance = 0.25}};
  const StudyValue none{0, "none"}, batch{1, "batch"};
  study.trials = {{0, "complete", 0.8, 2, {{0.001, "0.001"}, none}},
                  {1, "complete", 0.9, 2, {{0.01, "0.01"}, batch}},
                  {2, "pruned", 0.3, 1, {{1, "1"}, none}},
                  {3, "failed", kNone, 1, {{10, "10"}, {}}}};
  const auto all = findings(study_blocks(study));
  EXPECT_EQ(all[0],
            "Of 4 trials 2 ran to their end, 1 stopped early, 1 failed; the best, 90.00 %, is "
            "trial 1.");
  EXPECT_EQ(all[1], "The best trial, 1, reached 90.00 % with lr 0.01, norm batch.");
  const auto best = std::get<Grid>(study_blocks(study).back());
  EXPECT_THAT(best.headers, testing::ElementsAre("trial", "accuracy", "lr", "norm", "time"));
  EXPECT_THAT(best.rows[0], testing::ElementsAre("1", "90.00 %", "0.01", "batch", "2.0 s"));
  EXPECT_EQ(all[2], "Most to do with being among the best trials had lr (75 %), then norm (25 %).");
  // Axes are those of the space, whatever was tried of it.
  const auto figure = std::get<Figure>(study_blocks(study)[1]);
  const auto& chart = std::get<ParallelChart>(figure.chart);
  ASSERT_EQ(chart.dimensions[0].marks.size(), 2u);
  EXPECT_EQ(chart.dimensions[0].marks[0], (std::pair<double, std::string>(0, "0.0001")));
  EXPECT_EQ(chart.dimensions[0].marks[1], (std::pair<double, std::string>(1, "1")));
  EXPECT_NEAR(chart.items.back().heights[0], 0.5, 1e-12);  // 0.01
  study.parameters[0] = {.name = "beta2",
                         .one_minus_logarithmic = true,
                         .low = {0.9, "0.9"},
                         .high = {0.999, "0.999"},
                         .importance = 0.75};
  study.trials[1].parameters[0] = {0.99, "0.99"};
  EXPECT_NEAR(std::get<ParallelChart>(std::get<Figure>(study_blocks(study)[1]).chart)
                  .items.back()
                  .heights[0],
              0.5, 1e-12);
  study.trials[1].parameters[1] = {};  // not part of the trial
  EXPECT_THAT(findings(study_blocks(study))[1], EndsWith("reached 90.00 % with beta2 0.99."));
  std::swap(study.parameters[0].importance, study.parameters[1].importance);
  EXPECT_EQ(std::get<Grid>(study_blocks(study).back()).headers[2], "norm");
  study.trials.resize(1);
  EXPECT_EQ(findings(study_blocks(study)).size(), 3u);
  study.parameters[0].low = study.parameters[0].high = {0.001, "0.001"};  // a span of one value
  EXPECT_EQ(findings(study_blocks(study)).size(), 3u);
  study.trials.clear();
  EXPECT_TRUE(findings(study_blocks(study)).empty());
}

TEST(Study, ShowsWhatWasRefined) {
  StudyData study{.folder = "s", .metric = "accuracy", .parameters = {}, .trials = {}};
  study.parameters = {{.name = "lr",
                       .logarithmic = true,
                       .low = {1e-4, "0.0001"},
                       .high = {1, "1"},
                       .refined = {{1e-3, "0.001"}, {1e-2, "0.01"}}},
                      {.name = "norm", .categories = {"none", "batch"}, .refined = {{1, "batch"}}},
                      {.name = "units", .low = {8, "8"}, .high = {64, "64"}}};
  study.trials = {{0, "complete", 0.8, 2, {{0.01, "0.01"}, {1, "batch"}, {8, "8"}}},
                  {1, "complete", 0.9, 2, {{0.02, "0.02"}, {0, "none"}, {9, "9"}}}};
  const auto axes = [&] {
    return std::get<ParallelChart>(std::get<Figure>(study_blocks(study)[1]).chart).dimensions;
  };
  study.second_round = 1;
  const auto blocks = study_blocks(study);
  EXPECT_THAT(std::get<Figure>(blocks[1]).note, HasSubstr("searched from trial 1 on."));
  ASSERT_EQ(axes()[0].parts.size(), 1u);
  EXPECT_NEAR(axes()[0].parts[0].first, 0.25, 1e-12);
  EXPECT_NEAR(axes()[0].parts[0].second, 0.5, 1e-12);
  ASSERT_EQ(axes()[1].parts.size(), 1u);
  EXPECT_NEAR(axes()[1].parts[0].first + axes()[1].parts[0].second, 2, 1e-12);  // around batch
  EXPECT_TRUE(axes()[2].parts.empty());
  EXPECT_EQ(std::get<Paragraph>(blocks[2]).text,
            "From trial 1 on, 2 of 3 parameters were searched only where the best trials before it "
            "lie. The best of those reached 80.00 %, the best since 90.00 %.");
  const Grid& grid = std::get<Grid>(blocks[3]);
  EXPECT_THAT(grid.rows,
              testing::ElementsAre(testing::ElementsAre("lr", "0.0001 to 1", "0.001 to 0.01"),
                                   testing::ElementsAre("norm", "none, batch", "batch")));
  // Nothing was narrowed, and nothing came of it yet.
  for (StudyParameter& parameter : study.parameters) parameter.refined.clear();
  study.trials.pop_back();
  EXPECT_EQ(std::get<Paragraph>(study_blocks(study)[2]).text,
            "The best trials before trial 1 lie everywhere: nothing was refined. The best of those "
            "reached 80.00 %, the best since nothing yet.");
  EXPECT_EQ(std::get<Figure>(study_blocks(study)[1]).note.find("Thick"), std::string::npos);
}

TEST(ReportPage, NeedsSomething) {
  EXPECT_THROW(report_page({}, "evenrow"), Error);
}

}  // namespace
}  // namespace evenrow::report
