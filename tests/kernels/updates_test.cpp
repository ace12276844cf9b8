// Every optimizer update, on every target, for every length up to several vectors, misaligned,
// against its formula with the rounding error that the formula may have.
#include "kernels/updates.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

#include "kernel_cases.hpp"
#include "support/running_error.hpp"

namespace evenrow::kernels {
namespace {

class Updates : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Updates, ::testing::ValuesIn(available_targets()),
                         target_test_name);

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// Parameter, gradient and moments of one update.
template <class T>
struct Values {
  T w, g, m, s;
};
template <class T>
struct Expected {
  Bounded<T> w, m, s;
};

template <class T>
struct Update {
  const char* name;
  // The kernel, over n values of w, g, m, s.
  std::function<void(T*, const T*, T*, T*, std::int64_t)> run;
  // Its formula; a moment that the method does not have stays as it is.
  std::function<Expected<T>(const Values<T>&)> formula;
};

template <class T>
Bounded<T> effective_gradient(const Values<T>& v, const UpdateGradient<T>& gradient) {
  return Bounded<T>(gradient.decay) * v.w + Bounded<T>(gradient.clip) * v.g;
}

template <class T>
std::vector<Update<T>> updates() {
  using B = Bounded<T>;
  std::vector<Update<T>> all;
  for (const UpdateGradient<T> gradient :
       {UpdateGradient<T>{}, UpdateGradient<T>{T(0.3), T(0.01)}}) {
    const T lr = T(0.05), mu = T(0.9), rho = T(0.99), eps = T(1e-8);
    all.push_back(
        {"sgd",
         [=](T* w, const T* g, T*, T*, std::int64_t n) { sgd_update(w, g, n, gradient, lr); },
         [=](const Values<T>& v) -> Expected<T> {
           return {B(v.w) - B(lr) * effective_gradient(v, gradient), v.m, v.s};
         }});
    for (const bool nesterov : {false, true}) {
      all.push_back({nesterov ? "nesterov" : "momentum",
                     [=](T* w, const T* g, T* m, T*, std::int64_t n) {
                       momentum_update(w, g, m, n, gradient, lr, mu, nesterov);
                     },
                     [=](const Values<T>& v) -> Expected<T> {
                       const B current = effective_gradient(v, gradient);
                       const B velocity = B(mu) * v.m + current;
                       const B step = nesterov ? current + B(mu) * velocity : velocity;
                       return {B(v.w) - B(lr) * step, velocity, v.s};
                     }});
    }
    all.push_back({"rmsprop",
                   [=](T* w, const T* g, T*, T* s, std::int64_t n) {
                     rmsprop_update(w, g, s, n, gradient, lr, rho, eps);
                   },
                   [=](const Values<T>& v) -> Expected<T> {
                     const B current = effective_gradient(v, gradient);
                     const B square = B(rho) * v.s + (B(T(1)) - rho) * (current * current);
                     return {B(v.w) - B(lr) * current / (sqrt(square) + eps), v.m, square};
                   }});
    const AdamCoefficients<T> k{.beta1 = T(0.9),
                                .one_minus_beta1 = T(0.1),
                                .beta2 = T(0.999),
                                .one_minus_beta2 = T(0.001),
                                .step = T(0.02),
                                .inverse_c2 = T(7.5),
                                .eps = eps,
                                .keep = T(0.998)};
    all.push_back({"adam",
                   [=](T* w, const T* g, T* m, T* s, std::int64_t n) {
                     adam_update(w, g, m, s, n, gradient, k);
                   },
                   [=](const Values<T>& v) -> Expected<T> {
                     const B current = effective_gradient(v, gradient);
                     const B mean = B(k.beta1) * v.m + B(k.one_minus_beta1) * current;
                     const B square = B(k.beta2) * v.s + B(k.one_minus_beta2) * (current * current);
                     const B step = B(k.step) * mean / (sqrt(square) * k.inverse_c2 + k.eps);
                     return {B(k.keep) * v.w - step, mean, square};
                   }});
  }
  return all;
}

template <class T>
struct Buffers {
  Buffer<T> w, g, m, s;
  Buffers(std::int64_t n, std::int64_t misaligned)
      : w(n, misaligned), g(n, misaligned), m(n, misaligned), s(n, misaligned) {
    fill_normal(w.span(), 1);
    fill_normal(g.span(), 2, 0, 0.1);
    fill_normal(m.span(), 3, 0, 0.1);
    fill_normal(s.span(), 4, 0, 0.1);
    for (T& value : s.span()) value *= value;
    // No gradient and no moments yet: 0 / eps.
    if (n > 5) g[5] = m[5] = s[5] = 0;
  }
  Values<T> at(std::size_t i) const { return {w[i], g[i], m[i], s[i]}; }
};

template <class T>
void follow_formulas() {
  for (const Update<T>& update : updates<T>()) {
    for (const std::int64_t misaligned : {0, 1, 3}) {
      for (std::int64_t n = 0; n <= 70; ++n) {
        SCOPED_TRACE(std::string(update.name) + " n=" + std::to_string(n));
        const Buffers<T> before(n, misaligned);
        Buffers<T> after = before;
        update.run(after.w.data(), after.g.data(), after.m.data(), after.s.data(), n);
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
          const Expected<T> expected = update.formula(before.at(i));
          ASSERT_TRUE(expected.w.holds(after.w[i])) << i << ": " << after.w[i];
          ASSERT_TRUE(expected.m.holds(after.m[i])) << i << ": " << after.m[i];
          ASSERT_TRUE(expected.s.holds(after.s[i])) << i << ": " << after.s[i];
        }
        EXPECT_TRUE(after.w.untouched() && after.m.untouched() && after.s.untouched());
        EXPECT_TRUE(same_bits<T>(after.g.span(), before.g.span()));
      }
    }
  }
}
TEST_P(Updates, FollowTheirFormulasFloat) {
  follow_formulas<float>();
}
TEST_P(Updates, FollowTheirFormulasDouble) {
  follow_formulas<double>();
}

// A parameter's update does not depend on its neighbours: blocks of any size give the same bits.
template <class T>
void does_not_depend_on_neighbours() {
  constexpr std::int64_t n = 70;
  for (const Update<T>& update : updates<T>()) {
    Buffers<T> together(n, 0), alone(n, 0);
    update.run(together.w.data(), together.g.data(), together.m.data(), together.s.data(), n);
    for (std::int64_t i = 0; i < n; ++i) {
      update.run(alone.w.data() + i, alone.g.data() + i, alone.m.data() + i, alone.s.data() + i, 1);
    }
    EXPECT_TRUE(same_bits<T>(together.w.span(), alone.w.span())) << update.name;
    EXPECT_TRUE(same_bits<T>(together.m.span(), alone.m.span())) << update.name;
    EXPECT_TRUE(same_bits<T>(together.s.span(), alone.s.span())) << update.name;
  }
}
TEST_P(Updates, DoNotDependOnNeighbours) {
  does_not_depend_on_neighbours<float>();
  does_not_depend_on_neighbours<double>();
}

// Sixteen sums of n / 16 squares, then four levels of additions; a square is rounded once (in
// float not at all: 24 + 24 bits fit in a double).
template <class T>
void sums_squares() {
  for (const std::int64_t n : awkward_sizes()) {
    for (const std::int64_t misaligned : {0, 1, 3}) {
      Buffer<T> x(n, misaligned);
      fill_normal(x.span(), static_cast<std::uint64_t>(n), 0.5, 3);
      long double exact = 0;
      for (const T value : x.span()) exact += static_cast<long double>(value) * value;
      const auto depth = static_cast<long double>((n + 15) / 16 + 4 + 1);
      EXPECT_LE(std::abs(sum_of_squares(x.data(), n) - exact), 1.01L * depth * 0x1p-53L * exact)
          << n;
    }
  }
}
TEST_P(Updates, SumOfSquares) {
  sums_squares<float>();
  sums_squares<double>();
}

TEST_P(Updates, SumOfSquaresHasTheSameBitsOnEveryTarget) {
  Buffer<float> x(1021, 1);
  Buffer<double> y(1021, 1);
  fill_normal(x.span(), 8);
  fill_normal(y.span(), 9);
  const double floats = sum_of_squares(x.data(), 1021);
  const double doubles = sum_of_squares(y.data(), 1021);
  ASSERT_TRUE(use_target(""));
  EXPECT_EQ(floats, sum_of_squares(x.data(), 1021));
  EXPECT_EQ(doubles, sum_of_squares(y.data(), 1021));
}

TEST_P(Updates, SumOfSquaresOfHugeInfiniteAndMissingNumbers) {
  constexpr float huge = std::numeric_limits<float>::max();
  Buffer<float> x(37, 0);
  for (float& value : x.span()) value = huge;
  const double square = static_cast<double>(huge) * huge;
  EXPECT_NEAR(sum_of_squares(x.data(), 37), 37 * square, 8 * 0x1p-53 * 37 * square);
  for (std::size_t at = 0; at < 37; ++at) {
    x[at] = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(std::isinf(sum_of_squares(x.data(), 37))) << at;
    x[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(sum_of_squares(x.data(), 37))) << at;
    x[at] = huge;
  }
}

}  // namespace
}  // namespace evenrow::kernels
