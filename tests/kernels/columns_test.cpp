// Every channels-last kernel, on every target, for awkward numbers of channels and columns,
// misaligned and in place. A channel is a row that is not contiguous: the expected values come from
// the same formulas, one channel at a time.
#include "kernels/columns.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "kernel_cases.hpp"
#include "support/norm_oracle.hpp"

namespace evenrow::kernels {
namespace {

using oracle::Real;

class Columns : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Columns, ::testing::ValuesIn(available_targets()),
                         target_test_name);

struct Size {
  std::int64_t columns, channels, stride;
};
const std::vector<Size>& sizes() {
  static const std::vector<Size> all = [] {
    std::vector<Size> some;
    for (const std::int64_t columns : {0, 1, 2, 15, 16, 17, 53}) {
      for (const std::int64_t channels : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 67}) {
        some.push_back({columns, channels, channels});
        some.push_back({columns, channels, channels + 3});  // a block of a wider tensor
      }
    }
    return some;
  }();
  return all;
}

template <class T>
struct Case {
  explicit Case(const Size& s)
      : size(s),
        x(s.columns * s.stride, 1),
        dy(s.columns * s.stride, 2),
        center(s.channels, 1),
        scale(s.channels, 0),
        shift(s.channels, 3),
        mean(s.channels, 1) {
    fill_normal(x.span(), 1, 5);
    fill_normal(dy.span(), 2);
    fill_normal(center.span(), 3, 5);
    fill_normal(scale.span(), 4);
    fill_normal(shift.span(), 5);
    fill_normal(mean.span(), 6, 5);
  }
  ChannelAffine<T> affine() const { return {center.data(), scale.data(), shift.data()}; }
  std::size_t at(std::int64_t column, std::int64_t channel) const {
    return static_cast<std::size_t>(column * size.stride + channel);
  }
  std::string name() const {
    return std::to_string(size.columns) + " columns, " + std::to_string(size.channels) +
           " channels, stride " + std::to_string(size.stride);
  }

  Size size;
  Buffer<T> x, dy, center, scale, shift;
  Buffer<double> mean;
};

template <class T>
void moment_sums() {
  for (const Size& size : sizes()) {
    const Case<T> k(size);
    Buffer<double> sum(size.channels, 1), squares(size.channels, 2);
    for (double& s : sum.span()) s = 0.5;  // the kernel adds
    for (double& s : squares.span()) s = 0.25;
    column_moment_sums(k.x.data(), size.columns, size.stride, size.channels, k.mean.data(),
                       sum.data(), squares.data());
    for (std::int64_t c = 0; c < size.channels; ++c) {
      Real expected = 0.5L, absolute = 0.5L, expected_squares = 0.25L;
      for (std::int64_t j = 0; j < size.columns; ++j) {
        const auto channel = static_cast<std::size_t>(c);
        const Real difference = static_cast<Real>(k.x[k.at(j, c)]) - k.mean[channel];
        expected += difference;
        absolute += std::abs(difference);
        expected_squares += difference * difference;
      }
      const auto i = static_cast<std::size_t>(c);
      const Real unit = oracle::kDoubleUnit * static_cast<Real>(size.columns + 4);
      ASSERT_LE(std::abs(sum[i] - expected), unit * absolute) << k.name();
      ASSERT_LE(std::abs(squares[i] - expected_squares), unit * expected_squares) << k.name();
    }
    EXPECT_TRUE(sum.untouched() && squares.untouched()) << k.name();
  }
}
TEST_P(Columns, MomentSumsFloat) {
  moment_sums<float>();
}
TEST_P(Columns, MomentSumsDouble) {
  moment_sums<double>();
}

template <class T>
void normalize() {
  for (const Size& size : sizes()) {
    const Case<T> k(size);
    for (const bool relu : {false, true}) {
      Buffer<T> y(size.columns * size.stride, 3);
      column_normalize(k.x.data(), y.data(), size.columns, size.stride, size.channels, k.affine(),
                       relu);
      const T untouched = Buffer<T>(1, 0)[0];
      Buffer<T> in_place = k.x;
      column_normalize(in_place.data(), in_place.data(), size.columns, size.stride, size.channels,
                       k.affine(), relu);
      for (std::int64_t j = 0; j < size.columns; ++j) {
        for (std::int64_t c = 0; c < size.stride; ++c) {
          const std::size_t at = k.at(j, c);
          if (c >= size.channels) {  // between the channels and the next column
            ASSERT_EQ(y[at], untouched) << k.name();
            ASSERT_EQ(in_place[at], k.x[at]) << k.name();
            continue;
          }
          const auto i = static_cast<std::size_t>(c);
          const Real a = (static_cast<Real>(k.x[at]) - k.center[i]) * k.scale[i];
          const Real u = a + k.shift[i];
          const Real error = oracle::affine_error<T>(a, k.shift[i]);
          ASSERT_LE(std::abs(y[at] - (relu && u <= 0 ? 0 : u)), error) << k.name();
          ASSERT_EQ(in_place[at], y[at]) << k.name();
        }
      }
      EXPECT_TRUE(y.untouched()) << k.name();
    }
  }
}
TEST_P(Columns, NormalizeFloat) {
  normalize<float>();
}
TEST_P(Columns, NormalizeDouble) {
  normalize<double>();
}

template <class T>
void gradients() {
  for (const Size& size : sizes()) {
    const Case<T> k(size);
    const ChannelAffine<T> forward = k.affine();
    Buffer<T> y = k.x, masked = k.dy, a(size.channels, 0), b(size.channels, 1), c(size.channels, 2);
    fill_normal(a.span(), 7);
    fill_normal(b.span(), 8);
    fill_normal(c.span(), 9);
    column_normalize(k.x.data(), y.data(), size.columns, size.stride, size.channels, forward, true);
    for (std::size_t i = 0; i < y.span().size(); ++i) masked[i] = y[i] > 0 ? k.dy[i] : T{0};

    const auto sums = [&](const Buffer<T>& dy, const ChannelAffine<T>* relu_of) {
      std::pair<Buffer<double>, Buffer<double>> result{Buffer<double>(size.channels, 1),
                                                       Buffer<double>(size.channels, 2)};
      for (double& s : result.first.span()) s = 0;
      for (double& s : result.second.span()) s = 0;
      column_gradient_sums(k.x.data(), dy.data(), size.columns, size.stride, size.channels,
                           k.mean.data(), result.first.data(), result.second.data(), relu_of);
      EXPECT_TRUE(result.first.untouched() && result.second.untouched()) << k.name();
      return result;
    };
    const auto plain = sums(k.dy, nullptr);
    const auto after_relu = sums(k.dy, &forward), of_masked = sums(masked, nullptr);
    for (std::size_t i = 0; i < static_cast<std::size_t>(size.channels); ++i) {
      Real sum = 0, products = 0, absolute = 0, absolute_products = 0;
      for (std::int64_t j = 0; j < size.columns; ++j) {
        const std::size_t at = k.at(j, static_cast<std::int64_t>(i));
        const Real product = static_cast<Real>(k.dy[at]) * (static_cast<Real>(k.x[at]) - k.mean[i]);
        sum += k.dy[at];
        products += product;
        absolute += std::abs(k.dy[at]);
        absolute_products += std::abs(product);
      }
      const Real unit = oracle::kDoubleUnit * static_cast<Real>(size.columns + 3);
      ASSERT_LE(std::abs(plain.first[i] - sum), unit * absolute) << k.name();
      ASSERT_LE(std::abs(plain.second[i] - products), unit * absolute_products) << k.name();
      ASSERT_EQ(after_relu.first[i], of_masked.first[i]) << k.name();
      ASSERT_EQ(after_relu.second[i], of_masked.second[i]) << k.name();
    }

    const ChannelGradient<T> gradient{k.center.data(), a.data(), b.data(), c.data()};
    for (const bool relu : {false, true}) {
      const Buffer<T>& incoming = relu ? masked : k.dy;
      Buffer<T> dx(size.columns * size.stride, 0), in_dy = k.dy, in_x = k.x;
      column_input_gradient(k.x.data(), k.dy.data(), dx.data(), size.columns, size.stride,
                            size.channels, gradient, relu ? &forward : nullptr);
      column_input_gradient(k.x.data(), in_dy.data(), in_dy.data(), size.columns, size.stride,
                            size.channels, gradient, relu ? &forward : nullptr);
      column_input_gradient(in_x.data(), k.dy.data(), in_x.data(), size.columns, size.stride,
                            size.channels, gradient, relu ? &forward : nullptr);
      for (std::int64_t j = 0; j < size.columns; ++j) {
        for (std::int64_t channel = 0; channel < size.channels; ++channel) {
          const std::size_t at = k.at(j, channel);
          const auto i = static_cast<std::size_t>(channel);
          const Real second = static_cast<Real>(b[i]) * (static_cast<Real>(k.x[at]) - k.center[i]);
          const Real error =
              Real{1.01} * oracle::kUnit<T> * std::abs(Real{a[i]}) *
              (3 * std::abs(Real{incoming[at]}) + 7 * std::abs(second) + 5 * std::abs(Real{c[i]}));
          ASSERT_LE(std::abs(dx[at] - a[i] * (incoming[at] + second + c[i])), error) << k.name();
          ASSERT_EQ(in_dy[at], dx[at]) << k.name();
          ASSERT_EQ(in_x[at], dx[at]) << k.name();
        }
      }
      EXPECT_TRUE(dx.untouched() && in_dy.untouched() && in_x.untouched()) << k.name();
    }
  }
}
TEST_P(Columns, GradientsFloat) {
  gradients<float>();
}
TEST_P(Columns, GradientsDouble) {
  gradients<double>();
}

// A channel's sums do not depend on the channels beside it, nor on how the columns are split over
// calls: bit for bit.
TEST_P(Columns, SumsDoNotDependOnTheSplit) {
  const Case<float> k({53, 65, 65});
  std::vector<double> whole(130), split(130);
  column_moment_sums(k.x.data(), 53, 65, 65, k.mean.data(), whole.data(), whole.data() + 65);
  for (const auto& [first, columns] : {std::pair{0, 5}, {5, 16}, {21, 1}, {22, 31}}) {
    for (const auto& [channel, width] : {std::pair{0, 40}, {40, 25}}) {
      column_moment_sums(k.x.data() + first * 65 + channel, columns, 65, width,
                         k.mean.data() + channel, split.data() + channel,
                         split.data() + 65 + channel);
    }
  }
  EXPECT_EQ(whole, split);
}

template <class T>
std::vector<double> all_results(const std::string& target) {
  EXPECT_TRUE(use_target(target));
  std::vector<double> results;
  for (const Size& size : sizes()) {
    const Case<T> k(size);
    std::vector<double> sums(static_cast<std::size_t>(4 * size.channels));
    double* const s = sums.data();
    column_moment_sums(k.x.data(), size.columns, size.stride, size.channels, k.mean.data(), s,
                       s + size.channels);
    column_gradient_sums<T>(k.x.data(), k.dy.data(), size.columns, size.stride, size.channels,
                            k.mean.data(), s + 2 * size.channels, s + 3 * size.channels, nullptr);
    results.insert(results.end(), sums.begin(), sums.end());
    Buffer<T> y = k.x;
    column_normalize(y.data(), y.data(), size.columns, size.stride, size.channels, k.affine(),
                     false);
    results.insert(results.end(), y.span().begin(), y.span().end());
  }
  use_target("");
  return results;
}
TEST(ColumnsAcrossTargets, Avx2AndAvx512GiveTheSameBits) {
  const auto targets = available_targets();
  for (const std::string target : {"avx2", "avx512"}) {
    if (std::find(targets.begin(), targets.end(), target) == targets.end()) {
      GTEST_SKIP() << "this CPU has no " << target;
    }
  }
  EXPECT_EQ(all_results<float>("avx2"), all_results<float>("avx512"));
  EXPECT_EQ(all_results<double>("avx2"), all_results<double>("avx512"));
}

}  // namespace
}  // namespace evenrow::kernels
