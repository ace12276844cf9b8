// The backward pass against central differences of the forward pass, and against closed forms.
#include <gtest/gtest.h>

#include "comparison.hpp"

namespace evenrow {
namespace {

enum class Counting { all, mask, weights };

struct Gradient {
  NormShape shape;
  Counting counting = Counting::all;
  Activation activation = Activation::none;
  bool residual = false;
};

class CentralDifferences : public ::testing::TestWithParam<Gradient> {};
INSTANTIATE_TEST_SUITE_P(
    Layouts, CentralDifferences,
    ::testing::Values(Gradient{{1, 3, 7}}, Gradient{{1, 3, 7}, Counting::all, Activation::relu},
                      Gradient{{1, 3, 7}, Counting::weights, Activation::relu, true},
                      Gradient{{3, 2, 5}, Counting::mask},
                      Gradient{{3, 2, 5}, Counting::mask, Activation::relu},
                      Gradient{{3, 2, 5}, Counting::all, Activation::relu, true},
                      Gradient{{3, 2, 5}, Counting::weights},
                      Gradient{{9, 5, 1}, Counting::all, Activation::relu},
                      Gradient{{9, 5, 1}, Counting::mask, Activation::relu, true},
                      Gradient{{9, 5, 1}, Counting::weights, Activation::none, true},
                      Gradient{{12, 5, 1}, Counting::mask}, Gradient{{2, 3, 1}}));

// L = sum of w * y, so dL/dy = w. A derivative by central differences of step h is off by
// h^2 f''' / 6 and smaller terms: with D(h) - D(h / 2) = 3/4 of D(h)'s error, the error of D(h / 2)
// is a third of that difference, and the difference itself an ample bound. Rounding adds the error
// of two values of L, divided by the step.
class Numeric {
 public:
  explicit Numeric(const NormCase<double>& k) : k_(k) {
    for (std::int64_t c = 0; c < k.shape.channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const auto bounds =
          oracle::moment_bounds(k.row(k.x, c), leaf_shape<double>(k.shape), k.row_weights());
      for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
        if (!k.counts(j)) continue;
        const Real w = k.dy[k.at(j, c)];
        const Real added = k.residual.empty() ? 0 : Real{k.residual[k.at(j, c)]};
        loss_error_ +=
            std::abs(w) * oracle::output_error<double>(bounds, k.x[k.at(j, c)], k.gamma[i],
                                                       k.beta[i], k.options.eps, &added);
      }
    }
    loss_error_ *= 2;  // at x + h and x - h the bounds are those at x, but for a factor near 1
  }

  void expect_derivative(double& variable, double analytic, const std::string& name) {
    const double value = variable;
    const auto difference = [&](double h) {
      variable = value + h;
      const Real above = loss();
      variable = value - h;
      const Real below = loss();
      variable = value;
      return (above - below) / (2 * h);
    };
    const Real coarse = difference(kStep), fine = difference(kStep / 2);
    EXPECT_LE(std::abs(fine - analytic), std::abs(coarse - fine) + loss_error_ / (kStep / 2))
        << name;
  }

  static constexpr double kStep = 1e-4;

 private:
  Real loss() const {
    std::vector<double> y(k_.x.size());
    batch_norm_train<double>({.x = k_.x,
                              .gamma = k_.gamma,
                              .beta = k_.beta,
                              .residual = k_.residual,
                              .y = y,
                              .shape = k_.shape,
                              .valid = k_.valid()},
                             k_.options);
    Real sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<Real>(k_.dy[i]) * y[i];
    return sum;
  }

  const NormCase<double>& k_;
  Real loss_error_ = 0;
};

TEST_P(CentralDifferences, AgreeWithBackward) {
  NormCase<double> k(GetParam().shape, 41, 0.5);
  const std::int64_t columns = k.shape.columns();
  if (GetParam().counting == Counting::mask) k.mask = random_mask(columns, 42);
  if (GetParam().counting == Counting::weights) k.weights = random_weights(columns, 42);
  if (GetParam().residual) k.add_residual(46);
  k.options.activation = GetParam().activation;
  k.options.eps = 1e-2;
  const auto results = run(k);

  if (k.options.activation == Activation::relu) {
    // No value may cross the kink within a step: a step moves y by a few |gamma| rstd h at most.
    auto linear = k.parameters();
    linear.relu = false;
    const auto exact = kernels::reference::statistics(k.tensor());
    const auto u = kernels::reference::normalize(k.tensor(), exact, linear);
    Real steepest = 0, nearest = 1;
    for (std::size_t c = 0; c < k.gamma.size(); ++c) {
      steepest = std::max(steepest, std::abs(k.gamma[c]) / std::sqrt(exact.variance[c] + 1e-2L));
    }
    for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
      for (std::int64_t c = 0; k.counts(j) && c < k.shape.channels; ++c) {
        nearest = std::min(nearest, std::abs(u[k.at(j, c)]));
      }
    }
    ASSERT_GT(nearest, 10 * steepest * Numeric::kStep) << "choose another seed for this case";
  }

  Numeric numeric(k);
  for (std::int64_t c = 0; c < k.shape.channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    numeric.expect_derivative(k.gamma[i], results.dgamma[i], "gamma " + std::to_string(c));
    numeric.expect_derivative(k.beta[i], results.dbeta[i], "beta " + std::to_string(c));
    for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
      const std::size_t at = k.at(j, c);
      numeric.expect_derivative(k.x[at], results.dx[at], "x " + std::to_string(at));
      if (k.residual.empty()) continue;
      numeric.expect_derivative(k.residual[at], results.dresidual[at],
                                "residual " + std::to_string(at));
    }
  }
}

// sum(dx) = 0, because y does not change when all of x moves; and
// sum(dx * xhat) = gamma * rstd * eps / (var + eps) * sum(dy * xhat), 0 with eps = 0, because then
// y does not change when x is scaled either. Within the summed errors of dx.
template <class T>
void expect_closed_forms(const NormCase<T>& k) {
  const auto results = run(k);
  const Real eps = k.options.eps;
  for (std::int64_t c = 0; c < k.shape.channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const auto x = k.row(k.x, c), dy = k.row(k.dy, c), dx = k.row(results.dx, c);
    const auto weights = k.row_weights();
    const auto bounds = oracle::moment_bounds(x, leaf_shape<T>(k.shape), weights);
    const auto sums = oracle::gradient_bounds(bounds, x, dy, eps);
    const Real square = bounds.variance() + eps;
    Real sum = 0, sum_error = 0, product = 0, product_error = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      const Real xhat = (x[j] - bounds.mean) / std::sqrt(square);
      const Real error = oracle::input_gradient_error<T>(bounds, sums, x[j], dy[j], k.gamma[i], eps,
                                                         weights.empty() ? 1 : weights[j]);
      sum += dx[j];
      sum_error += error;
      product += dx[j] * xhat;
      product_error += error * std::abs(xhat);
    }
    EXPECT_LE(std::abs(sum), sum_error);
    const Real expected = k.gamma[i] / std::sqrt(square) * eps / square * sums.dgamma;
    EXPECT_LE(std::abs(product - expected), product_error);
  }
}

template <class T>
class ClosedForms : public ::testing::Test {};
TYPED_TEST_SUITE(ClosedForms, Elements);

TYPED_TEST(ClosedForms, OfTheInputGradient) {
  for (const NormShape& shape :
       {NormShape{1, 3, 2000}, NormShape{13, 3, 100}, NormShape{900, 7, 1}}) {
    for (const double eps : {0.0, 1e-5, 0.7}) {
      NormCase<TypeParam> k(shape, 43, 3);
      k.options.eps = eps;
      expect_closed_forms(k);
      k.mask = random_mask(shape.columns(), 44);
      expect_closed_forms(k);
      k.mask.clear();
      k.weights = random_weights(shape.columns(), 44);
      expect_closed_forms(k);
    }
  }
}

// relu has no derivative at 0; this one is 0 there, where y is 0, on every path.
template <class T>
class Relu : public ::testing::Test {};
TYPED_TEST_SUITE(Relu, Elements);

TYPED_TEST(Relu, LetsNothingThroughAtZero) {
  for (const NormShape& shape : {NormShape{1, 2, 100}, NormShape{9, 2, 7}, NormShape{70, 2, 1}}) {
    for (const bool residual : {false, true}) {
      NormCase<TypeParam> k(shape, 45);
      k.options.activation = Activation::relu;
      k.beta = {0, 1};
      k.x.assign(k.x.size(), rounded<TypeParam>(3));  // xhat is 0, so y is beta
      if (residual) k.residual.assign(k.x.size(), TypeParam{});
      const auto results = run(k);
      EXPECT_EQ(results.dbeta[0], 0);
      EXPECT_NE(results.dbeta[1], 0);
      for (std::int64_t j = 0; j < shape.columns(); ++j) {
        EXPECT_EQ(as_real(results.dx[k.at(j, 0)]), 0);
      }
    }
  }
}

}  // namespace
}  // namespace evenrow
