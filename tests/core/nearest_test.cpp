#include "core/nearest.hpp"

#include <gtest/gtest.h>

#include <array>

namespace evenrow::core {
namespace {

constexpr std::array<std::string_view, 5> kNames{"learning_rate", "epochs", "batch_size", "norm",
                                                 "seed"};

TEST(Nearest, FindsTheNameThatWasMeant) {
  EXPECT_EQ(nearest_name("epoch", kNames), "epochs");
  EXPECT_EQ(nearest_name("EPOCHS", kNames), "epochs");
  EXPECT_EQ(nearest_name("batchsize", kNames), "batch_size");
  EXPECT_EQ(nearest_name("nrom", kNames), "norm");
  EXPECT_EQ(nearest_name("learning-rte", kNames), "learning_rate");
}

TEST(Nearest, DoesNotGuessWildly) {
  EXPECT_EQ(nearest_name("dropout", kNames), "");
  EXPECT_EQ(nearest_name("", kNames), "");
  EXPECT_EQ(nearest_name("x", kNames), "");
  EXPECT_EQ(nearest_name(std::string(100'000, 'e'), kNames), "");
}

TEST(Nearest, TheFirstOfEqualsWins) {
  constexpr std::array<std::string_view, 2> names{"c11", "c12"};
  EXPECT_EQ(nearest_name("c1", names), "c11");
  EXPECT_EQ(did_you_mean("c1", names), " (did you mean 'c11'?)");
  EXPECT_EQ(did_you_mean("norm", names), "");
}

}  // namespace
}  // namespace evenrow::core
