// The activation functions of dense blocks.
#pragma once

namespace evenrow {

/// none: u;  relu: max(u, 0);  leaky_relu: u > 0 ? u : 0.01 u;  gelu: u * Phi(u), with the exact
/// normal distribution function (Hendrycks and Gimpel, 2016);  tanh;  sigmoid: 1 / (1 + exp(-u)).
enum class Activation { none, relu, leaky_relu, gelu, tanh, sigmoid };

}  // namespace evenrow
