// Names of the enumerations of networks and losses.
#pragma once

#include "core/names.hpp"
#include "evenrow/network.hpp"
#include "evenrow/training_pass.hpp"

namespace evenrow::core {

template <>
struct EnumNames<Activation> {
  static constexpr std::string_view kind = "activation";
  static constexpr std::array<NamedValue<Activation>, 6> table{{
      {Activation::none, "none"},
      {Activation::relu, "relu"},
      {Activation::leaky_relu, "leaky_relu"},
      {Activation::gelu, "gelu"},
      {Activation::tanh, "tanh"},
      {Activation::sigmoid, "sigmoid"},
  }};
};

template <>
struct EnumNames<Norm> {
  static constexpr std::string_view kind = "normalization";
  static constexpr std::array<NamedValue<Norm>, 2> table{{
      {Norm::none, "none"},
      {Norm::batch, "batch"},
  }};
};

template <>
struct EnumNames<ParameterKind> {
  static constexpr std::string_view kind = "parameter";
  static constexpr std::array<NamedValue<ParameterKind>, 4> table{{
      {ParameterKind::weight, "weight"},
      {ParameterKind::bias, "bias"},
      {ParameterKind::gamma, "gamma"},
      {ParameterKind::beta, "beta"},
  }};
};

template <>
struct EnumNames<NormPlacement> {
  static constexpr std::string_view kind = "normalization placement";
  static constexpr std::array<NamedValue<NormPlacement>, 3> table{{
      {NormPlacement::before_activation, "before"},
      {NormPlacement::after_activation, "after"},
      {NormPlacement::before_linear, "before_linear"},
  }};
};

template <>
struct EnumNames<Initialization> {
  static constexpr std::string_view kind = "initialization";
  static constexpr std::array<NamedValue<Initialization>, 3> table{{
      {Initialization::automatic, "auto"},
      {Initialization::he, "he"},
      {Initialization::xavier, "xavier"},
  }};
};

template <>
struct EnumNames<Precision> {
  static constexpr std::string_view kind = "precision";
  static constexpr std::array<NamedValue<Precision>, 2> table{{
      {Precision::f32, "f32"},
      {Precision::bf16, "bf16"},
  }};
};

template <>
struct EnumNames<LossKind> {
  static constexpr std::string_view kind = "loss";
  static constexpr std::array<NamedValue<LossKind>, 4> table{{
      {LossKind::cross_entropy, "cross_entropy"},
      {LossKind::binary_cross_entropy, "binary_cross_entropy"},
      {LossKind::squared_error, "squared_error"},
      {LossKind::huber, "huber"},
  }};
};

}  // namespace evenrow::core
