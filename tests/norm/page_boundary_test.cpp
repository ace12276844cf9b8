// Every buffer of a call ends, or starts, at a page that may be neither read nor written: what goes
// a single byte too far ends the program. On every target, in every type and layout, for lengths
// around a vector and others, dense and with strides.
#include <gtest/gtest.h>

#include "norm_cases.hpp"
#include "support/every_target.hpp"

namespace evenrow {
namespace {

class PageBoundary : public kernels::EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, PageBoundary, ::testing::ValuesIn(kernels::available_targets()),
                         kernels::target_test_name);

// Rows of several lengths, alone and in segments; columns of as many channels. The last ones are
// large enough for several tasks, and for leaves that are more than one.
std::vector<NormShape> shapes() {
  std::vector<NormShape> all;
  for (const std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 97}) {
    all.push_back(NormShape::feature_major(2, n + 1));
    all.push_back(NormShape::channels_first(3, 2, n));
    all.push_back(NormShape::row_major(5, n));
  }
  for (const NormShape& shape :
       {NormShape{1, 2, 1023}, NormShape{1, 1, 1537}, NormShape{9, 3, 251}, NormShape{513, 5, 1},
        NormShape{700, 33, 1}, NormShape{2, 3, 4099}, NormShape{601, 1, 1}}) {
    all.push_back(shape);
  }
  return all;
}

template <class T>
void no_byte_outside() {
  int calls = 0;
  for (const NormShape& shape : shapes()) {
    NormCase<T> k(shape, 71);
    k.running_mean.assign(k.gamma.size(), 0.5);
    k.running_variance.assign(k.gamma.size(), 2.0);
    // Plain; a relu that is computed again; a residual, and a relu that is kept as bits.
    for (const int step : {0, 1, 2}) {
      if (step == 1) k.options.activation = Activation::relu;
      if (step == 2) k.add_residual(72);
      for (const int counting : {0, 1, 2}) {
        k.mask = counting == 1 ? random_mask(shape.columns(), 73) : std::vector<std::uint8_t>{};
        k.weights = counting == 2 ? random_weights(shape.columns(), 74) : std::vector<float>{};
        const NormResults<T> expected = run(k);
        for (const Fence fence : {Fence::behind, Fence::before}) {
          for (const Spacing spacing : {Spacing::dense, Spacing::outer_first}) {
            EXPECT_TRUE(run(k, {.threads = 2, .spacing = spacing, .fence = fence}) == expected)
                << shape_text(shape);
            ++calls;
          }
        }
      }
    }
  }
  EXPECT_EQ(calls, static_cast<int>(shapes().size()) * 3 * 3 * 4);
}
EVENROW_EVERY_ELEMENT(PageBoundary, IsNotCrossed, no_byte_outside)

// The fences themselves work: one value further ends the program.
TEST(PageBoundaryDeathTest, ATouchBeyondEndsTheProgram) {
  const auto read = [](Fence fence, std::ptrdiff_t index) {
    const Fenced<float> memory(5, fence);
    return *const_cast<volatile const float*>(memory.data() + index);
  };
  EXPECT_EQ(read(Fence::behind, 4) + read(Fence::before, 0), 0.0f);
  EXPECT_DEATH(read(Fence::behind, 5), "");
  EXPECT_DEATH(read(Fence::before, -1), "");
}

}  // namespace
}  // namespace evenrow
