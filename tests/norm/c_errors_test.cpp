// What only a caller in C can get wrong, every status, and whose the last error is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <barrier>
#include <fstream>
#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "c_arguments.hpp"
#include "core/fail.hpp"
#include "norm/c_status.hpp"

namespace evenrow {
namespace {

using c::Handle;
using c::RunningHandle;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Arguments that are right: two channels, four rows.
struct Arguments {
  std::vector<float> x{1, 10, 2, 20, 3, 30, 4, 40}, dy = x, residual = x;
  std::vector<float> y = x, dx = x, dresidual = x;
  std::vector<float> gamma{1, 2}, beta{0, 1}, dgamma = gamma, dbeta = beta;
  std::vector<double> mean{2, 20}, variance{1, 100};
  std::vector<std::uint8_t> mask{1, 1, 1, 1};
  std::vector<std::int64_t> lengths{4};
  std::vector<float> weights{1, 1, 1, 1};
  NormShape shape = NormShape::row_major(4, 2);

  evenrow_train_tensors train() {
    return c::train<float>({.x = x, .gamma = gamma, .beta = beta, .y = y, .shape = shape});
  }
  evenrow_infer_tensors infer() {
    return c::infer<float>({.x = x, .mean = mean, .variance = variance, .y = y, .shape = shape});
  }
  evenrow_backward_tensors backward() {
    return c::backward<float>({.x = x, .dy = dy, .gamma = gamma, .beta = beta, .dx = dx});
  }
  evenrow_validity every_validity() const {
    return c::validity({.mask = mask, .lengths = lengths, .weights = weights});
  }
};

void expect_usage(evenrow_status status, const std::string& message) {
  EXPECT_EQ(status, EVENROW_USAGE) << message;
  EXPECT_EQ(evenrow_last_error(), message);
}

// A buffer among the arguments.
struct Slot {
  std::string name;
  std::function<void(std::uintptr_t)> point_to;
  std::uintptr_t address;
  std::int64_t* count;
  std::size_t alignment;
};
template <class P>
Slot slot(const std::string& name, P*& pointer, std::int64_t& count, std::size_t alignment) {
  return {name, [&pointer](std::uintptr_t to) { pointer = reinterpret_cast<P*>(to); },
          reinterpret_cast<std::uintptr_t>(pointer), &count, alignment};
}
template <class Tensors>
std::vector<Slot> shared_slots(Tensors& t) {
  evenrow_validity& v = t.valid;
  return {slot("x", t.x.values, t.x.count, 4),
          slot("gamma", t.gamma, t.gamma_count, 4),
          slot("beta", t.beta, t.beta_count, 4),
          slot("valid.mask", v.mask, v.mask_count, 1),
          slot("valid.lengths", v.lengths, v.lengths_count, 8),
          slot("valid.weights", v.weights, v.weights_count, 4)};
}

template <class Call>
void expect_slots_checked(const std::string& function, const std::vector<Slot>& slots,
                          const Call& call) {
  for (const Slot& s : slots) {
    const std::int64_t count = *s.count;
    const std::string begin = function + ": " + s.name;
    s.point_to(0);
    expect_usage(call(), begin + " is NULL, expected a buffer of " + std::to_string(count) +
                             " values, which is its count");
    s.point_to(s.address);
    *s.count = -1;
    expect_usage(call(), begin + " has a count of -1, expected 0 or more");
    *s.count = std::numeric_limits<std::int64_t>::max() / 4;
    expect_usage(call(),
                 begin + " has a count of 2305843009213693951, more values than any memory holds");
    *s.count = 0;
    expect_usage(call(), begin +
                             " is a buffer with a count of 0; give the number of its values, "
                             "or NULL for none");
    *s.count = count;
    if (s.alignment > 1) {
      s.point_to(s.address + 1);
      expect_usage(call(), begin + " is at an address that is not a multiple of " +
                               std::to_string(s.alignment) +
                               ", the alignment of its values; copy it to memory of their type");
      s.point_to(s.address);
    }
  }
}

TEST(CErrors, EveryBufferOfTraining) {
  Arguments a;
  auto t = a.train();
  t.residual = {a.residual.data(), 8, 0, 0};
  t.valid = a.every_validity();
  const Handle saved;
  auto slots = shared_slots(t);
  slots.push_back(slot("y", t.y.values, t.y.count, 4));
  slots.push_back(slot("residual", t.residual.values, t.residual.count, 4));
  expect_slots_checked("evenrow_batch_norm_train", slots,
                       [&] { return evenrow_batch_norm_train(&t, nullptr, saved.get()); });
}

TEST(CErrors, EveryBufferOfInference) {
  Arguments a;
  auto t = a.infer();
  t.gamma = a.gamma.data(), t.gamma_count = 2;
  t.beta = a.beta.data(), t.beta_count = 2;
  t.residual = {a.residual.data(), 8, 0, 0};
  t.valid = a.every_validity();
  auto slots = shared_slots(t);
  slots.push_back(slot("y", t.y.values, t.y.count, 4));
  slots.push_back(slot("residual", t.residual.values, t.residual.count, 4));
  slots.push_back(slot("mean", t.mean, t.mean_count, 8));
  slots.push_back(slot("variance", t.variance, t.variance_count, 8));
  expect_slots_checked("evenrow_batch_norm_infer", slots,
                       [&] { return evenrow_batch_norm_infer(&t, nullptr); });
}

TEST(CErrors, EveryBufferOfTheBackwardPass) {
  Arguments a;
  const Handle saved;
  const auto train = a.train();
  ASSERT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_OK);
  auto t = a.backward();
  t.dresidual = {a.dresidual.data(), 8, 0, 0};
  t.dgamma = a.dgamma.data(), t.dgamma_count = 2;
  t.dbeta = a.dbeta.data(), t.dbeta_count = 2;
  t.valid = a.every_validity();
  auto slots = shared_slots(t);
  slots.push_back(slot("dy", t.dy.values, t.dy.count, 4));
  slots.push_back(slot("dx", t.dx.values, t.dx.count, 4));
  slots.push_back(slot("dresidual", t.dresidual.values, t.dresidual.count, 4));
  slots.push_back(slot("dgamma", t.dgamma, t.dgamma_count, 4));
  slots.push_back(slot("dbeta", t.dbeta, t.dbeta_count, 4));
  expect_slots_checked("evenrow_batch_norm_backward", slots,
                       [&] { return evenrow_batch_norm_backward(&t, saved.get(), 0); });
}

TEST(CErrors, EveryArgumentThatIsNull) {
  Arguments a;
  const auto train = a.train();
  const auto backward = a.backward();
  const Handle saved;
  const RunningHandle running(2, 0.1);
  ASSERT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_OK);
  evenrow_batch_statistics statistics{};
  evenrow_running_values values{};

  expect_usage(evenrow_batch_norm_train(nullptr, nullptr, saved.get()),
               "evenrow_batch_norm_train: tensors is NULL");
  expect_usage(evenrow_batch_norm_train(&train, nullptr, nullptr),
               "evenrow_batch_norm_train: saved is NULL");
  expect_usage(evenrow_batch_norm_backward(nullptr, saved.get(), 0),
               "evenrow_batch_norm_backward: tensors is NULL");
  expect_usage(evenrow_batch_norm_backward(&backward, nullptr, 0),
               "evenrow_batch_norm_backward: saved is NULL");
  expect_usage(evenrow_batch_norm_infer(nullptr, nullptr),
               "evenrow_batch_norm_infer: tensors is NULL");
  expect_usage(evenrow_saved_create(nullptr), "evenrow_saved_create: saved is NULL");
  expect_usage(evenrow_saved_statistics(nullptr, &statistics),
               "evenrow_saved_statistics: saved is NULL");
  expect_usage(evenrow_saved_statistics(saved.get(), nullptr),
               "evenrow_saved_statistics: statistics is NULL");
  expect_usage(evenrow_running_create(2, 0.1, nullptr), "evenrow_running_create: running is NULL");
  expect_usage(evenrow_running_update(nullptr, saved.get()),
               "evenrow_running_update: running is NULL");
  expect_usage(evenrow_running_update(running.get(), nullptr),
               "evenrow_running_update: saved is NULL");
  expect_usage(evenrow_running_get(nullptr, &values), "evenrow_running_get: running is NULL");
  expect_usage(evenrow_running_get(running.get(), nullptr), "evenrow_running_get: values is NULL");
  evenrow_saved_destroy(nullptr);
  evenrow_running_destroy(nullptr);
}

TEST(CErrors, ASavedWithoutAForwardPass) {
  Arguments a;
  const auto backward = a.backward();
  const Handle saved;
  const RunningHandle running(2, 0.1);
  evenrow_batch_statistics statistics{};
  const std::string rest = ": saved is of no forward pass yet; give it to evenrow_batch_norm_train";
  const auto expect_refused = [&] {
    expect_usage(evenrow_batch_norm_backward(&backward, saved.get(), 0),
                 "evenrow_batch_norm_backward" + rest);
    expect_usage(evenrow_saved_statistics(saved.get(), &statistics),
                 "evenrow_saved_statistics" + rest);
    expect_usage(evenrow_running_update(running.get(), saved.get()),
                 "evenrow_running_update" + rest);
  };
  expect_refused();
  auto train = a.train();
  train.x.count = 7;
  EXPECT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_USAGE);
  expect_refused();
}

TEST(CErrors, ATrainingThatIsRefusedLeavesSavedAndBuffersAsTheyWere) {
  Arguments a;
  auto train = a.train();
  const Handle saved;
  ASSERT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_OK);
  const std::vector<float> y = a.y;
  train.shape.outer = 5;
  EXPECT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_USAGE);
  EXPECT_EQ(a.y, y);
  evenrow_batch_statistics statistics{};
  ASSERT_EQ(evenrow_saved_statistics(saved.get(), &statistics), EVENROW_OK);
  EXPECT_EQ(statistics.count, 4);
  EXPECT_EQ(statistics.mean[1], 25);
}

TEST(CErrors, UnknownTypesAmongThemOneThatWasForgotten) {
  Arguments a;
  auto train = a.train();
  auto infer = a.infer();
  auto backward = a.backward();
  const Handle saved;
  ASSERT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_OK);
  for (const evenrow_type type : {0, 5, -1, std::numeric_limits<evenrow_type>::max()}) {
    train.type = infer.type = backward.type = type;
    const std::string rest = ": type is number " + std::to_string(type) +
                             ", expected EVENROW_F32 (1), EVENROW_F64 (2), EVENROW_BF16 (3) or "
                             "EVENROW_F16 (4)";
    expect_usage(evenrow_batch_norm_train(&train, nullptr, saved.get()),
                 "evenrow_batch_norm_train" + rest);
    expect_usage(evenrow_batch_norm_infer(&infer, nullptr), "evenrow_batch_norm_infer" + rest);
    expect_usage(evenrow_batch_norm_backward(&backward, saved.get(), 0),
                 "evenrow_batch_norm_backward" + rest);
  }
}

// An empty tensor of another language has an address as a rule.
TEST(CErrors, AnEmptyTensorMayHaveAnAddress) {
  Arguments a;
  auto train = a.train();
  train.shape.outer = 0;
  train.x.count = train.y.count = 0;
  train.residual.values = a.residual.data();
  const Handle saved;
  EXPECT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_OK)
      << evenrow_last_error();
}

TEST(CErrors, ANegativeNumberOfChannels) {
  evenrow_running* running = nullptr;
  expect_usage(evenrow_running_create(-2, 0.1, &running),
               "evenrow_running_create: channels is -2, expected 0 or more");
  EXPECT_EQ(running, nullptr);
}

TEST(CStatus, OfEveryException) {
  const auto expect = [](const auto& call, evenrow_status status, const std::string& message) {
    EXPECT_EQ(norm::guarded(call), status) << message;
    EXPECT_THAT(evenrow_last_error(), HasSubstr(message));
  };
  using core::fail;
  expect([] { fail(ErrorKind::usage, "a usage"); }, EVENROW_USAGE, "a usage");
  expect([] { fail(ErrorKind::data, "a data"); }, EVENROW_DATA, "a data");
  expect([] { fail(ErrorKind::io, "an io"); }, EVENROW_IO, "an io");
  expect([] { fail(ErrorKind::training, "a training"); }, EVENROW_TRAINING, "a training");
  expect([] { fail(static_cast<ErrorKind>(99), "a new"); }, EVENROW_INTERNAL, "a new");
  expect([] { throw std::bad_alloc(); }, EVENROW_OUT_OF_MEMORY, "out of memory");
  expect([] { throw std::length_error("vector"); }, EVENROW_OUT_OF_MEMORY, "out of memory");
  expect([] { throw std::logic_error("a mistake"); }, EVENROW_INTERNAL, "a mistake");
  expect([] { throw 7; }, EVENROW_INTERNAL, "an exception of an unknown type");
  EXPECT_EQ(norm::guarded([] {}), EVENROW_OK);
}

// The sanitizers end a process that asks for more memory than there is.
#if !EVENROW_SANITIZED
TEST(CStatus, MoreMemoryThanThereIs) {
  evenrow_running* running = nullptr;
  for (const std::int64_t channels : {std::int64_t{1} << 59, std::int64_t{1} << 62}) {
    EXPECT_EQ(evenrow_running_create(channels, 0.1, &running), EVENROW_OUT_OF_MEMORY);
    EXPECT_THAT(evenrow_last_error(), StartsWith("out of memory"));
    EXPECT_EQ(running, nullptr);
  }
}

// In a process of its own: exits with 0 if a forward pass for which memory ran out half way left
// nothing of the one before it.
void train_without_memory() {
  constexpr std::int64_t channels = 4'000'000;
  std::vector<std::uint16_t> x(2 * channels, 0x3f80), dx(x.size());
  Arguments a;
  const auto small = a.train();
  const Handle saved;
  if (evenrow_batch_norm_train(&small, nullptr, saved.get()) != EVENROW_OK) std::_Exit(100);
  evenrow_train_tensors large{};
  large.type = EVENROW_BF16;
  large.shape = {2, channels, 1};
  large.x = {x.data(), 2 * channels, 0, 0};
  large.y = {dx.data(), 2 * channels, 0, 0};
  // One vector of a double a channel fits, two do not.
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const auto used = static_cast<rlim_t>(pages) * 4096;
  const rlimit limit{used + 12 * channels, used + 12 * channels};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(101);
  if (evenrow_batch_norm_train(&large, nullptr, saved.get()) != EVENROW_OUT_OF_MEMORY) {
    std::_Exit(102);
  }
  evenrow_batch_statistics statistics{};
  const evenrow_status status = evenrow_saved_statistics(saved.get(), &statistics);
  const std::string_view message = evenrow_last_error();
  const bool empty = message.find("is of no forward pass yet") != std::string_view::npos;
  std::_Exit(status == EVENROW_USAGE && empty ? 0 : 103);
}

TEST(CStatusDeathTest, SavedIsEmptyWhenMemoryRanOutInTraining) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(train_without_memory(), ::testing::ExitedWithCode(0), "");
}
#endif

TEST(CLastError, IsOfEachThreadAlone) {
  Arguments a;
  auto refused = a.train();
  refused.type = 0;
  const Handle saved;
  EXPECT_EQ(evenrow_batch_norm_train(&refused, nullptr, saved.get()), EVENROW_USAGE);
  const std::string mine = evenrow_last_error();

  constexpr int kThreads = 8;
  std::vector<std::string> first(kThreads), last(kThreads);
  std::barrier all(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const auto at = static_cast<std::size_t>(i);
      Arguments own;
      const Handle own_saved;
      auto t = own.train();
      first[at] = evenrow_last_error();
      for (int repeat = 0; repeat < 50; ++repeat) {
        t.x.count = 100 + i;
        EXPECT_EQ(evenrow_batch_norm_train(&t, nullptr, own_saved.get()), EVENROW_USAGE);
        t.x.count = 8;
        EXPECT_EQ(evenrow_batch_norm_train(&t, nullptr, own_saved.get()), EVENROW_OK);
      }
      all.arrive_and_wait();  // every thread has failed before one looks
      last[at] = evenrow_last_error();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_EQ(first[static_cast<std::size_t>(i)], "");
    EXPECT_THAT(last[static_cast<std::size_t>(i)],
                StartsWith("batch_norm_train: x has " + std::to_string(100 + i) + " values"));
  }
  EXPECT_EQ(evenrow_last_error(), mine);
}

TEST(CVersion, IsThreeNumbers) {
  EXPECT_THAT(evenrow_version(), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace evenrow
