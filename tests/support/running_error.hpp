// Numbers that carry a bound of their own rounding error: running error analysis (Wilkinson, 1963;
// Higham, Accuracy and Stability of Numerical Algorithms, section 3.3). A formula written with them
// gives what a computation in T should be, and how far the computation may be off.
#pragma once

#include <cmath>
#include <limits>

namespace evenrow {

/// `value` exactly (in long double), and the largest error that the computation so far can have
/// when every operation is rounded to T. Fused multiply-adds round once less: the bound holds too.
template <class T>
struct Bounded {
  static constexpr long double unit = std::numeric_limits<T>::epsilon() / 2.0L;
  static constexpr long double smallest = std::numeric_limits<T>::denorm_min();

  long double value = 0;
  long double error = 0;

  Bounded() = default;
  /// A number that is a T: exact.
  Bounded(T exact) : value(exact) {}  // NOLINT: as easily written as a number
  Bounded(long double v, long double e) : value(v), error(e) {}

  /// What an operation with this result and this error of its operands makes of it.
  static Bounded rounded(long double v, long double e) {
    return {v, e + unit * (std::abs(v) + e) + smallest};
  }
  /// `exact` rounded to T.
  static Bounded rounded(long double exact) { return rounded(exact, 0); }

  /// Whether a computed number is within the bound. A hundredth is added for the rounding of the
  /// bound and of `value`, which are in long double.
  bool holds(T computed) const {
    return std::abs(static_cast<long double>(computed) - value) <= 1.01L * error + smallest;
  }

  friend Bounded operator+(Bounded a, Bounded b) {
    return rounded(a.value + b.value, a.error + b.error);
  }
  friend Bounded operator-(Bounded a, Bounded b) {
    return rounded(a.value - b.value, a.error + b.error);
  }
  friend Bounded operator*(Bounded a, Bounded b) {
    return rounded(a.value * b.value,
                   std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error);
  }
  /// The divisor must be larger than its error.
  friend Bounded operator/(Bounded a, Bounded b) {
    const long double quotient = a.value / b.value;
    return rounded(quotient,
                   (a.error + std::abs(quotient) * b.error) / (std::abs(b.value) - b.error));
  }
  friend Bounded sqrt(Bounded a) {
    // |sqrt(x) - sqrt(y)| is |x - y| / (sqrt(x) + sqrt(y)), and at most sqrt(|x - y|).
    const long double root = std::sqrt(a.value);
    const long double error = a.error == 0 ? 0 : std::fmin(std::sqrt(a.error), a.error / root);
    return rounded(root, error);
  }
};

}  // namespace evenrow
