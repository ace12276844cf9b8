// From statistics to the numbers that the loops apply: the one place for these formulas. All in
// double, many channels at a time; rounded to float only at the end.
#pragma once

#include <cstdint>

namespace evenrow::kernels {

/// One value of each field a channel: y = (x - center) * scale + shift. Here and below, from(c) is
/// what the channels from c on have.
template <class C>
struct ChannelAffine {
  C* center;
  C* scale;
  C* shift;

  ChannelAffine from(std::int64_t c) const noexcept { return {center + c, scale + c, shift + c}; }
};

/// One value of each field a channel: dx = a * (dy + b * (x - center) + c).
template <class C>
struct ChannelGradient {
  C* center;
  C* a;
  C* b;
  C* c;

  ChannelGradient from(std::int64_t i) const noexcept { return {center + i, a + i, b + i, c + i}; }
};

/// What a channel is normalized with: its mean, rstd = 1 / sqrt(variance + eps), and parameters
/// where they are not null (gamma 1, beta 0 where they are).
template <class C>
struct Normalization {
  const double* mean;
  const double* rstd;
  const C* gamma;
  const C* beta;

  Normalization from(std::int64_t c) const noexcept {
    return {mean + c, rstd + c, gamma == nullptr ? nullptr : gamma + c,
            beta == nullptr ? nullptr : beta + c};
  }
};

/// Whether every mean is finite, and every variance, too, and at least 0.
bool are_statistics(std::int64_t channels, const double* mean, const double* variance) noexcept;

/// 1 / sqrt(variance + eps). A row without any variance and eps = 0 has xhat = 0, so 0 here: then y
/// is beta and dx is 0, as with every other eps.
double inverse_deviation(double variance, double eps) noexcept;

/// That of some channels, to be written to `rstd`.
struct Deviations {
  const double* variance;
  double eps;
  double* rstd;

  Deviations from(std::int64_t c) const noexcept { return {variance + c, eps, rstd + c}; }
};

/// Training: centred always. The mean is rounded to C for `center`; what that loses goes into
/// `shift`, so that an offset costs no accuracy.
///   scale = gamma * rstd,  shift = beta - (mean - center) * scale
template <class C>
void train_coefficients(std::int64_t channels, const Normalization<C>& with,
                        const ChannelAffine<C>& k) noexcept;
/// The same, after with.rstd = deviations.rstd has been made.
template <class C>
void train_coefficients(std::int64_t channels, const Deviations& deviations,
                        const Normalization<C>& with, const ChannelAffine<C>& k) noexcept;

/// Inference: folded to x * scale + shift (center 0) unless |mean| is so large beside the standard
/// deviation 1 / rstd that shift = beta - mean * scale would cancel against x * scale: above a
/// ratio of 8 the folded form loses more than three bits, and the centred one is used. Makes
/// with.rstd = deviations.rstd first.
template <class C>
void infer_coefficients(std::int64_t channels, const Deviations& deviations,
                        const Normalization<C>& with, const ChannelAffine<C>& k) noexcept;

/// From dbeta = sum(dy) and dgamma = sum(dy * xhat), n being the sum of the weights:
///   a = gamma * rstd,  b = -dgamma * rstd / n,
///   c = -dbeta / n - b * (mean - center)
template <class C>
void gradient_coefficients(std::int64_t channels, const Normalization<C>& with, const double* dbeta,
                           const double* dgamma, double n, const ChannelGradient<C>& k) noexcept;

}  // namespace evenrow::kernels
