// Names of the enumerations of optimizers and training runs.
#pragma once

#include "core/names.hpp"
#include "evenrow/optimizer.hpp"
#include "evenrow/train.hpp"

namespace evenrow::core {

template <>
struct EnumNames<OptimizerKind> {
  static constexpr std::string_view kind = "optimizer";
  static constexpr std::array<NamedValue<OptimizerKind>, 6> table{{
      {OptimizerKind::sgd, "sgd"},
      {OptimizerKind::momentum, "momentum"},
      {OptimizerKind::nesterov, "nesterov"},
      {OptimizerKind::rmsprop, "rmsprop"},
      {OptimizerKind::adam, "adam"},
      {OptimizerKind::adamw, "adamw"},
  }};
};

template <>
struct EnumNames<ScheduleKind> {
  static constexpr std::string_view kind = "learning-rate schedule";
  static constexpr std::array<NamedValue<ScheduleKind>, 3> table{{
      {ScheduleKind::constant, "constant"},
      {ScheduleKind::step, "step"},
      {ScheduleKind::cosine, "cosine"},
  }};
};

template <>
struct EnumNames<LastBatch> {
  static constexpr std::string_view kind = "handling of the last mini-batch";
  static constexpr std::array<NamedValue<LastBatch>, 3> table{{
      {LastBatch::keep, "keep"},
      {LastBatch::drop, "drop"},
      {LastBatch::merge, "merge"},
  }};
};

}  // namespace evenrow::core
