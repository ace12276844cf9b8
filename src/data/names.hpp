// Names of the enumerations of data sets.
#pragma once

#include "core/names.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow::core {

template <>
struct EnumNames<ColumnKind> {
  static constexpr std::string_view kind = "column kind";
  static constexpr std::array<NamedValue<ColumnKind>, 2> table{{
      {ColumnKind::numeric, "numeric"},
      {ColumnKind::categorical, "categorical"},
  }};
};

}  // namespace evenrow::core
