// Data whose every result is a number of few bits: mean, variance, deviation, outputs and gradients
// must be exact, on every target, in every layout and type.
//
// Value number p of a row (among those that count) is center + s * sign(p), with sign = + - + - ...
// So the mean is center, the variance s^2, and with variance + eps a power of 4 the deviation a
// power of 2. The gradient is a + b * sign(p) + r(p), with r = + + - - ...: it sums to a * count,
// and with sign to b * count.
#include <gtest/gtest.h>

#include <bit>

#include "norm_cases.hpp"
#include "support/every_target.hpp"

namespace evenrow {
namespace {

class ExactData : public kernels::EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, ExactData, ::testing::ValuesIn(kernels::available_targets()),
                         kernels::target_test_name);

struct Statistics {
  double center, s, eps, rstd;
};
constexpr Statistics kStatistics[] = {
    {0, 1, 0, 1}, {4, 1, 3, 0.5}, {-16, 3, 7, 0.25}, {4, 0.5, 0, 2}, {-16, 2, 0, 0.5}};

double sign(std::int64_t position) {
  return position % 2 == 0 ? 1 : -1;
}
double quarter(std::int64_t position) {
  return position / 2 % 2 == 0 ? 1 : -1;
}

struct Variant {
  bool masked = false, weighted = false, relu = false;
};

template <class T>
class ExactCase {
 public:
  ExactCase(const NormShape& shape, const Statistics& statistics, const Variant& variant)
      : statistics_(statistics), variant_(variant), k_(shape) {
    const std::int64_t columns = shape.columns();
    for (std::int64_t j = 0; j < columns; ++j) {
      const bool valid = !variant.masked || j % 3 != 2;
      if (variant.weighted) {
        // Pairs weigh 1 and 3: 2 on an average.
        k_.weights.push_back(valid ? static_cast<float>(2 - quarter(count_)) : 0.0f);
      } else if (variant.masked) {
        k_.mask.push_back(valid ? 1 : 0);
      }
      position_.push_back(count_);
      if (valid) ++count_;
    }
    k_.options.eps = statistics.eps;
    k_.options.activation = variant.relu ? Activation::relu : Activation::none;
    k_.residual.resize(k_.x.size());
    k_.dresidual = true;
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      k_.gamma[i] = std::array<NormParameter<T>, 3>{1, -2, 0.5}[i % 3];
      k_.beta[i] = std::array<NormParameter<T>, 3>{0.25, -1, 0}[i % 3];
      for (std::int64_t j = 0; j < columns; ++j) {
        const std::int64_t p = position_[static_cast<std::size_t>(j)];
        const std::size_t at = k_.at(j, c);
        k_.x[at] = rounded<T>(statistics.center + statistics.s * sign(p));
        k_.dy[at] = rounded<T>(0.5 + 0.25 * sign(p) + quarter(p));
        k_.residual[at] = rounded<T>(0.5 * static_cast<double>(p % 3));
      }
    }
    k_.running_mean.assign(k_.gamma.size(), statistics.center);
    k_.running_variance.assign(k_.gamma.size(), statistics.s * statistics.s);
    k_.poison_padding();
  }

  // Sums of gradients that relu has stopped are divided by n: a power of 2, or it would round.
  bool is_exact() const {
    return !variant_.relu || std::has_single_bit(static_cast<std::uint64_t>(count_));
  }

  void expect_exact_results() {
    const NormResults<T> results = run(k_);
    EXPECT_EQ(results.count, count_);
    for (std::int64_t c = 0; c < k_.shape.channels; ++c) expect_exact_channel(c, results);
  }

 private:
  void expect_exact_channel(std::int64_t c, const NormResults<T>& results) const {
    const auto i = static_cast<std::size_t>(c);
    const double gamma = static_cast<double>(k_.gamma_of(c)), rstd = statistics_.rstd;
    const double n = static_cast<double>(count_) * (variant_.weighted ? 2 : 1);
    EXPECT_EQ(results.weight, n);
    EXPECT_EQ(results.mean[i], statistics_.center);
    EXPECT_EQ(results.variance[i], statistics_.s * statistics_.s);
    double dbeta = 0, dgamma = 0;
    for (std::int64_t j = 0; j < k_.shape.columns(); ++j) {
      if (!k_.counts(j)) continue;
      dbeta += gradient(j, c);
      dgamma += gradient(j, c) * xhat(j);
    }
    EXPECT_EQ(results.dbeta[i], dbeta);
    EXPECT_EQ(results.dgamma[i], dgamma);
    for (std::int64_t j = 0; j < k_.shape.columns(); ++j) {
      const std::size_t at = k_.at(j, c);
      const double w = static_cast<double>(k_.weight(j));
      const bool counts = w != 0;
      const double u = counts ? output(j, c) : 0;
      const double y = variant_.relu && u <= 0 ? 0 : u;
      const double dy = counts ? gradient(j, c) : 0;
      const double dx = gamma * rstd * (dy - w * (dbeta + xhat(j) * dgamma) / n);
      // A result of few bits may still have more than T stores: then it is rounded once.
      ASSERT_EQ(as_real(results.y[at]), as_real(rounded<T>(y)));
      ASSERT_EQ(as_real(results.inferred[at]), as_real(rounded<T>(y)));
      ASSERT_EQ(as_real(results.dresidual[at]), as_real(rounded<T>(dy)));
      ASSERT_EQ(as_real(results.dx[at]), as_real(rounded<T>(dx)));
    }
  }

  double xhat(std::int64_t column) const {
    return statistics_.s * sign(position_[static_cast<std::size_t>(column)]) * statistics_.rstd;
  }
  double output(std::int64_t column, std::int64_t c) const {
    return static_cast<double>(k_.gamma_of(c) * xhat(column) + k_.beta_of(c) +
                               as_real(k_.residual[k_.at(column, c)]));
  }
  double gradient(std::int64_t column, std::int64_t c) const {
    if (variant_.relu && output(column, c) <= 0) return 0;
    return static_cast<double>(as_real(k_.dy[k_.at(column, c)]));
  }

  Statistics statistics_;
  Variant variant_;
  NormCase<T> k_;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> position_;  // of every column, among those that count
};

template <class T>
void exact_data() {
  int cases = 0;
  for (const std::int64_t columns : {12, 60, 768, 3072}) {
    for (const NormShape& shape :
         {NormShape::feature_major(3, columns), NormShape::row_major(columns, 3),
          NormShape::channels_first(4, 3, columns / 4),
          NormShape::channels_last(4, columns / 4, columns < 100 ? 37 : 2),
          NormShape::channels_first(columns / 2, 3, 2), NormShape::row_major(columns, 1)}) {
      for (const Statistics& statistics : kStatistics) {
        for (const Variant& variant :
             {Variant{}, Variant{.masked = true}, Variant{.weighted = true},
              Variant{.masked = true, .relu = true},
              Variant{.masked = true, .weighted = true, .relu = true}}) {
          ExactCase<T> exact(shape, statistics, variant);
          if (!exact.is_exact()) continue;
          SCOPED_TRACE(fmt::format("{} center {} s {} masked {} weighted {} relu {}",
                                   shape_text(shape), statistics.center, statistics.s,
                                   variant.masked, variant.weighted, variant.relu));
          exact.expect_exact_results();
          if (::testing::Test::HasFailure()) return;
          ++cases;
        }
      }
    }
  }
  EXPECT_EQ(cases, 4 * 6 * 5 * 3 + 3 * 6 * 5 * 2);
}
EVENROW_EVERY_ELEMENT(ExactData, IsComputedExactly, exact_data)

}  // namespace
}  // namespace evenrow
