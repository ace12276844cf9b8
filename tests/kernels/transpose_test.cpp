// Transposed copies of every size up to some vectors, on every target, of a matrix inside a larger
// one: each value where it belongs, and nothing beside them.
#include "kernels/transpose.hpp"

#include <gtest/gtest.h>

#include "kernel_cases.hpp"

namespace evenrow::kernels {
namespace {

class Transposed : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Transposed, ::testing::ValuesIn(available_targets()),
                         target_test_name);

template <class T>
void every_size() {
  constexpr std::int64_t kMost = 37, kFromStride = kMost + 3, kToStride = kMost + 2;
  const T nothing = -1;
  Buffer<T> from(kMost * kFromStride, 1), to(kMost * kToStride, 1);
  for (std::size_t i = 0; i < from.span().size(); ++i) from[i] = static_cast<T>(i);
  for (std::int64_t rows = 0; rows <= kMost; ++rows) {
    for (std::int64_t columns = 0; columns <= kMost; ++columns) {
      std::ranges::fill(to.span(), nothing);
      transpose(from.data(), kFromStride, rows, columns, to.data(), kToStride);
      std::int64_t wrong = 0;
      for (std::int64_t c = 0; c < kMost; ++c) {
        for (std::int64_t r = 0; r < kToStride; ++r) {
          const bool inside = c < columns && r < rows;
          const T expected = inside ? from[static_cast<std::size_t>(r * kFromStride + c)] : nothing;
          if (to[static_cast<std::size_t>(c * kToStride + r)] != expected) ++wrong;
        }
      }
      ASSERT_EQ(wrong, 0) << rows << " x " << columns;
    }
  }
}

TEST_P(Transposed, EverySizeFloat) {
  every_size<float>();
}
TEST_P(Transposed, EverySizeDouble) {
  every_size<double>();
}

}  // namespace
}  // namespace evenrow::kernels
