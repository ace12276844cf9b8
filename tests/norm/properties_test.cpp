// Any shape, layout, mask, alignment, thread count: the reference's results, always the same bits.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "compacted.hpp"
#include "comparison.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

template <class T>
NormCase<T> any_case() {
  const bool large = *rc::gen::weightedElement<bool>({{4, false}, {1, true}});
  const auto size = [](std::int64_t most) {
    return *rc::gen::weightedOneOf<std::int64_t>(
        {{1, rc::gen::just<std::int64_t>(0)},
         {8, rc::gen::just<std::int64_t>(1)},
         {24, rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::int64_t>(1, most))}});
  };
  const NormShape shape{size(large ? 60 : 6), size(large ? 70 : 8), size(large ? 120 : 9)};
  NormCase<T> k(shape, *rc::gen::inRange<std::uint64_t>(0, 1000),
                kIsHalf<T> ? *rc::gen::element(0.0, 1.0, -30.0, 1e4)
                           : *rc::gen::element(0.0, 1.0, -30.0, 1e6, 1e20),
                kIsHalf<T> ? *rc::gen::element(1.0, 1e-2, 1e3) : *rc::gen::element(1.0, 1e-3, 1e8));
  k.options.activation = *rc::gen::element(Activation::none, Activation::relu);
  k.options.eps = *rc::gen::element(1e-5, 1e-3, 1.0);
  const auto columns = static_cast<std::size_t>(shape.columns());
  if (*rc::gen::arbitrary<bool>()) k.add_residual(7);
  switch (*rc::gen::inRange(0, 4)) {
    case 1:
      k.mask = *rc::gen::container<std::vector<std::uint8_t>>(
          columns, rc::gen::element<std::uint8_t>(0, 1, 255));
      break;
    case 2:
      k.lengths = *rc::gen::container<std::vector<std::int64_t>>(
          static_cast<std::size_t>(shape.outer),
          rc::gen::inRange<std::int64_t>(0, shape.inner + 1));
      break;
    case 3:
      k.weights = *rc::gen::container<std::vector<float>>(
          columns, rc::gen::element<float>(0, 1, 0.5f, 3.75f));
      break;
    default:
      break;
  }
  k.poison_padding();
  return k;
}

template <class T>
bool holds_for_any_case() {
  return rc::check("batch normalization of anything", [] {
    const NormCase<T> k = any_case<T>();
    const std::int64_t count = k.count();
    RC_CLASSIFY(count == 0, "no valid column");
    RC_CLASSIFY(!k.mask.empty(), "mask");
    RC_CLASSIFY(!k.lengths.empty(), "lengths");
    RC_CLASSIFY(!k.weights.empty(), "weights");
    if (count == 1 && k.shape.channels > 0) {
      RC_ASSERT_THROWS_AS(run(k), Error);
      return;
    }
    const auto results = run(k);
    expect_matches_reference(k, results);
    RC_ASSERT(!::testing::Test::HasFailure());
    const RunOptions how{
        .threads = *rc::gen::element(1, 2, 3, 8),
        .y = *rc::gen::element(YIn::own, YIn::x, YIn::residual),
        .dx = *rc::gen::element(DxIn::own, DxIn::x, DxIn::dy),
        .misaligned = *rc::gen::inRange<std::int64_t>(0, 17),
        .spacing = *rc::gen::element(Spacing::dense, Spacing::outer_first, Spacing::channel_first)};
    RC_ASSERT(run(k, how) == results);
    RC_ASSERT(as_without_padding(k));
  });
}

TEST(Properties, HoldForFloat) {
  EXPECT_TRUE(holds_for_any_case<float>());
}
TEST(Properties, HoldForDouble) {
  EXPECT_TRUE(holds_for_any_case<double>());
}
TEST(Properties, HoldForBfloat16) {
  EXPECT_TRUE(holds_for_any_case<bfloat16>());
}
TEST(Properties, HoldForFloat16) {
  EXPECT_TRUE(holds_for_any_case<float16>());
}

}  // namespace
}  // namespace evenrow
