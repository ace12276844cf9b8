// The norm of some rows of a training pass: the operator's own results, bit for bit.
#include "nn/row_norm.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "evenrow/batch_norm.hpp"

namespace evenrow {
namespace {

// Rows that are taken together, some before and behind them which are not; examples that are one
// leaf, one vector and a bit, and more than a leaf.
constexpr std::int64_t kRows = 13;
constexpr nn::Rows kTaken{2, 9};

template <class T>
std::vector<T> values(std::int64_t size, std::uint32_t seed) {
  std::vector<T> all(static_cast<std::size_t>(size));
  for (T& value : all) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<T>(seed >> 8) / T{1 << 23} - T{1};
  }
  return all;
}

template <class T>
void expect_the_operator(std::int64_t examples, bool relu) {
  SCOPED_TRACE(testing::Message() << examples << " examples, relu " << relu);
  const std::int64_t size = kRows * examples;
  const auto x = values<T>(size, 1), dy = values<T>(size, 2);
  const auto gamma = values<T>(kRows, 3), beta = values<T>(kRows, 4);
  const double eps = 1e-5;

  std::vector<T> y(x.size()), dx(x.size()), dgamma(kRows), dbeta(kRows);
  const NormOptions options{.eps = eps, .activation = relu ? Activation::relu : Activation::none};
  const BatchNormSaved saved =
      batch_norm_train<T>({.x = std::span<const T>(x),
                           .gamma = gamma,
                           .beta = beta,
                           .y = std::span(y),
                           .shape = NormShape::channels_first(1, kRows, examples)},
                          options);
  batch_norm_backward<T>({.x = std::span<const T>(x),
                          .dy = std::span<const T>(dy),
                          .gamma = gamma,
                          .beta = beta,
                          .dx = std::span(dx),
                          .dgamma = dgamma,
                          .dbeta = dbeta},
                         saved);

  const nn::RowNorm<T> norm(kTaken, examples);
  std::vector<double> mean(kRows), variance(kRows);
  norm.statistics(x.data(), mean.data() + kTaken.first, variance.data() + kTaken.first);
  std::vector<double> rstd(kRows);
  const kernels::Deviations deviations{variance.data() + kTaken.first, eps,
                                       rstd.data() + kTaken.first};
  const kernels::Normalization<T> with{mean.data() + kTaken.first, rstd.data() + kTaken.first,
                                       gamma.data() + kTaken.first, beta.data() + kTaken.first};
  auto own_y = x, own_g = dy;
  std::vector<T> own_dgamma(kRows), own_dbeta(kRows);
  norm.normalize(x.data(), own_y.data(), deviations, with, relu);
  norm.gradient(x.data(), own_g.data(), with, relu, own_dgamma.data() + kTaken.first,
                own_dbeta.data() + kTaken.first);

  for (std::int64_t row = 0; row < kRows; ++row) {
    const bool taken = row >= kTaken.first && row < kTaken.first + kTaken.count;
    const auto r = static_cast<std::size_t>(row);
    ASSERT_EQ(mean[r], taken ? saved.mean()[r] : 0) << "row " << row;
    ASSERT_EQ(variance[r], taken ? saved.biased_variance()[r] : 0) << "row " << row;
    ASSERT_EQ(own_dgamma[r], taken ? dgamma[r] : 0) << "row " << row;
    ASSERT_EQ(own_dbeta[r], taken ? dbeta[r] : 0) << "row " << row;
    for (auto i = static_cast<std::size_t>(row * examples);
         i < static_cast<std::size_t>((row + 1) * examples); ++i) {
      ASSERT_EQ(own_y[i], taken ? y[i] : x[i]) << "row " << row << ", value " << i;
      ASSERT_EQ(own_g[i], taken ? dx[i] : dy[i]) << "row " << row << ", value " << i;
    }
  }
}

TEST(RowNorm, GivesTheBitsOfTheOperator) {
  for (const std::int64_t examples : {2, 17, 64, 1000, 1024, 1025, 2600}) {
    for (const bool relu : {false, true}) {
      expect_the_operator<float>(examples, relu);
      expect_the_operator<double>(examples, relu);
    }
  }
}

TEST(RowNorm, RowsAreTakenTogetherWhileTheyFit) {
  const auto counts = [](std::int64_t last, std::int64_t examples) {
    std::vector<std::int64_t> all;
    std::int64_t next = 3;
    nn::for_rows(3, last, examples, [&](nn::Rows rows) {
      EXPECT_EQ(rows.first, next);
      next += rows.count;
      all.push_back(rows.count);
    });
    EXPECT_EQ(next, last);
    return all;
  };
  EXPECT_EQ(counts(150, 1), (std::vector<std::int64_t>{64, 64, 19}));
  EXPECT_EQ(counts(20, 1024), (std::vector<std::int64_t>{4, 4, 4, 4, 1}));
  EXPECT_EQ(counts(5, 100000), (std::vector<std::int64_t>{1, 1}));
}

}  // namespace
}  // namespace evenrow
