// EXPECT_THAT([&] { call(); }, ThrowsError(ErrorKind::usage, "part of the message"));
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "evenrow/error.hpp"

namespace evenrow {

inline auto ThrowsError(ErrorKind kind, const std::string& part) {
  return testing::Throws<Error>(
      testing::AllOf(testing::Property(&Error::kind, kind),
                     testing::Property(&Error::what, testing::HasSubstr(part))));
}

}  // namespace evenrow
