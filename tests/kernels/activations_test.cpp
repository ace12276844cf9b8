// Every activation function and derivative, on every target, against its formula in long double
// with the error that its parts may have; then every length, in place and misaligned, bit for bit.
#include "kernels/activations.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "kernel_cases.hpp"

namespace evenrow::kernels {
namespace {

using Real = long double;

class Activations : public EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Activations, ::testing::ValuesIn(available_targets()),
                         target_test_name);

constexpr Activation kAll[] = {Activation::none, Activation::relu, Activation::leaky_relu,
                               Activation::gelu, Activation::tanh, Activation::sigmoid};

std::string name(Activation activation) {
  constexpr const char* names[] = {"none", "relu", "leaky_relu", "gelu", "tanh", "sigmoid"};
  return names[static_cast<std::size_t>(activation)];
}

// One unit in the last place of numbers of T as large as `x`.
template <class T>
Real ulp(Real x) {
  if (std::abs(x) < std::numeric_limits<T>::min()) return std::numeric_limits<T>::denorm_min();
  return std::ldexp(Real{std::numeric_limits<T>::epsilon()}, std::ilogb(x));
}
template <class T>
constexpr Real kUnit = std::numeric_limits<T>::epsilon() / Real{2};  // one rounding, relative

// glibc's erfc and exp are within 5 ULP and 1 ULP (its manual, "Known Maximum Errors"): 10 and 2
// roundings.
constexpr Real kErfcRoundings = 10, kExpRoundings = 2;

Real distribution(Real u) {
  return std::erfc(-u * (std::numbers::sqrt2_v<Real> / 2)) / 2;
}
Real density(Real u) {
  return std::exp(-u * u / 2) * std::numbers::inv_sqrtpi_v<Real> / std::numbers::sqrt2_v<Real>;
}
Real logistic(Real u) {
  return u < 0 ? std::exp(u) / (1 + std::exp(u)) : 1 / (1 + std::exp(-u));
}

// Error of the normal distribution function as 0.5 * erfc(-u * c): the argument is off by two
// roundings, that of c and that of the product.
template <class T>
Real distribution_error(Real u) {
  return kUnit<T> * (kErfcRoundings * distribution(u) + 2 * std::abs(u) * density(u)) +
         std::numeric_limits<T>::denorm_min();
}

struct Expected {
  Real value;
  Real error;
};

template <class T>
Expected activation_of(Activation activation, T x) {
  const Real u = x;
  switch (activation) {
    case Activation::none:
      return {u, 0};
    case Activation::relu:
      return {std::max(u, Real{0}), 0};
    case Activation::leaky_relu: {  // the slope and the product are rounded
      const Real value = u > 0 ? u : Real{1} / 100 * u;
      return {value,
              u > 0 ? 0 : 2 * kUnit<T> * std::abs(value) + std::numeric_limits<T>::denorm_min()};
    }
    case Activation::gelu: {
      const Real value = u * distribution(u);
      return {value, std::abs(u) * distribution_error<T>(u) + kUnit<T> * std::abs(value) +
                         std::numeric_limits<T>::denorm_min()};
    }
    case Activation::tanh:
      return {std::tanh(u), 4 * ulp<T>(std::tanh(u))};
    case Activation::sigmoid:
      return {logistic(u), 4 * ulp<T>(logistic(u))};
  }
  return {};
}

// What the derivative kernel computes from the forward pass's u and a (of type T: exact here).
template <class T>
Expected gradient_of(Activation activation, T x, T y, T upstream) {
  const Real u = x, a = y, g = upstream, unit = kUnit<T>;
  switch (activation) {
    case Activation::none:
      return {g, 0};
    case Activation::relu:
      return {a > 0 ? g : 0, 0};
    case Activation::leaky_relu:
      return {a > 0 ? g : g / 100, a > 0 ? 0 : 2 * unit * std::abs(g / 100)};
    case Activation::gelu: {
      // The density's exponent is rounded once, its constant twice, then the product with it and
      // with u; last the sum, and the product with g. Far out exp and its product are so small that
      // they are rounded to a multiple of the smallest number.
      const Real slope = distribution(u) + u * density(u);
      const Real term = std::abs(u) * density(u) * (u * u / 2 + kExpRoundings + 4) * unit;
      const Real small = 2 * std::abs(u) * std::numeric_limits<T>::denorm_min();
      const Real error = distribution_error<T>(u) + term + small + unit * std::abs(slope);
      return {g * slope, std::abs(g) * (error + unit * (std::abs(slope) + error))};
    }
    case Activation::tanh: {  // a^2, the difference, the product
      const Real slope = 1 - a * a;
      return {g * slope, std::abs(g) * unit * (a * a + 2 * slope)};
    }
    case Activation::sigmoid:
      return {g * a * (1 - a), 3 * unit * std::abs(g * a * (1 - a))};
  }
  return {};
}

// Dense around 0, to where results stop changing, through all magnitudes, and at random.
template <class T>
std::vector<T> arguments() {
  std::vector<T> values;
  const double end = sizeof(T) == 4 ? 130 : 800;
  for (double u = -end; u <= end; u += end / 3200) values.push_back(static_cast<T>(u));
  for (double u = -6; u <= 6; u += 0x1p-9) values.push_back(static_cast<T>(u));
  for (T u = std::numeric_limits<T>::denorm_min(); std::isfinite(u); u *= T(1.37)) {
    values.push_back(u);
    values.push_back(-u);
    if (u < std::numeric_limits<T>::min()) u *= 2;  // 1.37 times the smallest is itself
  }
  const core::RandomStream stream(3, core::Purpose::test, 0);
  for (std::uint64_t i = 0; i < 4000; ++i) {
    values.push_back(static_cast<T>(stream.normal(i) * std::exp(3 * stream.normal(10000 + i))));
  }
  return values;
}

template <class T>
void follow_formulas() {
  const std::vector<T> u = arguments<T>();
  const auto n = static_cast<std::int64_t>(u.size());
  for (const Activation activation : kAll) {
    SCOPED_TRACE(name(activation));
    std::vector<T> a(u.size()), da(u.size()), du(u.size());
    fill_normal(std::span(da), 6);
    activate(activation, u.data(), a.data(), n);
    activation_gradient(activation, u.data(), a.data(), da.data(), du.data(), n);
    for (std::size_t i = 0; i < u.size(); ++i) {
      const Expected value = activation_of(activation, u[i]);
      // A hundredth for products of two errors.
      ASSERT_LE(std::abs(a[i] - value.value), Real{1.01} * value.error) << "u = " << u[i];
      const Expected slope = gradient_of(activation, u[i], a[i], da[i]);
      ASSERT_LE(std::abs(du[i] - slope.value),
                Real{1.01} * slope.error + 2 * Real{std::numeric_limits<T>::denorm_min()})
          << "u = " << u[i];
    }
  }
}
TEST_P(Activations, FollowTheirFormulasFloat) {
  follow_formulas<float>();
}
TEST_P(Activations, FollowTheirFormulasDouble) {
  follow_formulas<double>();
}

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// A value gives the same bits alone and anywhere in a row, in place and not, misaligned and not.
template <class T>
void every_length_in_place_and_misaligned() {
  for (const Activation activation : kAll) {
    for (const std::int64_t misaligned : {0, 1, 3}) {
      for (std::int64_t n = 0; n <= 70; ++n) {
        SCOPED_TRACE(name(activation) + " n=" + std::to_string(n));
        Buffer<T> u(n, misaligned), a(n, 0), da(n, misaligned), du(n, 0);
        fill_normal(u.span(), 1, 0, 2);
        fill_normal(da.span(), 2);
        Buffer<T> alone(n, 0), alone_gradient(n, 0);
        for (std::int64_t i = 0; i < n; ++i) {
          activate(activation, u.data() + i, alone.data() + i, 1);
          activation_gradient(activation, u.data() + i, alone.data() + i, da.data() + i,
                              alone_gradient.data() + i, 1);
        }
        activate(activation, u.data(), a.data(), n);
        EXPECT_TRUE(same_bits<T>(a.span(), alone.span()));
        activation_gradient(activation, u.data(), a.data(), da.data(), du.data(), n);
        EXPECT_TRUE(same_bits<T>(du.span(), alone_gradient.span()));

        activation_gradient(activation, u.data(), a.data(), da.data(), da.data(), n);
        EXPECT_TRUE(same_bits<T>(da.span(), du.span())) << "gradient in place";
        activate(activation, u.data(), u.data(), n);
        EXPECT_TRUE(same_bits<T>(u.span(), a.span())) << "in place";
        EXPECT_TRUE(a.untouched() && du.untouched() && u.untouched() && da.untouched());
      }
    }
  }
}
TEST_P(Activations, EveryLengthInPlaceAndMisaligned) {
  every_length_in_place_and_misaligned<float>();
  every_length_in_place_and_misaligned<double>();
}

template <class T>
T activated(Activation activation, T u) {
  activate(activation, &u, &u, 1);
  return u;
}

template <class T>
void limits() {
  const T infinity = std::numeric_limits<T>::infinity(), huge = std::numeric_limits<T>::max();
  for (const T far : {infinity, huge, T(1e30)}) {
    EXPECT_EQ(activated(Activation::none, -far), -far);
    EXPECT_EQ(activated(Activation::relu, far), far);
    EXPECT_EQ(activated(Activation::relu, -far), T{0});
    EXPECT_EQ(activated(Activation::leaky_relu, far), far);
    EXPECT_EQ(activated(Activation::leaky_relu, -far), -far * T(0.01));
    EXPECT_EQ(activated(Activation::gelu, far), far);
    EXPECT_EQ(activated(Activation::gelu, -far), T{0});
    EXPECT_EQ(activated(Activation::tanh, far), T{1});
    EXPECT_EQ(activated(Activation::tanh, -far), T{-1});
    EXPECT_EQ(activated(Activation::sigmoid, far), T{1});
    EXPECT_EQ(activated(Activation::sigmoid, -far), T{0});

    const auto slope = [](Activation activation, T u) {
      const T a = activated(activation, u), one = 1;
      T du = 0;
      activation_gradient(activation, &u, &a, &one, &du, 1);
      return du;
    };
    EXPECT_EQ(slope(Activation::relu, far), T{1});
    EXPECT_EQ(slope(Activation::leaky_relu, far), T{1});
    EXPECT_EQ(slope(Activation::leaky_relu, -far), T(0.01));
    EXPECT_EQ(slope(Activation::relu, -far), T{0});
    for (const Activation saturates : {Activation::gelu, Activation::tanh, Activation::sigmoid}) {
      EXPECT_EQ(slope(saturates, -far), T{0});
      EXPECT_EQ(slope(saturates, far), saturates == Activation::gelu ? T{1} : T{0});
    }
  }
}
TEST_P(Activations, Limits) {
  limits<float>();
  limits<double>();
}

template <class T>
void zeros() {
  for (const T zero : {T{0}, -T{0}}) {
    for (const Activation activation : kAll) {
      EXPECT_EQ(activated(activation, zero), activation == Activation::sigmoid ? T(0.5) : T{0});
    }
    // Odd functions keep the sign.
    EXPECT_EQ(std::signbit(activated(Activation::tanh, zero)), std::signbit(zero));
    EXPECT_EQ(std::signbit(activated(Activation::leaky_relu, zero)), std::signbit(zero));
  }
}
TEST_P(Activations, PositiveAndNegativeZero) {
  zeros<float>();
  zeros<double>();
}

// And touches no neighbour, wherever it stands in a vector.
template <class T>
void nan_stays_nan() {
  constexpr std::size_t n = 37;
  for (const Activation activation : kAll) {
    Buffer<T> u(n, 0), clean(n, 0), a(n, 0);
    fill_normal(u.span(), 4);
    activate(activation, u.data(), clean.data(), n);
    for (std::size_t bad = 0; bad < n; ++bad) {
      const T good = u[bad];
      u[bad] = std::numeric_limits<T>::quiet_NaN();
      activate(activation, u.data(), a.data(), n);
      EXPECT_TRUE(std::isnan(a[bad])) << name(activation) << " at " << bad;
      a[bad] = clean[bad];
      EXPECT_TRUE(same_bits<T>(a.span(), clean.span())) << name(activation);
      u[bad] = good;
    }
  }
}
TEST_P(Activations, NanStaysNanAndAlone) {
  nan_stays_nan<float>();
  nan_stays_nan<double>();
}

}  // namespace
}  // namespace evenrow::kernels
