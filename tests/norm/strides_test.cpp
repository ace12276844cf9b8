// Strides that no loop has, or that let elements share memory; and views that lie side by side.
#include <gtest/gtest.h>

#include "mistakes.hpp"

namespace evenrow {
namespace {

class StrideMistakes : public ::testing::TestWithParam<Mistake> {};
// [2, 3, 4] with segments of 4 values, or other sizes of 24 values.
INSTANTIATE_TEST_SUITE_P(
    Strides, StrideMistakes,
    ::testing::Values(
        Mistake{"NegativeOuterStride",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 100), {-16, 5}};
                },
                "x has strides outer -16, channel 5 for [outer 2, channels 3, inner 4], expected "
                "strides of 0 or more; copy it to a dense tensor"},
        Mistake{"NegativeChannelStride",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 100), {16, -5}};
                },
                "expected strides of 0 or more"},
        Mistake{"BeyondMemory",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 100), {kMost / 2, kMost / 2}};
                },
                "expected strides that reach no further than memory does"},
        Mistake{"ChannelsThatShareValues",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 100), {16, 3}};
                },
                "expected segments of inner values that share nothing"},
        Mistake{"OuterThatSharesValues",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 100), {13, 5}};
                },
                "expected segments of inner values that share nothing"},
        Mistake{"AllChannelsTheSame",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 100), {4, 0}};
                },
                "expected segments of inner values that share nothing"},
        Mistake{"ShortBuffer",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 29), {16, 5}};
                },
                "x has 29 values, but its strides (outer 16, channel 5) reach 30 for [outer 2, "
                "channels 3, inner 4]; pass all of the tensor that it is a view of"},
        Mistake{"ShortResidualBuffer",
                [](Arguments& a) {
                  a.train.residual = {a.part(200, 29), {16, 5}};
                },
                "residual has 29 values, but its strides"},
        Mistake{"ShortYBuffer",
                [](Arguments& a) {
                  a.train.y = {a.part(200, 29), {16, 5}};
                },
                "y has 29 values, but its strides"},
        Mistake{"ChannelsLastWithAGapInAColumn",
                [](Arguments& a) {
                  a.train.shape = {8, 3, 1};
                  a.train.x = {a.part(200, 100), {6, 2}};
                },
                "expected channel 1 and outer of at least the channels, as inner is 1"},
        Mistake{"ChannelsLastThatShareValues",
                [](Arguments& a) {
                  a.train.shape = {8, 3, 1};
                  a.train.x = {a.part(200, 100), {2, 1}};
                },
                "expected channel 1 and outer of at least the channels, as inner is 1"},
        Mistake{"OneChannelOfSingleValues",
                [](Arguments& a) {
                  a.train.shape = {24, 1, 1};
                  a.train.x = {a.part(200, 100), {2, 1}};
                },
                "expected outer 1, as one channel is one row"},
        Mistake{"TheSameBufferWithOtherStrides",
                [](Arguments& a) {
                  a.train.x = {a.part(200, 100), {16, 5}};
                  a.train.y = {a.part(200, 100), {20, 5}};
                },
                "y overlaps x; give the same buffer for both"},
        Mistake{"ViewsThatMeet",
                [](Arguments& a) {  // of [2, 6, 4]: channels 0 to 2, and 2 to 4
                  a.train.x = {a.part(200, 48), {24, 4}};
                  a.train.y = {a.part(208, 40), {24, 4}};
                },
                "y overlaps x"}),
    mistake_name);

TEST_P(StrideMistakes, InTraining) {
  expect_refused_in_training(GetParam());
}

TEST_P(StrideMistakes, InInference) {
  expect_refused_in_inference(GetParam());
}

// Two views of one larger tensor, as where outputs of layers are concatenated: side by side they
// share nothing, though their spans do.
TEST(Views, SideBySideAreNoOverlap) {
  for (const bool channels_last : {false, true}) {
    const NormShape shape = channels_last ? NormShape{8, 3, 1} : NormShape{2, 3, 4};
    const std::int64_t inner = shape.inner;
    const NormStrides strides{6 * inner, inner};
    NormCase<float> k(shape, 81);
    std::vector<float> both(48, 7.0f);
    const std::span<float> all = both;
    const NormTensor<float> y{all.subspan(static_cast<std::size_t>(3 * inner)), strides};
    const auto in = [&](std::int64_t o, std::int64_t c, std::int64_t i) -> float& {
      return both[static_cast<std::size_t>(o * strides.outer + c * strides.channel + i)];
    };
    const auto for_each = [&](const auto& visit) {
      for (std::int64_t j = 0; j < shape.columns(); ++j) {
        for (std::int64_t c = 0; c < 3; ++c) visit(j / inner, c, j % inner, k.at(j, c));
      }
    };
    for_each([&](auto o, auto c, auto i, std::size_t at) { in(o, c, i) = k.x[at]; });
    k.gamma.clear();
    k.beta.clear();
    batch_norm_train<float>({.x = {all, strides}, .y = y, .shape = shape});
    const auto expected = run(k);
    for_each([&](auto o, auto c, auto i, std::size_t at) {
      EXPECT_EQ(in(o, c, i), k.x[at]);
      EXPECT_EQ(in(o, c + 3, i), expected.y[at]);
    });
  }
}

}  // namespace
}  // namespace evenrow
