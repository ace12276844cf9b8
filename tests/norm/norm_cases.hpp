// What the tests of the operator share: a case (shape, values, valid columns) and the operator's
// results for it, in whatever memory the caller may have. The comparison with the reference is in
// comparison.hpp.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "evenrow/batch_norm.hpp"
#include "kernels/reference.hpp"
#include "support/norm_oracle.hpp"
#include "tensor_memory.hpp"

namespace evenrow {

using oracle::Real;

using Elements = ::testing::Types<float, double, bfloat16, float16>;

/// Whether T has finite numbers of this size.
template <class T>
bool fits(double size) {
  return std::isfinite(as_real(rounded<T>(size)));
}

template <class T>
std::vector<T> normal_values(std::int64_t n, std::uint64_t seed, double offset = 0,
                             double spread = 1) {
  const core::RandomStream stream(seed, core::Purpose::test, 1);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = rounded<T>(offset + spread * stream.normal(i));
  }
  return values;
}

/// Which columns count: about this part, the first and the last among them.
inline std::vector<std::uint8_t> random_mask(std::int64_t columns, std::uint64_t seed,
                                             double valid_part = 0.6) {
  const core::RandomStream stream(seed, core::Purpose::test, 2);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(columns));
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const bool valid = i == 0 || i + 1 == mask.size() || stream.uniform(i) < valid_part;
    mask[i] = valid ? 7 : 0;
  }
  return mask;
}

/// Weights of columns, about this part of them not 0; the first and the last among them.
inline std::vector<float> random_weights(std::int64_t columns, std::uint64_t seed,
                                         double valid_part = 0.6) {
  const core::RandomStream stream(seed, core::Purpose::test, 3);
  const std::vector<std::uint8_t> mask = random_mask(columns, seed, valid_part);
  std::vector<float> weights(mask.size());
  for (std::size_t i = 0; i < mask.size(); ++i) {
    weights[i] = mask[i] != 0 ? static_cast<float>(2 - 2 * stream.uniform(i)) : 0.0f;
  }
  return weights;
}

template <class T>
struct NormCase {
  using C = NormParameter<T>;
  NormShape shape;
  std::vector<T> x, dy;
  std::vector<C> gamma, beta;           // empty: none
  std::vector<T> residual{};            // empty: none
  bool dresidual = false;               // whether its gradient is asked for
  bool dparameters = true;              // whether those of gamma and beta are
  std::vector<std::uint8_t> mask{};     // empty: all columns
  std::vector<std::int64_t> lengths{};  // instead of a mask
  std::vector<float> weights{};         // instead of both
  NormOptions options{};
  std::vector<double> running_mean{}, running_variance{};  // of inference

  explicit NormCase(NormShape s, std::uint64_t seed = 1, double offset = 0, double spread = 1)
      : shape(s),
        x(normal_values<T>(s.size(), seed, offset, spread)),
        dy(normal_values<T>(s.size(), seed + 100)),
        gamma(normal_values<C>(s.channels, seed + 200, 1, 0.3)),
        beta(normal_values<C>(s.channels, seed + 300)) {}

  /// Adds a residual input, and asks for its gradient.
  void add_residual(std::uint64_t seed) {
    residual = normal_values<T>(shape.size(), seed + 400);
    dresidual = true;
  }

  Validity valid() const { return {.mask = mask, .lengths = lengths, .weights = weights}; }

  /// What a column counts; 0: not valid.
  float weight(std::int64_t column) const {
    const auto j = static_cast<std::size_t>(column);
    if (!weights.empty()) return weights[j];
    if (!mask.empty()) return mask[j] != 0 ? 1.0f : 0.0f;
    if (lengths.empty()) return 1.0f;
    const std::int64_t padded = shape.columns() / static_cast<std::int64_t>(lengths.size());
    return column % padded < lengths[static_cast<std::size_t>(column / padded)] ? 1.0f : 0.0f;
  }
  bool counts(std::int64_t column) const { return weight(column) != 0; }
  std::int64_t count() const {
    std::int64_t n = 0;
    for (std::int64_t j = 0; j < shape.columns(); ++j) n += counts(j) ? 1 : 0;
    return n;
  }

  std::size_t at(std::int64_t column, std::int64_t channel) const {
    const std::int64_t o = column / shape.inner, i = column % shape.inner;
    return static_cast<std::size_t>((o * shape.channels + channel) * shape.inner + i);
  }

  Real gamma_of(std::int64_t c) const {
    return gamma.empty() ? 1 : Real{gamma[static_cast<std::size_t>(c)]};
  }
  Real beta_of(std::int64_t c) const {
    return beta.empty() ? 0 : Real{beta[static_cast<std::size_t>(c)]};
  }

  /// NaN in every input wherever a column does not count.
  void poison_padding() {
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      if (counts(j)) continue;
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        x[at(j, c)] = dy[at(j, c)] = rounded<T>(std::nan(""));
        if (!residual.empty()) residual[at(j, c)] = x[at(j, c)];
      }
    }
  }

  /// The values of one channel in the columns that count.
  std::vector<Real> row(const std::vector<T>& values, std::int64_t channel) const {
    std::vector<Real> result;
    for (std::int64_t j = 0; j < shape.columns(); ++j) {
      if (counts(j)) result.push_back(as_real(values[at(j, channel)]));
    }
    return result;
  }
  /// Their weights; empty where each counts 1.
  std::vector<Real> row_weights() const {
    std::vector<Real> result;
    for (const float w : weights) {
      if (w != 0) result.push_back(Real{w});
    }
    return result;
  }

  kernels::reference::Tensor tensor() const {
    kernels::reference::Tensor result{shape, {}, {}};
    for (const T value : x) result.values.push_back(as_real(value));
    for (std::int64_t j = 0; j < shape.columns(); ++j) result.weights.push_back(Real{weight(j)});
    return result;
  }
  kernels::reference::Parameters parameters() const {
    kernels::reference::Parameters result;
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      result.gamma.push_back(gamma_of(c));
      result.beta.push_back(beta_of(c));
    }
    for (const T value : residual) result.residual.push_back(as_real(value));
    result.eps = options.eps;
    result.relu = options.activation == Activation::relu;
    return result;
  }
};

template <class T>
struct NormResults {
  std::int64_t count = 0;
  double weight = 0;
  std::vector<double> mean, variance;
  std::vector<T> y, dx, dresidual, inferred;
  std::vector<NormParameter<T>> dgamma, dbeta;
  std::vector<T> through;  // with a relu: 1 where the operator says that it let a value through

  /// Bit by bit, so that a NaN equals itself.
  friend bool operator==(const NormResults& a, const NormResults& b) {
    return a.count == b.count && same_bits(a.weight, b.weight) && same_bits(a.mean, b.mean) &&
           same_bits(a.variance, b.variance) && same_bits(a.y, b.y) && same_bits(a.dx, b.dx) &&
           same_bits(a.dresidual, b.dresidual) && same_bits(a.inferred, b.inferred) &&
           same_bits(a.dgamma, b.dgamma) && same_bits(a.dbeta, b.dbeta) &&
           same_bits(a.through, b.through);
  }
};

enum class YIn { own, x, residual };
enum class DxIn { own, dy, x };

/// Threads and memory of a call: nothing of it may change a bit.
struct RunOptions {
  int threads = 1;
  YIn y = YIn::own;
  DxIn dx = DxIn::own;
  bool dresidual_over_dy = false;  // not where dx is
  std::int64_t misaligned = 0;
  Spacing spacing = Spacing::dense;
  std::optional<Fence> fence{};
};

/// A case in memory.
template <class T>
class NormMemory {
 public:
  using C = NormParameter<T>;

  NormMemory(const NormCase<T>& k, const RunOptions& how)
      : k_(k),
        how_(how),
        x_(tensor(3, &k.x)),
        residual_(tensor(5, k.residual.empty() ? nullptr : &k.residual)),
        gamma_(copied(k.gamma, how.fence)),
        beta_(copied(k.beta, how.fence)),
        mask_(copied(k.mask, how.fence)),
        lengths_(copied(k.lengths, how.fence)),
        weights_(copied(k.weights, how.fence)) {
    options_.threads = how.threads;
    options_.eps = k.options.eps;
    options_.activation = k.options.activation;
  }

  /// Training forward and backward.
  void train(NormResults<T>& results) {
    const BatchNormSaved saved = forward<BatchNormTrain<T>>(
        results.y,
        [&](const BatchNormTrain<T>& call) { return batch_norm_train<T>(call, options_); });
    results.count = saved.count();
    results.weight = saved.weight();
    results.mean.assign(saved.mean().begin(), saved.mean().end());
    results.variance.assign(saved.biased_variance().begin(), saved.biased_variance().end());
    backward(saved, results);
    if (k_.options.activation == Activation::relu) results.through = through(saved);
  }

  void infer(std::vector<T>& y) {
    auto mean = copied(k_.running_mean, how_.fence);
    auto variance = copied(k_.running_variance, how_.fence);
    forward<BatchNormInfer<T>>(y, [&](BatchNormInfer<T> call) {
      call.mean = mean.span();
      call.variance = variance.span();
      batch_norm_infer<T>(call, options_);
    });
  }

 private:
  TensorMemory<T> tensor(std::int64_t gap, const std::vector<T>* values) const {
    TensorMemory<T> memory(k_.shape, Placement(k_.shape, how_.spacing, gap),
                           how_.misaligned + gap % 2, how_.fence);
    if (values != nullptr) memory.put(*values);
    return memory;
  }
  Validity valid() {
    return {.mask = mask_.span(), .lengths = lengths_.span(), .weights = weights_.span()};
  }
  void expect_inputs_unchanged() {
    EXPECT_TRUE(x_.untouched() && same_bits(x_.dense(), k_.x));
    EXPECT_TRUE(residual_.untouched());
    EXPECT_TRUE(k_.residual.empty() || same_bits(residual_.dense(), k_.residual));
  }

  template <class Tensors, class Call>
  auto forward(std::vector<T>& result, const Call& call) {
    const YIn in = how_.y == YIn::residual && k_.residual.empty() ? YIn::own : how_.y;
    TensorMemory<T> y =
        tensor(4, in == YIn::x ? &k_.x : (in == YIn::residual ? &k_.residual : nullptr));
    Tensors t;
    t.x = in == YIn::x ? y.input() : x_.input();
    t.gamma = gamma_.span();
    t.beta = beta_.span();
    if (!k_.residual.empty()) t.residual = in == YIn::residual ? y.input() : residual_.input();
    t.y = y.output();
    t.shape = k_.shape;
    t.valid = valid();
    const auto finish = [&] {
      EXPECT_TRUE(y.untouched());
      expect_inputs_unchanged();
      result = y.dense();
    };
    if constexpr (std::is_void_v<decltype(call(t))>) {
      call(t);
      finish();
    } else {
      auto returned = call(t);
      finish();
      return returned;
    }
  }

  void backward(const BatchNormSaved& saved, NormResults<T>& results) {
    ASSERT_FALSE(how_.dresidual_over_dy && how_.dx == DxIn::dy);
    TensorMemory<T> dy = tensor(2, &k_.dy);
    TensorMemory<T> dx =
        tensor(4, how_.dx == DxIn::x ? &k_.x : (how_.dx == DxIn::dy ? &k_.dy : nullptr));
    TensorMemory<T> dresidual = tensor(6, how_.dresidual_over_dy ? &k_.dy : nullptr);
    const bool in_dresidual = k_.dresidual && how_.dresidual_over_dy;
    const std::int64_t asked = k_.dparameters ? k_.shape.channels : 0;
    const std::vector<C> unset(static_cast<std::size_t>(asked), C{77});
    auto dgamma = copied(unset, how_.fence), dbeta = copied(unset, how_.fence);
    BatchNormBackward<T> call;
    call.x = how_.dx == DxIn::x ? dx.input() : x_.input();
    call.dy = how_.dx == DxIn::dy ? dx.input() : (in_dresidual ? dresidual.input() : dy.input());
    call.gamma = gamma_.span();
    call.beta = beta_.span();
    call.dx = dx.output();
    if (k_.dresidual) call.dresidual = dresidual.output();
    call.dgamma = dgamma.span();
    call.dbeta = dbeta.span();
    call.valid = valid();
    batch_norm_backward<T>(call, saved, how_.threads);
    expect_inputs_unchanged();
    EXPECT_TRUE(dy.untouched() && same_bits(dy.dense(), k_.dy));
    EXPECT_TRUE(dx.untouched() && dresidual.untouched());
    results.dx = dx.dense();
    if (k_.dresidual) results.dresidual = dresidual.dense();
    results.dgamma.assign(dgamma.span().begin(), dgamma.span().end());
    results.dbeta.assign(dbeta.span().begin(), dbeta.span().end());
  }

  // Which values the relu of the forward pass let through, as the operator itself says: what
  // becomes of a gradient of ones. (y does not tell: as a 16-bit number it may be 0 where the float
  // that was rounded was not.)
  std::vector<T> through(const BatchNormSaved& saved) {
    const std::vector<T> ones(k_.x.size(), rounded<T>(1));
    std::vector<T> dx(k_.x.size()), gate(k_.x.size());
    batch_norm_backward<T>({.x = k_.x,
                            .dy = ones,
                            .gamma = k_.gamma,
                            .beta = k_.beta,
                            .dx = dx,
                            .dresidual = gate,
                            .valid = k_.valid()},
                           saved, how_.threads);
    return gate;
  }

  const NormCase<T>& k_;
  RunOptions how_;
  NormOptions options_;
  TensorMemory<T> x_, residual_;
  Memory<C> gamma_, beta_;
  Memory<std::uint8_t> mask_;
  Memory<std::int64_t> lengths_;
  Memory<float> weights_;
};

/// Train forward and backward of the case; inference where it has running statistics.
template <class T>
NormResults<T> run(const NormCase<T>& k, const RunOptions& how = {}) {
  NormMemory<T> memory(k, how);
  NormResults<T> results;
  memory.train(results);
  if (!k.running_mean.empty()) memory.infer(results.inferred);
  return results;
}

inline std::string shape_text(const NormShape& shape) {
  return fmt::format("[{}, {}, {}]", shape.outer, shape.channels, shape.inner);
}

inline bool is_channels_last(const NormShape& shape) {
  return shape.inner == 1 && shape.channels > 1;
}
template <class T>
oracle::LeafShape leaf_shape(const NormShape& shape) {
  return is_channels_last(shape) ? oracle::kChannelLeaf<T> : oracle::kRowLeaf<T>;
}

}  // namespace evenrow
