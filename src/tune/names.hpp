// Names of the enumerations of comparisons.
#pragma once

#include "core/names.hpp"
#include "evenrow/compare.hpp"

namespace evenrow::core {

template <>
struct EnumNames<Vary> {
  static constexpr std::string_view kind = "varied option";
  static constexpr std::array<NamedValue<Vary>, 6> table{{
      {Vary::learning_rate, "lr"},
      {Vary::depth, "depth"},
      {Vary::batch_size, "batch-size"},
      {Vary::init_scale, "init-scale"},
      {Vary::input_scale, "input-scale"},
      {Vary::seed, "seed"},
  }};
};

}  // namespace evenrow::core
