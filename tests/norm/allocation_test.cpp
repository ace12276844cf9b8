// No allocation per call.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "norm_cases.hpp"
#include "support/allocations.hpp"

namespace evenrow {
namespace {

TEST(Allocation, IsCounted) {
  EXPECT_GT(allocations_of([] { std::vector<int> some(100); }), 0);
}

template <class T>
void expect_none_after_the_first_call(const NormShape& shape, bool masked, int threads) {
  NormCase<T> k(shape, 61);
  if (masked) k.mask = random_mask(shape.columns(), 62, 0.9);
  k.add_residual(66);
  std::vector<T> y(k.x.size()), dx(k.x.size()), dresidual(k.x.size());
  std::vector<NormParameter<T>> dgamma(k.gamma.size()), dbeta(k.gamma.size());
  const BatchNormTrain<T> train{.x = k.x,
                                .gamma = k.gamma,
                                .beta = k.beta,
                                .residual = k.residual,
                                .y = y,
                                .shape = shape,
                                .valid = k.valid()};
  const BatchNormBackward<T> backward{.x = k.x,
                                      .dy = k.dy,
                                      .gamma = k.gamma,
                                      .beta = k.beta,
                                      .dx = dx,
                                      .dresidual = dresidual,
                                      .dgamma = dgamma,
                                      .dbeta = dbeta,
                                      .valid = k.valid()};
  const NormOptions options{.activation = Activation::relu, .threads = threads};
  auto saved = batch_norm_train(train, options);
  batch_norm_backward(backward, saved, threads);
  RunningStatistics running(shape.channels);
  const auto infer = [&] {
    batch_norm_infer<T>({.x = k.x,
                         .gamma = k.gamma,
                         .beta = k.beta,
                         .residual = k.residual,
                         .mean = running.mean,
                         .variance = running.variance,
                         .y = y,
                         .shape = shape,
                         .valid = k.valid()},
                        options);
  };
  infer();  // each thread makes coefficients of its own
  const std::string where = std::to_string(shape.outer) + (masked ? " masked" : "");
  EXPECT_EQ(allocations_of([&] { batch_norm_train(train, options, saved); }), 0) << where;
  EXPECT_EQ(allocations_of([&] { batch_norm_backward(backward, saved, threads); }), 0) << where;
  EXPECT_EQ(allocations_of([&] { running.update(saved); }), 0) << where;
  EXPECT_EQ(allocations_of(infer), 0) << where;
  if (masked) {  // another mask of the same size, with more runs
    std::ranges::copy(random_mask(shape.columns(), 63, 0.5), k.mask.begin());  // `train` views it
    EXPECT_EQ(allocations_of([&] { batch_norm_train(train, options, saved); }), 0) << where;
  }
}

TEST(Allocation, NoneWhenSavedIsUsedAgain) {
  for (const NormShape& shape : {NormShape{1, 5, 1000}, NormShape{30, 5, 49}, NormShape{2000, 7, 1},
                                 NormShape{1, 2, 70000}, NormShape{1, 1, 2}}) {
    for (const bool masked : {false, true}) {
      if (masked && shape.columns() < 4) continue;
      expect_none_after_the_first_call<float>(shape, masked, 1);
      expect_none_after_the_first_call<double>(shape, masked, 1);
      expect_none_after_the_first_call<bfloat16>(shape, masked, 1);
      expect_none_after_the_first_call<float16>(shape, masked, 1);
    }
  }
}

TEST(Allocation, NoneWithThreadsEither) {
  expect_none_after_the_first_call<float>({1, 2, 70000}, false, 2);
  expect_none_after_the_first_call<float>({5000, 7, 1}, true, 2);
}

// Every calling thread has scratch memory of its own: calls at the same time do not meet.
TEST(Allocation, ScratchMemoryIsNotShared) {
  const NormCase<float> a({1, 2, 70000}, 64), b({3000, 9, 1}, 65);
  const auto expected_a = run(a), expected_b = run(b);
  bool same_a = false, same_b = false;
  std::thread first([&] { same_a = run(a) == expected_a; });
  std::thread second([&] { same_b = run(b) == expected_b; });
  first.join();
  second.join();
  EXPECT_TRUE(same_a && same_b);
}

}  // namespace
}  // namespace evenrow
