// From statistics to the numbers that the kernels apply: the one place for these formulas, shared
// by the operator and by the dense blocks of src/nn. All in double; rounded to T only at the end.
#pragma once

#include <cmath>

namespace evenrow::norm {

/// 1 / sqrt(variance + eps). A row without any variance and eps = 0 has xhat = 0, so 0 here: then y
/// is beta and dx is 0, as with every other eps.
inline double inverse_deviation(double variance, double eps) noexcept {
  const double square = variance + eps;
  return square == 0.0 ? 0.0 : 1.0 / std::sqrt(square);
}

/// y = (x - center) * scale + shift.
template <class T>
struct ForwardCoefficients {
  T center, scale, shift;
};

/// Training: centred always. The mean is rounded to T for `center`; what that loses goes into
/// `shift`, so that an offset costs no accuracy.
template <class T>
ForwardCoefficients<T> train_coefficients(double mean, double biased_variance, double eps,
                                          double gamma, double beta) noexcept {
  const double scale = gamma * inverse_deviation(biased_variance, eps);
  const T center = static_cast<T>(mean);
  return {center, static_cast<T>(scale),
          static_cast<T>(beta - (mean - static_cast<double>(center)) * scale)};
}

/// Inference: folded to x * scale + shift (center 0) unless |mean| is so large beside the standard
/// deviation that shift = beta - mean * scale would cancel against x * scale: above a ratio of 8
/// the folded form loses more than three bits, and the centred one is used.
template <class T>
ForwardCoefficients<T> infer_coefficients(double mean, double variance, double eps, double gamma,
                                          double beta) noexcept {
  const double deviation = std::sqrt(variance + eps);
  if (!(std::abs(mean) <= 8.0 * deviation)) {
    return train_coefficients<T>(mean, variance, eps, gamma, beta);
  }
  const double scale = gamma * inverse_deviation(variance, eps);
  return {T{0}, static_cast<T>(scale), static_cast<T>(beta - mean * scale)};
}

/// dx = a * (dy + b * (x - center) + c), from dbeta = sum(dy), dgamma = sum(dy * xhat) over n
/// columns.
template <class T>
struct BackwardCoefficients {
  T center, a, b, c;
};
template <class T>
BackwardCoefficients<T> backward_coefficients(double mean, double biased_variance, double eps,
                                              double gamma, double dgamma, double dbeta,
                                              double n) noexcept {
  const double rstd = inverse_deviation(biased_variance, eps);
  const T center = static_cast<T>(mean);
  const double b = -rstd * dgamma / n;
  const double c = -dbeta / n - b * (mean - static_cast<double>(center));
  return {center, static_cast<T>(gamma * rstd), static_cast<T>(b), static_cast<T>(c)};
}

}  // namespace evenrow::norm
