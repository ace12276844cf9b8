// Every mistake that the operator's contract names, with the message that says what to do.
#include <gtest/gtest.h>

#include "mistakes.hpp"

namespace evenrow {
namespace {

class ForwardMistakes : public ::testing::TestWithParam<Mistake> {};
INSTANTIATE_TEST_SUITE_P(
    Table, ForwardMistakes,
    ::testing::Values(
        Mistake{"ShortX", [](Arguments& a) { a.train.x = a.part(0, 23); },
                "x has 23 values, expected 24 = outer 2 * channels 3 * inner 4"},
        Mistake{"NoX", [](Arguments& a) { a.train.x = {}; }, "x has 0 values, expected 24"},
        Mistake{"LongY", [](Arguments& a) { a.train.y = a.part(30, 25); },
                "y has 25 values, expected 24"},
        Mistake{"ShortGamma", [](Arguments& a) { a.train.gamma = a.part(24, 2); },
                "gamma has 2 values, expected 3, one a channel, or none"},
        Mistake{"LongBeta", [](Arguments& a) { a.train.beta = a.part(110, 4); },
                "beta has 4 values, expected 3, one a channel, or none"},
        Mistake{"NegativeOuter", [](Arguments& a) { a.train.shape.outer = -2; },
                "shape is [outer -2, channels 3, inner 4], expected sizes of 0 or more"},
        Mistake{"NegativeChannels", [](Arguments& a) { a.train.shape.channels = -3; },
                "channels -3"},
        Mistake{"NegativeInner", [](Arguments& a) { a.train.shape.inner = -1; }, "inner -1"},
        Mistake{"Overflow",
                [](Arguments& a) {
                  a.train.shape = {kMost / 2, 3, 4};
                },
                "more values than any memory holds"},
        Mistake{"OverflowOfBytes",
                [](Arguments& a) {
                  a.train.shape = {kMost / 4, 1, 1};
                },
                "more values than any memory holds"},
        Mistake{"OverflowInAFactory",
                [](Arguments& a) { a.train.shape = NormShape::channels_last(kMost, 3, 3); },
                "shape is [outer -1"},
        Mistake{"NegativeEps", [](Arguments& a) { a.options.eps = -1e-5; },
                "options.eps is -1e-05, expected a finite number of 0 or more"},
        Mistake{"NaNEps", [](Arguments& a) { a.options.eps = std::nan(""); }, "options.eps is nan"},
        Mistake{"InfiniteEps", [](Arguments& a) { a.options.eps = INFINITY; },
                "options.eps is inf"},
        Mistake{"Gelu", [](Arguments& a) { a.options.activation = Activation::gelu; },
                "only none and relu can be fused"},
        Mistake{"OverlappingY", [](Arguments& a) { a.train.y = a.part(1, 24); },
                "y overlaps x; give the same buffer for both, or two that share nothing"},
        Mistake{"YOverGamma", [](Arguments& a) { a.train.y = a.part(26, 24); },
                "y overlaps gamma; give two buffers that share nothing"},
        Mistake{"YOverBeta", [](Arguments& a) { a.train.y = a.part(29, 24); }, "y overlaps beta"},
        Mistake{"MaskAndLengths",
                [](Arguments& a) { a.train.valid = {.mask = a.mask, .lengths = a.lengths}; },
                "valid.mask and valid.lengths are both set; give one of them"},
        Mistake{"ShortMask",
                [](Arguments& a) {
                  a.mask.resize(7);
                  a.train.valid.mask = a.mask;
                },
                "valid.mask has 7 entries, expected 8, one a column (outer 2 * inner 4)"},
        Mistake{"LengthsThatDoNotDivide",
                [](Arguments& a) {
                  a.lengths = {1, 1, 1};
                  a.train.valid.lengths = a.lengths;
                },
                "valid.lengths has 3 sequences, but 8 columns"},
        Mistake{"NegativeLength",
                [](Arguments& a) {
                  a.lengths[1] = -1;
                  a.train.valid.lengths = a.lengths;
                },
                "valid.lengths[1] is -1, expected 0 to 4, the padded length"},
        Mistake{"LongLength",
                [](Arguments& a) {
                  a.lengths[0] = 5;
                  a.train.valid.lengths = a.lengths;
                },
                "valid.lengths[0] is 5, expected 0 to 4"},
        Mistake{"MaskAndWeights",
                [](Arguments& a) { a.train.valid = {.mask = a.mask, .weights = a.weights}; },
                "valid.mask and valid.weights are both set; give one of them"},
        Mistake{"LengthsAndWeights",
                [](Arguments& a) { a.train.valid = {.lengths = a.lengths, .weights = a.weights}; },
                "valid.lengths and valid.weights are both set; give one of them"},
        Mistake{"LongWeights",
                [](Arguments& a) {
                  a.weights.push_back(1);
                  a.train.valid.weights = a.weights;
                },
                "valid.weights has 9 entries, expected 8, one a column (outer 2 * inner 4)"},
        Mistake{"NegativeWeight", [](Arguments& a) { a.set_weight(7, -0.5f); },
                "valid.weights[7] is -0.5, expected a finite number of 0 or more"},
        Mistake{"NaNWeight", [](Arguments& a) { a.set_weight(2, std::nanf("")); },
                "valid.weights[2] is nan"},
        Mistake{"InfiniteWeight", [](Arguments& a) { a.set_weight(0, INFINITY); },
                "valid.weights[0] is inf"},
        Mistake{"ShortResidual", [](Arguments& a) { a.train.residual = a.part(200, 23); },
                "residual has 23 values, expected 24"},
        Mistake{"YOverAPartOfTheResidual", [](Arguments& a) { a.train.residual = a.part(31, 24); },
                "y overlaps residual; give the same buffer for both"}),
    mistake_name);

TEST_P(ForwardMistakes, InTraining) {
  expect_refused_in_training(GetParam());
}

TEST_P(ForwardMistakes, InInference) {
  expect_refused_in_inference(GetParam());
}

class BackwardMistakes : public ::testing::TestWithParam<Mistake> {};
INSTANTIATE_TEST_SUITE_P(
    Table, BackwardMistakes,
    ::testing::Values(
        Mistake{"ShortX", [](Arguments& a) { a.backward.x = a.part(0, 23); },
                "x has 23 values, expected 24"},
        Mistake{"ShortDy", [](Arguments& a) { a.backward.dy = a.part(54, 5); },
                "dy has 5 values, expected 24"},
        Mistake{"NoDx", [](Arguments& a) { a.backward.dx = {}; }, "dx has 0 values, expected 24"},
        Mistake{"ShortGamma", [](Arguments& a) { a.backward.gamma = a.part(24, 1); },
                "gamma has 1 values, expected 3"},
        Mistake{"ShortBeta", [](Arguments& a) { a.backward.beta = a.part(24, 1); },
                "beta has 1 values, expected 3"},
        Mistake{"LongDgamma", [](Arguments& a) { a.backward.dgamma = a.part(110, 4); },
                "dgamma has 4 values, expected 3"},
        Mistake{"LongDbeta", [](Arguments& a) { a.backward.dbeta = a.part(110, 4); },
                "dbeta has 4 values, expected 3"},
        Mistake{"DxOverX", [](Arguments& a) { a.backward.dx = a.part(3, 24); }, "dx overlaps x"},
        Mistake{"DxOverDy", [](Arguments& a) { a.backward.dx = a.part(55, 24); }, "dx overlaps dy"},
        Mistake{"DgammaOverDbeta", [](Arguments& a) { a.backward.dgamma = a.part(105, 3); },
                "dgamma overlaps dbeta"},
        Mistake{"DgammaOverGamma", [](Arguments& a) { a.backward.dgamma = a.part(24, 3); },
                "dgamma overlaps gamma"},
        Mistake{"DbetaOverBeta", [](Arguments& a) { a.backward.dbeta = a.part(28, 3); },
                "dbeta overlaps beta"},
        Mistake{"DbetaOverDx", [](Arguments& a) { a.backward.dbeta = a.part(80, 3); },
                "dbeta overlaps dx"},
        Mistake{"GammaOverDx", [](Arguments& a) { a.backward.gamma = a.part(80, 3); },
                "dx overlaps gamma; give two buffers that share nothing"},
        Mistake{"BetaOverDx", [](Arguments& a) { a.backward.beta = a.part(80, 3); },
                "dx overlaps beta"},
        Mistake{"DgammaOverX", [](Arguments& a) { a.backward.dgamma = a.part(2, 3); },
                "dgamma overlaps x"},
        Mistake{"DgammaOverDy", [](Arguments& a) { a.backward.dgamma = a.part(60, 3); },
                "dgamma overlaps dy"},
        Mistake{"ShortDresidual", [](Arguments& a) { a.backward.dresidual = a.part(200, 7); },
                "dresidual has 7 values, expected 24"},
        Mistake{"DresidualIsX", [](Arguments& a) { a.backward.dresidual = a.part(0, 24); },
                "dresidual overlaps x; give two buffers that share nothing"},
        Mistake{"DresidualOverAPartOfDy",
                [](Arguments& a) { a.backward.dresidual = a.part(50, 24); },
                "dresidual overlaps dy; give the same buffer for both"},
        Mistake{"DresidualIsDx", [](Arguments& a) { a.backward.dresidual = a.part(78, 24); },
                "dresidual overlaps dx; give two buffers that share nothing"},
        Mistake{"DresidualAndDxAreDy",
                [](Arguments& a) { a.backward.dresidual = a.backward.dx = a.part(54, 24); },
                "dresidual overlaps dx"},
        Mistake{"GammaOverDresidual",
                [](Arguments& a) {
                  a.backward.dresidual = a.part(200, 24);
                  a.backward.gamma = a.part(210, 3);
                },
                "dresidual overlaps gamma"},
        Mistake{"DbetaOverDresidual",
                [](Arguments& a) {
                  a.backward.dresidual = a.part(200, 24);
                  a.backward.dbeta = a.part(210, 3);
                },
                "dbeta overlaps dresidual"},
        Mistake{"StridesOfDy",
                [](Arguments& a) {
                  a.backward.dy = {a.part(200, 29), {16, 5}};
                },
                "dy has 29 values, but its strides (outer 16, channel 5) reach 30"},
        Mistake{"StridesOfDx",
                [](Arguments& a) {
                  a.backward.dx = {a.part(200, 90), {16, 2}};
                },
                "dx has strides outer 16, channel 2"},
        Mistake{"StridesOfDresidual",
                [](Arguments& a) {
                  a.backward.dresidual = {a.part(200, 90), {-1, 2}};
                },
                "dresidual has strides outer -1, channel 2"},
        Mistake{"WeightsWhereThereWereNone",
                [](Arguments& a) {
                  a.weights[1] = 2;
                  a.backward.valid.weights = a.weights;
                },
                "valid has 8 columns that are not the 8 of the forward pass in saved"},
        Mistake{"MaskOfAnotherSize",
                [](Arguments& a) {
                  a.mask.resize(5);
                  a.backward.valid.mask = a.mask;
                },
                "valid.mask has 5 entries, expected 8"},
        Mistake{"OtherColumnsThanInTheForwardPass",
                [](Arguments& a) {
                  a.mask[3] = 0;
                  a.backward.valid.mask = a.mask;
                },
                "valid has 7 columns that are not the 8 of the forward pass in saved"}),
    mistake_name);

TEST_P(BackwardMistakes, AreRefused) {
  Arguments a;
  const auto saved = batch_norm_train(a.train, a.options);
  GetParam().make(a);
  const std::vector<float> before = a.values;
  EXPECT_THAT([&] { batch_norm_backward(a.backward, saved); },
              ThrowsError(ErrorKind::usage, GetParam().message));
  EXPECT_THAT([&] { batch_norm_backward(a.backward, saved); },
              ThrowsError(ErrorKind::usage, "batch_norm_backward: "));
  EXPECT_EQ(a.values, before);
}

TEST(BackwardMistakes, AMaskOfAsManyOtherColumnsIsRefused) {
  Arguments a;
  a.mask = {1, 1, 1, 0, 1, 1, 1, 1};
  a.train.valid.mask = a.mask;
  const auto saved = batch_norm_train(a.train);
  a.mask = {1, 1, 1, 1, 0, 1, 1, 1};
  a.backward.valid.mask = a.mask;
  EXPECT_THAT([&] { batch_norm_backward(a.backward, saved); },
              ThrowsError(ErrorKind::usage, "give the same mask, lengths or weights to both"));
}

TEST(BackwardMistakes, OtherWeightsOfTheSameColumnsAreRefused) {
  Arguments a;
  a.train.valid.weights = a.weights;
  const auto saved = batch_norm_train(a.train);
  std::vector<float> others = a.weights;
  others[5] = 1.5f;
  a.backward.valid.weights = others;
  EXPECT_THAT([&] { batch_norm_backward(a.backward, saved); },
              ThrowsError(ErrorKind::usage, "give the same mask, lengths or weights to both"));
  a.backward.valid.weights = a.weights;
  batch_norm_backward(a.backward, saved);
}

TEST(BackwardMistakes, SavedOfAnotherElementTypeIsRefused) {
  Arguments a;
  std::vector<double> x(24, 1.0), y(24);
  const auto saved = batch_norm_train<double>({.x = x, .y = y, .shape = {2, 3, 4}});
  EXPECT_THAT(
      [&] { batch_norm_backward(a.backward, saved); },
      ThrowsError(ErrorKind::usage, "forward pass in double, but the tensors here are float"));
}

TEST(BackwardMistakes, TheTwoSixteenBitTypesAreNotTheSame) {
  std::vector<bfloat16> x(24), y(24);
  std::vector<float16> other(24), dx(24);
  const auto saved = batch_norm_train<bfloat16>({.x = x, .y = y, .shape = {2, 3, 4}});
  EXPECT_THAT(
      [&] { batch_norm_backward<float16>({.x = other, .dy = other, .dx = dx}, saved); },
      ThrowsError(ErrorKind::usage, "forward pass in bfloat16, but the tensors here are float16"));
}

TEST(InferMistakes, YOverStatisticsIsRefused) {
  std::vector<double> all(40, 1.0);
  const std::span<double> span = all;
  const auto infer = [&](std::span<const double> mean, std::span<const double> variance) {
    batch_norm_infer<double>({.x = span.subspan(0, 12),
                              .mean = mean,
                              .variance = variance,
                              .y = span.subspan(12, 12),
                              .shape = {2, 3, 2}});
  };
  infer(span.subspan(24, 3), span.subspan(27, 3));
  EXPECT_THAT([&] { infer(span.subspan(10, 3), span.subspan(27, 3)); },
              ThrowsError(ErrorKind::usage, "y overlaps mean; give two buffers"));
  EXPECT_THAT([&] { infer(span.subspan(24, 3), span.subspan(23, 3)); },
              ThrowsError(ErrorKind::usage, "y overlaps variance; give two buffers"));
}

TEST(BackwardMistakes, SavedThatWasMovedFromIsRefused) {
  Arguments a;
  auto saved = batch_norm_train(a.train);
  const auto kept = std::move(saved);
  EXPECT_THAT([&] { batch_norm_backward(a.backward, saved); },  // NOLINT(bugprone-use-after-move)
              ThrowsError(ErrorKind::usage, "saved has been moved from"));
  EXPECT_EQ(kept.count(), 8);
  batch_norm_train(a.train, {}, saved);  // it may be used again
  EXPECT_EQ(saved.count(), 8);
}

TEST(TrainMistakes, LeaveSavedAsItWas) {
  Arguments a;
  auto saved = batch_norm_train(a.train);
  a.train.shape = {2, 3, 5};
  EXPECT_THAT([&] { batch_norm_train(a.train, {}, saved); },
              ThrowsError(ErrorKind::usage, "x has"));
  EXPECT_EQ(saved.shape(), (NormShape{2, 3, 4}));
  batch_norm_backward(a.backward, saved);
}

}  // namespace
}  // namespace evenrow
