// Cases of the operator, each a function of a seed and its number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

#include "core/random.hpp"
#include "norm_cases.hpp"

namespace evenrow {

/// Draws from a stream of random numbers, one after the other.
class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t instance) : stream_(seed, core::Purpose::test, instance) {}
  /// Uniform in 0 .. n - 1.
  std::int64_t below(std::int64_t n) { return stream_.word(next_++) % n; }
  bool one_in(std::int64_t n) { return below(n) == 0; }
  bool coin() { return one_in(2); }
  double uniform() { return stream_.uniform(next_++); }
  double normal() { return stream_.normal(next_++); }
  template <class V>
  V pick(std::initializer_list<V> values) {
    return *std::next(values.begin(), below(static_cast<std::int64_t>(values.size())));
  }
  /// One that is at most `most`, or 1.
  std::int64_t pick_up_to(std::int64_t most, std::initializer_list<std::int64_t> ascending) {
    const auto end = std::ranges::upper_bound(ascending, most);
    const auto count = std::distance(ascending.begin(), end);
    return count == 0 ? 1 : *std::next(ascending.begin(), below(count));
  }

 private:
  core::RandomStream stream_;
  std::uint64_t next_ = 0;
};

/// A case, and what must not change its bits.
template <class T>
struct GeneratedCase {
  NormCase<T> k;
  RunOptions how;
};

/// At most about `budget` values. Channels and columns: 1, around 2, 4, 8, 16, 32 and 64 lanes,
/// primes; columns around one leaf (64, 1024) and two, too.
inline NormShape generated_shape(Draw& draw, std::int64_t budget) {
  // A channel of several lanes, then, of a row or of channels beside each other.
  const std::int64_t channels =
      draw.pick_up_to(budget / 2, {1,  2,  3,  4,  5,  7,  8,  9,  13, 15,  16,  17,  23, 31,
                                   32, 33, 47, 61, 63, 64, 65, 66, 97, 127, 128, 129, 257});
  const std::int64_t columns = draw.pick_up_to(
      std::max<std::int64_t>(2, budget / channels),
      {1,    2,    3,    4,    5,    6,    7,    8,    9,     12,    13,    15,   16,   17,   18,
       24,   31,   32,   33,   36,   47,   48,   61,   63,    64,    65,    97,   98,   127,  128,
       129,  196,  255,  256,  257,  384,  509,  511,  512,   513,   600,   1021, 1023, 1024, 1025,
       1536, 1537, 2047, 2048, 2049, 3079, 5000, 8191, 16384, 16385, 20000, 33000});
  if (draw.one_in(25)) {  // empty, in one of its sizes
    return draw.pick<NormShape>({{0, channels, 5}, {3, channels, 0}, {3, 0, 4}, {0, channels, 1}});
  }
  // Sizes of segments that a column count has, small ones first.
  std::vector<std::int64_t> divisors;
  for (std::int64_t d = 1; d <= std::min<std::int64_t>(columns, 64); ++d) {
    if (columns % d == 0) divisors.push_back(d);
  }
  const std::int64_t outer =
      divisors[static_cast<std::size_t>(draw.below(static_cast<std::int64_t>(divisors.size())))];
  switch (draw.below(5)) {
    case 0:
      return NormShape::feature_major(channels, columns);
    case 1:
      return NormShape::row_major(columns, channels);
    case 2:
      return NormShape::channels_last(outer, columns / outer, channels);
    case 3:
      return NormShape::channels_first(columns / outer, channels, outer);
    default:
      return NormShape::channels_first(outer, channels, columns / outer);
  }
}

/// All columns, a mask, lengths or weights.
template <class T>
void generate_validity(Draw& draw, NormCase<T>& k) {
  const std::int64_t columns = k.shape.columns();
  const auto size = static_cast<std::size_t>(columns);
  const double part = draw.pick({0.02, 0.5, 0.5, 0.95, 1.0});
  switch (columns == 0 ? 0 : draw.below(5)) {
    case 1:
      for (std::size_t j = 0; j < size; ++j) {
        k.mask.push_back(draw.uniform() < part ? static_cast<std::uint8_t>(1 + j % 255) : 0);
      }
      break;
    case 2: {
      std::int64_t sequences = draw.coin() ? std::max<std::int64_t>(1, k.shape.outer) : 1;
      for (const std::int64_t s : {2, 3, 4, 7}) {
        if (sequences == 1 && columns % s == 0 && draw.coin()) sequences = s;
      }
      const std::int64_t padded = columns / sequences;
      for (std::int64_t s = 0; s < sequences; ++s) {
        k.lengths.push_back(draw.one_in(4) ? padded : draw.below(padded + 1));
      }
      break;
    }
    case 3:
    case 4:
      for (std::size_t j = 0; j < size; ++j) {
        const double weight = draw.pick({1.0, 1.0, 0.5, 2.0, 1e-3, 100.0, 2 - 2 * draw.uniform()});
        k.weights.push_back(draw.uniform() < part ? static_cast<float>(weight) : 0.0f);
      }
      break;
    default:
      break;
  }
}

template <class T>
GeneratedCase<T> generated_case(std::uint64_t seed, std::uint64_t number) {
  Draw draw(seed, number);
  // Mostly small, so that there may be many; some large enough for threads and several leaves.
  const std::int64_t size_class = draw.below(40);
  const std::int64_t budget = size_class == 0 ? 36000 : (size_class < 9 ? 4000 : 500);
  const NormShape shape = generated_shape(draw, budget);

  // A spread that squares nicely, one that does not, some that leave float when they are squared; a
  // mean of up to a million deviations, or so large that a row is constant. T must hold them, and
  // what the gradient makes of them.
  const double spread = std::is_same_v<T, float16> ? draw.pick({1.0, 0.1, 30.0, 1.0})
                        : kIsHalf<T>               ? draw.pick({1.0, 0.1, 30.0, 1e-16, 3e17})
                                                   : draw.pick({1.0, 1.0, 1e-3, 30.0, 1e8, 1e-12});
  const double ratio = kIsHalf<T> ? draw.pick({0.0, 1.0, -3.0, 50.0, 1e3})
                                  : draw.pick({0.0, 0.0, 1.0, -30.0, 1e3, 1e6, 1e20});
  const double offset = spread * (std::is_same_v<T, float16> ? std::min(ratio, 300.0) : ratio);
  NormCase<T> k(shape, 2 * number + 1000, offset, spread);

  // With eps 0 the variance alone decides; then it must be one that double knows a little about.
  k.options.eps = draw.pick({1e-5, 1e-5, 1e-3, 1.0, 0.0});
  if (k.options.eps == 0 && std::abs(ratio) > 1e6) k.options.eps = 1e-12;
  k.options.activation = draw.coin() ? Activation::relu : Activation::none;
  if (draw.coin()) k.add_residual(number);
  k.dresidual = draw.coin();
  k.dparameters = !draw.one_in(8);
  if (draw.one_in(6)) k.gamma.clear();
  if (draw.one_in(6)) k.beta.clear();
  generate_validity(draw, k);
  k.poison_padding();
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    k.running_mean.push_back(offset + spread * draw.normal());
    const double deviation = spread * (0.2 + draw.uniform());
    k.running_variance.push_back(k.options.eps > 0 && draw.one_in(20) ? 0.0
                                                                      : deviation * deviation);
  }

  RunOptions how{.threads = draw.pick({1, 2, 3, 8}),
                 .y = draw.pick({YIn::own, YIn::x, YIn::residual}),
                 .dx = draw.pick({DxIn::own, DxIn::dy, DxIn::x}),
                 .misaligned = draw.pick<std::int64_t>({0, 0, 1, 2, 3, 5}),
                 .spacing = draw.pick({Spacing::dense, Spacing::dense, Spacing::outer_first,
                                       Spacing::channel_first})};
  how.dresidual_over_dy = how.dx != DxIn::dy && draw.coin();
  if (draw.one_in(4)) how.fence = draw.coin() ? Fence::behind : Fence::before;
  return {std::move(k), how};
}

}  // namespace evenrow
