// Names of the enumerations of models.
#pragma once

#include "core/names.hpp"
#include "evenrow/model.hpp"

namespace evenrow::core {

template <>
struct EnumNames<Task> {
  static constexpr std::string_view kind = "task";
  static constexpr std::array<NamedValue<Task>, 3> table{{
      {Task::automatic, "auto"},
      {Task::classification, "classification"},
      {Task::regression, "regression"},
  }};
};

}  // namespace evenrow::core
