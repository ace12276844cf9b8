#include "train/names.hpp"

#include <gtest/gtest.h>

#include "support/names.hpp"

namespace evenrow::core {
namespace {

TEST(Names, EveryEnumeratorHasOne) {
  expect_complete(OptimizerKind::adamw);
  expect_complete(ScheduleKind::cosine);
  expect_complete(LastBatch::merge);
}

TEST(Names, AreTheWordsOfTheCommandLine) {
  EXPECT_EQ(joined_names<OptimizerKind>(), "sgd, momentum, nesterov, rmsprop, adam, adamw");
  EXPECT_EQ(joined_names<ScheduleKind>(), "constant, step, cosine");
  EXPECT_EQ(joined_names<LastBatch>(), "keep, drop, merge");
}

}  // namespace
}  // namespace evenrow::core
