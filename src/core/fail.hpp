// fail(kind, format, args...): the one way the library reports a mistake.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "evenrow/error.hpp"

namespace evenrow::core {

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace evenrow::core
