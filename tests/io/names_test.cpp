#include "io/names.hpp"

#include <gtest/gtest.h>

#include "data/names.hpp"
#include "nn/names.hpp"
#include "support/names.hpp"

namespace evenrow::core {
namespace {

TEST(Names, EveryEnumeratorHasOne) {
  expect_complete(Activation::sigmoid);
  expect_complete(Norm::batch);
  expect_complete(NormPlacement::before_linear);
  expect_complete(Initialization::xavier);
  expect_complete(LossKind::huber);
  expect_complete(Precision::bf16);
  expect_complete(Task::regression);
  expect_complete(ColumnKind::categorical);
}

TEST(Names, AreTheWordsOfTheCommandLine) {
  EXPECT_EQ(joined_names<Activation>(), "none, relu, leaky_relu, gelu, tanh, sigmoid");
  EXPECT_EQ(joined_names<NormPlacement>("|"), "before|after|before_linear");
  EXPECT_EQ(joined_names<Initialization>(), "auto, he, xavier");
  EXPECT_EQ(joined_names<LossKind>(), "cross_entropy, binary_cross_entropy, squared_error, huber");
  EXPECT_EQ(joined_names<Task>(), "auto, classification, regression");
}

TEST(Names, AValueOutsideTheEnumerationIsAnError) {
  try {
    (void)name_of(static_cast<Activation>(99));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_STREQ(error.what(), "activation: 99 is not one of its values");
  }
}

}  // namespace
}  // namespace evenrow::core
