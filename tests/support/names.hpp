// Checks the name table of an enumeration.
#pragma once

#include <gtest/gtest.h>

#include "core/names.hpp"

namespace evenrow::core {

// Every enumerator from the first to `last` has a name of its own, and the name leads back to it.
template <class E>
void expect_complete(E last) {
  const auto all = names<E>();
  ASSERT_EQ(all.size(), static_cast<std::size_t>(last) + 1) << EnumNames<E>::kind;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto value = static_cast<E>(i);
    EXPECT_EQ(name_of(value), all[i]);
    EXPECT_EQ(parse_name<E>(all[i]), value);
  }
  EXPECT_EQ(parse_name<E>("no such name"), std::nullopt);
}

}  // namespace evenrow::core
