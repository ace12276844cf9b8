// Activation functions and their derivatives over contiguous values. No allocation, no threads.
#pragma once

#include <cstdint>

#include "evenrow/activation.hpp"

namespace evenrow::kernels {

/// a[i] = act(u[i]); a may be u. NaN stays NaN, an infinite u gives the limit. tanh and sigmoid
/// within 4 ULP (Highway's math); gelu with a relative error below (u^2 + 7) epsilon: that of erfc,
/// and what a rounded argument does to it.
template <class T>
void activate(Activation activation, const T* u, T* a, std::int64_t n) noexcept;

/// du[i] = da[i] * act'(u[i]); du may be da. What each activation reads of the forward pass: its
/// output a for relu, leaky_relu, tanh and sigmoid; its input u for gelu; the other may be null.
template <class T>
void activation_gradient(Activation activation, const T* u, const T* a, const T* da, T* du,
                         std::int64_t n) noexcept;

}  // namespace evenrow::kernels
