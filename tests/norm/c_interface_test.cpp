// The C interface gives the bits and the messages of the C++ operator.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "c_arguments.hpp"
#include "evenrow/error.hpp"
#include "support/elements.hpp"

namespace evenrow {
namespace {

using c::Handle;
using c::RunningHandle;

// One combination of what the operator takes.
struct Variant {
  std::string name;
  NormShape shape{3, 5, 7};
  bool parameters = true;
  bool residual = false;
  bool relu = false;
  NormStrides strides{};
  std::vector<std::uint8_t> mask{};
  std::vector<std::int64_t> lengths{};
  std::vector<float> weights{};
  int threads = 1;
  bool in_place = false;
};

std::vector<Variant> variants() {
  const std::vector<std::uint8_t> mask = {1, 0, 1, 1, 0, 1, 9, 1, 1, 0, 1,
                                          1, 0, 1, 1, 0, 1, 1, 0, 1, 1};
  std::vector<float> weights(21, 0.5f);
  weights[4] = 0, weights[9] = 2.25f;
  return {{.name = "plain"},
          {.name = "channels last", .shape = {40, 6, 1}},
          {.name = "feature-major", .shape = {1, 4, 300}},
          {.name = "without parameters", .parameters = false},
          {.name = "residual and relu", .residual = true, .relu = true},
          {.name = "relu alone", .relu = true},
          {.name = "strides", .residual = true, .strides = {60, 11}},
          {.name = "channels last with a stride", .shape = {9, 5, 1}, .strides = {8, 1}},
          {.name = "mask", .residual = true, .relu = true, .mask = mask},
          {.name = "lengths", .lengths = {7, 0, 4}},
          {.name = "weights", .relu = true, .weights = weights},
          {.name = "all padding", .lengths = {0, 0, 0}},
          {.name = "no values", .shape = {0, 5, 7}},
          {.name = "in place", .residual = true, .in_place = true},
          {.name = "threads", .shape = {8, 16, 600}, .threads = 3}};
}

template <class T>
std::vector<T> numbers(std::int64_t count, int seed) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto mixed = (i * 7919 + static_cast<std::size_t>(seed) * 104729) % 1009;
    values[i] = rounded<T>(static_cast<double>(mixed) / 251.0 - 1.75);
  }
  return values;
}

// The arguments of all three functions, for C++; those for C are made from them.
template <class T>
struct Case {
  using C = NormParameter<T>;
  Variant v;
  std::int64_t reach = 0;
  std::vector<T> x, dy, residual, y, dx, dresidual;
  std::vector<C> gamma, beta, dgamma, dbeta;
  std::vector<double> mean, variance;
  NormOptions options{};

  explicit Case(Variant variant) : v(std::move(variant)) {
    const NormShape& s = v.shape;
    reach = v.strides == NormStrides{} ? s.size() : s.outer * v.strides.outer + 100;
    x = numbers<T>(reach, 1), dy = numbers<T>(reach, 2);
    y = dx = numbers<T>(reach, 3);
    if (v.residual) residual = numbers<T>(reach, 4), dresidual = y;
    if (v.parameters) {
      gamma = numbers<C>(s.channels, 5), beta = numbers<C>(s.channels, 6);
      dgamma = dbeta = gamma;
    }
    mean = numbers<double>(s.channels, 7);
    variance.assign(mean.size(), 0.75);
    options = {.eps = 1e-3,
               .activation = v.relu ? Activation::relu : Activation::none,
               .threads = v.threads};
  }

  Validity valid() const { return {.mask = v.mask, .lengths = v.lengths, .weights = v.weights}; }
  NormTensor<T> out(std::vector<T>& values) { return {values, v.strides}; }
  NormTensor<const T> in(const std::vector<T>& values) const { return {values, v.strides}; }

  BatchNormTrain<T> train() {
    return {.x = in(x),
            .gamma = gamma,
            .beta = beta,
            .residual = in(residual),
            .y = out(v.in_place ? x : y),
            .shape = v.shape,
            .valid = valid()};
  }
  BatchNormBackward<T> backward() {
    return {.x = in(x),
            .dy = in(dy),
            .gamma = gamma,
            .beta = beta,
            .dx = out(v.in_place ? dy : dx),
            .dresidual = out(dresidual),
            .dgamma = dgamma,
            .dbeta = dbeta,
            .valid = valid()};
  }
  BatchNormInfer<T> infer() {
    return {.x = in(x),
            .gamma = gamma,
            .beta = beta,
            .residual = in(residual),
            .mean = mean,
            .variance = variance,
            .y = out(v.in_place ? x : y),
            .shape = v.shape,
            .valid = valid()};
  }

  // Memory outside of the view is part of it: nothing else may be written.
  void expect_same_memory(const Case& other) const {
    EXPECT_TRUE(same_bits(x, other.x) && same_bits(y, other.y)) << v.name;
    EXPECT_TRUE(same_bits(dy, other.dy) && same_bits(dx, other.dx)) << v.name;
    EXPECT_TRUE(same_bits(dresidual, other.dresidual)) << v.name;
    EXPECT_TRUE(same_bits(dgamma, other.dgamma) && same_bits(dbeta, other.dbeta)) << v.name;
  }
};

template <class T>
class CInterface : public ::testing::Test {};
using AllElements = ::testing::Types<float, double, bfloat16, float16>;
TYPED_TEST_SUITE(CInterface, AllElements);

TYPED_TEST(CInterface, GivesTheBitsOfTheOperator) {
  using T = TypeParam;
  const Handle handle;  // of all variants: its memory is used again
  for (const Variant& variant : variants()) {
    Case<T> mine(variant), theirs(variant);
    const evenrow_options options = c::options(mine.options);

    const auto saved = batch_norm_train(mine.train(), mine.options);
    const auto train = c::train(theirs.train());
    ASSERT_EQ(evenrow_batch_norm_train(&train, &options, handle.get()), EVENROW_OK)
        << variant.name << ": " << evenrow_last_error();
    mine.expect_same_memory(theirs);

    evenrow_batch_statistics statistics{};
    ASSERT_EQ(evenrow_saved_statistics(handle.get(), &statistics), EVENROW_OK);
    EXPECT_EQ(statistics.count, saved.count()) << variant.name;
    EXPECT_EQ(statistics.weight, saved.weight()) << variant.name;
    const std::span mean(statistics.mean, static_cast<std::size_t>(statistics.channels));
    const std::span variance(statistics.biased_variance, mean.size());
    EXPECT_TRUE(same_bits(mean, saved.mean())) << variant.name;
    EXPECT_TRUE(same_bits(variance, saved.biased_variance())) << variant.name;

    batch_norm_backward(mine.backward(), saved, variant.threads);
    const auto backward = c::backward(theirs.backward());
    ASSERT_EQ(evenrow_batch_norm_backward(&backward, handle.get(), variant.threads), EVENROW_OK)
        << variant.name << ": " << evenrow_last_error();
    mine.expect_same_memory(theirs);

    batch_norm_infer(mine.infer(), mine.options);
    const auto infer = c::infer(theirs.infer());
    ASSERT_EQ(evenrow_batch_norm_infer(&infer, &options), EVENROW_OK)
        << variant.name << ": " << evenrow_last_error();
    mine.expect_same_memory(theirs);
  }
}

TYPED_TEST(CInterface, WithoutOptionsTheyAreTheDefault) {
  Case<TypeParam> mine({.name = "default"}), theirs = mine;
  const Handle saved;
  batch_norm_train(mine.train());
  const auto train = c::train(theirs.train());
  ASSERT_EQ(evenrow_batch_norm_train(&train, nullptr, saved.get()), EVENROW_OK);
  mine.expect_same_memory(theirs);
  batch_norm_infer(mine.infer());
  const auto infer = c::infer(theirs.infer());
  ASSERT_EQ(evenrow_batch_norm_infer(&infer, nullptr), EVENROW_OK);
  mine.expect_same_memory(theirs);
}

TEST(CInterfaceOptions, AreThoseOfTheOperator) {
  const evenrow_options made = EVENROW_DEFAULT_OPTIONS, returned = evenrow_default_options();
  const NormOptions cpp;
  for (const evenrow_options& options : {made, returned}) {
    EXPECT_EQ(options.eps, cpp.eps);
    EXPECT_EQ(options.activation, EVENROW_NO_ACTIVATION);
    EXPECT_EQ(options.threads, cpp.threads);
  }
}

// The mistake, made in the arguments of both; the message must be the same, and name the argument.
template <class Cpp, class C>
void expect_same_message(const Cpp& cpp, const C& call, const std::string& part) {
  std::string expected;
  try {
    cpp();
    ADD_FAILURE() << "C++ accepts it: " << part;
  } catch (const Error& error) {
    expected = error.what();
  }
  EXPECT_EQ(call(), EVENROW_USAGE) << part;
  EXPECT_EQ(evenrow_last_error(), expected);
  EXPECT_NE(expected.find(part), std::string::npos) << expected;
}

template <class Change>
void expect_train_and_infer_refused(const Change& change, const std::string& part) {
  Case<float> k({.name = "mistake", .residual = true});
  change(k);
  const Handle saved;
  const auto train = c::train(k.train());
  const auto infer = c::infer(k.infer());
  const auto options = c::options(k.options);
  expect_same_message([&] { batch_norm_train(k.train(), k.options); },
                      [&] { return evenrow_batch_norm_train(&train, &options, saved.get()); },
                      "batch_norm_train: " + part);
  expect_same_message([&] { batch_norm_infer(k.infer(), k.options); },
                      [&] { return evenrow_batch_norm_infer(&infer, &options); },
                      "batch_norm_infer: " + part);
}

TEST(CInterfaceMessages, AreThoseOfTheOperator) {
  using K = Case<float>;
  const auto refused = [](void (*change)(K&), const std::string& part) {
    expect_train_and_infer_refused(change, part);
  };
  refused([](K& k) { k.x.pop_back(); }, "x has 104 values, expected 105");
  refused([](K& k) { k.x = std::vector<float>(); }, "x has 0 values, expected 105");
  refused([](K& k) { k.y.push_back(0); }, "y has 106 values, expected 105");
  refused([](K& k) { k.residual.pop_back(); }, "residual has 104 values, expected 105");
  refused([](K& k) { k.gamma.pop_back(); }, "gamma has 4 values, expected 5");
  refused([](K& k) { k.beta.push_back(0); }, "beta has 6 values, expected 5");
  refused([](K& k) { k.v.shape.inner = -7; }, "shape is [outer 3, channels 5, inner -7]");
  refused([](K& k) { k.v.shape.outer = INT64_MAX / 2; }, "shape is [outer 4611686018427387903");
  refused([](K& k) { k.v.strides = {2, 1}; }, "x has strides outer 2, channel 1");
  refused([](K& k) { k.options.eps = -1; }, "options.eps is -1");
  refused([](K& k) { k.options.activation = Activation::gelu; }, "options.activation is number 3");
  refused([](K& k) { k.options.activation = static_cast<Activation>(99); },
          "options.activation is number 99");
  refused([](K& k) { k.v.mask.assign(20, 1); }, "valid.mask has 20 entries, expected 21");
  refused([](K& k) { k.v.lengths = {1, 8, 1}; }, "valid.lengths[1] is 8, expected 0 to 7");
  refused([](K& k) { k.v.weights.assign(21, -1); }, "valid.weights[0] is -1");
  refused(
      [](K& k) {
        k.v.lengths = {1, 2, 3}, k.v.mask.assign(21, 1);
      },
      "valid.mask and valid.lengths are both set");
}

TEST(CInterfaceMessages, OfTrainingAlone) {
  Case<float> k({.name = "one column", .lengths = {1, 0, 0}});
  const Handle saved;
  const auto train = c::train(k.train());
  expect_same_message([&] { batch_norm_train(k.train()); },
                      [&] { return evenrow_batch_norm_train(&train, nullptr, saved.get()); },
                      "x has one valid column (of 21)");
}

TEST(CInterfaceMessages, OfInferenceAlone) {
  Case<float> k({.name = "statistics"});
  const auto refused = [&](const std::string& part) {
    const auto infer = c::infer(k.infer());
    expect_same_message([&] { batch_norm_infer(k.infer()); },
                        [&] { return evenrow_batch_norm_infer(&infer, nullptr); }, part);
  };
  k.variance[2] = -1;
  refused("variance[2] is -1");
  k.variance.pop_back();
  refused("variance has 4 values, expected 5");
  k.mean = std::vector<double>();
  refused("mean has 0 values, expected 5");
}

TEST(CInterfaceMessages, OfTheBackwardPass) {
  Case<float> k({.name = "backward"});
  const auto saved = batch_norm_train(k.train());
  const Handle handle;
  const auto train = c::train(k.train());
  ASSERT_EQ(evenrow_batch_norm_train(&train, nullptr, handle.get()), EVENROW_OK);
  const auto refused = [&](const std::string& part) {
    const auto backward = c::backward(k.backward());
    expect_same_message([&] { batch_norm_backward(k.backward(), saved); },
                        [&] { return evenrow_batch_norm_backward(&backward, handle.get(), 0); },
                        part);
  };
  k.dgamma.pop_back();
  refused("dgamma has 4 values, expected 5");
  k.dx = std::vector<float>();
  refused("dx has 0 values, expected 105");
  k = Case<float>({.name = "other columns", .lengths = {7, 7, 6}});
  refused("valid has 20 columns that are not the 21 of the forward pass in saved");

  Case<double> other({.name = "another type"});
  const auto backward = c::backward(other.backward());
  expect_same_message([&] { batch_norm_backward(other.backward(), saved); },
                      [&] { return evenrow_batch_norm_backward(&backward, handle.get(), 0); },
                      "saved is of a forward pass in float, but the tensors here are double");
}

TEST(CInterfaceRunning, HasTheBitsAndTheMessagesOfRunningStatistics) {
  Case<float> k({.name = "running"});
  const auto saved = batch_norm_train(k.train());
  const Handle handle;
  const auto train = c::train(k.train());
  ASSERT_EQ(evenrow_batch_norm_train(&train, nullptr, handle.get()), EVENROW_OK);

  RunningStatistics cpp(5, 0.3);
  const RunningHandle running(5, 0.3);
  evenrow_running_values values{};
  for (int updates = 0; updates < 3; ++updates) {
    ASSERT_EQ(evenrow_running_get(running.get(), &values), EVENROW_OK);
    EXPECT_EQ(values.updates, updates);
    ASSERT_EQ(values.channels, 5);
    EXPECT_TRUE(same_bits(std::span(values.mean, 5), std::span<const double>(cpp.mean)));
    EXPECT_TRUE(same_bits(std::span(values.variance, 5), std::span<const double>(cpp.variance)));
    cpp.update(saved);
    ASSERT_EQ(evenrow_running_update(running.get(), handle.get()), EVENROW_OK);
  }

  for (const auto& [channels, new_weight, part] :
       {std::tuple{4, 0.3, "running statistics of 4 channels"},
        {5, 1.5, "new_weight"},
        {5, 0.0, "expected in (0, 1]"}}) {
    RunningStatistics wrong(channels, new_weight);
    const RunningHandle c_wrong(channels, new_weight);
    expect_same_message([&] { wrong.update(saved); },
                        [&] { return evenrow_running_update(c_wrong.get(), handle.get()); }, part);
  }
}

}  // namespace
}  // namespace evenrow
