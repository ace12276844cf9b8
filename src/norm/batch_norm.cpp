#include "evenrow/batch_norm.hpp"

#include <array>
#include <cmath>
#include <utility>

#include "core/fail.hpp"
#include "core/threads.hpp"
#include "kernels/targets.hpp"
#include "norm/channels_last.hpp"
#include "norm/check.hpp"
#include "norm/coefficients.hpp"
#include "norm/inner_contiguous.hpp"
#include "norm/saved.hpp"
#include "norm/workspace.hpp"

namespace evenrow {
namespace {

using norm::buffer;

constexpr std::string_view kTrain = "batch_norm_train";
constexpr std::string_view kBackward = "batch_norm_backward";
constexpr std::string_view kInfer = "batch_norm_infer";

// A value of gamma or beta, or what an empty one stands for.
template <class T>
double parameter(std::span<const T> values, std::int64_t channel, double otherwise) {
  return values.empty() ? otherwise
                        : static_cast<double>(values[static_cast<std::size_t>(channel)]);
}

// Threads cost more than they bring below some ten thousand values.
int threads_for(std::int64_t values, int requested) {
  return values < 16384 ? 1 : core::resolve_threads(requested);
}

// run(loop) with the one of the two loops that this view needs.
template <class T, class Run>
void with_loop(const norm::View& view, norm::Workspace& workspace, int threads, const Run& run) {
  threads = threads_for(view.size(), threads);
  if (view.channels_last) {
    norm::ChannelsLast<T> loop(view, workspace, threads);
    run(loop);
  } else {
    norm::InnerContiguous<T> loop(view, workspace, threads);
    run(loop);
  }
}

template <class T>
void set_forward(const norm::ChannelCoefficients<T>& k, std::int64_t c,
                 const norm::ForwardCoefficients<T>& forward) {
  k.center[c] = forward.center;
  k.scale[c] = forward.scale;
  k.shift[c] = forward.shift;
}

template <class T>
void check_forward(std::string_view function, std::span<const T> x, std::span<const T> gamma,
                   std::span<const T> beta, std::span<T> y, const NormShape& shape,
                   const Validity& valid, const NormOptions& options) {
  norm::check_shape(function, shape);
  norm::check_options(function, options);
  norm::check_tensor(function, buffer("x", x), shape);
  norm::check_tensor(function, buffer("y", y), shape);
  norm::check_channels(function, buffer("gamma", gamma), shape, true);
  norm::check_channels(function, buffer("beta", beta), shape, true);
  norm::check_validity(function, shape, valid);
  const norm::Buffer out = buffer("y", y);
  norm::check_overlap(function, out, buffer("x", x), true);
  norm::check_overlap(function, out, buffer("gamma", gamma), false);
  norm::check_overlap(function, out, buffer("beta", beta), false);
}

template <NormElement T>
void check_backward(const BatchNormBackward<T>& t, const BatchNormSaved::State* state) {
  if (state == nullptr) {
    core::fail(ErrorKind::usage,
               "{}: saved has been moved from; give the object that it was moved to", kBackward);
  }
  if (state->is_double != (sizeof(T) == sizeof(double))) {
    core::fail(ErrorKind::usage,
               "{}: saved is of a forward pass in {}, but the tensors here are {}; use one element "
               "type for both",
               kBackward, state->is_double ? "double" : "float",
               sizeof(T) == sizeof(double) ? "double" : "float");
  }
  const NormShape& shape = state->shape;
  norm::check_tensor(kBackward, buffer("x", t.x), shape);
  norm::check_tensor(kBackward, buffer("dy", t.dy), shape);
  norm::check_tensor(kBackward, buffer("dx", t.dx), shape);
  norm::check_channels(kBackward, buffer("gamma", t.gamma), shape, true);
  norm::check_channels(kBackward, buffer("beta", t.beta), shape, true);
  norm::check_channels(kBackward, buffer("dgamma", t.dgamma), shape, true);
  norm::check_channels(kBackward, buffer("dbeta", t.dbeta), shape, true);
  norm::check_validity(kBackward, shape, t.valid);
  const norm::Buffer x = buffer("x", t.x), dy = buffer("dy", t.dy), dx = buffer("dx", t.dx);
  const norm::Buffer dgamma = buffer("dgamma", t.dgamma), dbeta = buffer("dbeta", t.dbeta);
  norm::check_overlap(kBackward, dx, x, true);
  norm::check_overlap(kBackward, dx, dy, true);
  norm::check_overlap(kBackward, dgamma, dbeta, false);
  for (const norm::Buffer& output : {dx, dgamma, dbeta}) {
    norm::check_overlap(kBackward, output, buffer("gamma", t.gamma), false);
    norm::check_overlap(kBackward, output, buffer("beta", t.beta), false);
  }
  for (const norm::Buffer& output : {dgamma, dbeta}) {
    for (const norm::Buffer& tensor : {x, dy, dx}) {
      norm::check_overlap(kBackward, output, tensor, false);
    }
  }
}

}  // namespace

BatchNormSaved::BatchNormSaved(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
BatchNormSaved::BatchNormSaved(BatchNormSaved&&) noexcept = default;
BatchNormSaved& BatchNormSaved::operator=(BatchNormSaved&&) noexcept = default;
BatchNormSaved::~BatchNormSaved() = default;

const NormShape& BatchNormSaved::shape() const noexcept {
  return state_->shape;
}
std::int64_t BatchNormSaved::count() const noexcept {
  return state_->count;
}
std::span<const double> BatchNormSaved::mean() const noexcept {
  return state_->mean;
}
std::span<const double> BatchNormSaved::biased_variance() const noexcept {
  return state_->biased_variance;
}

template <NormElement T>
void batch_norm_train(const BatchNormTrain<T>& t, const NormOptions& options,
                      BatchNormSaved& saved) {
  kernels::apply_target_environment();
  check_forward(kTrain, t.x, t.gamma, t.beta, t.y, t.shape, t.valid, options);
  const norm::View view(t.shape);
  norm::Workspace& workspace = norm::Workspace::here();
  workspace.columns.assign(view, t.valid);
  const std::int64_t count = workspace.columns.count();
  if (count == 1 && view.channels > 0) {
    core::fail(ErrorKind::usage,
               "{}: x has one valid column (of {}), training needs two or more: with one, the "
               "variance is 0 and y does not depend on x; use a larger batch, or batch_norm_infer",
               kTrain, view.columns());
  }

  BatchNormSaved::State& state = BatchNormSaved::State::reuse(saved);
  state.shape = t.shape;
  state.count = count;
  state.eps = options.eps;
  state.relu = options.activation == Activation::relu;
  state.is_double = sizeof(T) == sizeof(double);
  state.valid_fingerprint = workspace.columns.fingerprint();
  state.mean.assign(static_cast<std::size_t>(view.channels), 0.0);
  state.biased_variance.assign(static_cast<std::size_t>(view.channels), 0.0);

  const auto k = workspace.coefficients<T>(view.channels);
  with_loop<T>(view, workspace, options.threads, [&](auto& loop) {
    if (count == 0) return loop.normalize(t.x.data(), t.y.data(), k, state.relu);  // all padding
    loop.train(t.x.data(), t.y.data(), k, state.relu,
               [&](std::int64_t c, const kernels::Moments& moments) {
                 const double variance = moments.m2 / moments.count;
                 state.mean[static_cast<std::size_t>(c)] = moments.mean;
                 state.biased_variance[static_cast<std::size_t>(c)] = variance;
                 set_forward(k, c,
                             norm::train_coefficients<T>(moments.mean, variance, options.eps,
                                                         parameter(t.gamma, c, 1.0),
                                                         parameter(t.beta, c, 0.0)));
               });
  });
}

template <NormElement T>
BatchNormSaved batch_norm_train(const BatchNormTrain<T>& tensors, const NormOptions& options) {
  BatchNormSaved saved = BatchNormSaved::State::wrap(std::make_unique<BatchNormSaved::State>());
  batch_norm_train(tensors, options, saved);
  return saved;
}

template <NormElement T>
void batch_norm_backward(const BatchNormBackward<T>& t, const BatchNormSaved& saved, int threads) {
  kernels::apply_target_environment();
  const BatchNormSaved::State* const state = BatchNormSaved::State::of(saved);
  check_backward(t, state);
  const norm::View view(state->shape);
  norm::Workspace& workspace = norm::Workspace::here();
  workspace.columns.assign(view, t.valid);
  if (workspace.columns.fingerprint() != state->valid_fingerprint) {
    core::fail(
        ErrorKind::usage,
        "{}: valid has {} columns that are not the {} of the forward pass in saved; give the "
        "same mask or lengths to both",
        kBackward, workspace.columns.count(), state->count);
  }

  const auto k = workspace.coefficients<T>(view.channels);
  const auto finish = [&](std::int64_t c, const kernels::GradientSums& sums) {
    const auto at = static_cast<std::size_t>(c);
    if (!t.dbeta.empty()) t.dbeta[at] = static_cast<T>(sums.dy);
    if (!t.dgamma.empty()) t.dgamma[at] = static_cast<T>(sums.dy_xhat);
    if (state->count == 0) return;
    const auto gradient = norm::backward_coefficients<T>(
        state->mean[at], state->biased_variance[at], state->eps, parameter(t.gamma, c, 1.0),
        sums.dy_xhat, sums.dy, static_cast<double>(state->count));
    k.a[c] = gradient.a;
    k.b[c] = gradient.b;
    k.c[c] = gradient.c;
  };
  for (std::int64_t c = 0; c < view.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    set_forward(k, c,
                norm::train_coefficients<T>(state->mean[at], state->biased_variance[at], state->eps,
                                            parameter(t.gamma, c, 1.0), parameter(t.beta, c, 0.0)));
  }
  with_loop<T>(view, workspace, threads, [&](auto& loop) {
    if (state->count == 0) {
      for (std::int64_t c = 0; c < view.channels; ++c) finish(c, {});
      return loop.normalize(t.x.data(), t.dx.data(), k, false);  // all padding
    }
    loop.backward(t.x.data(), t.dy.data(), t.dx.data(), state->mean.data(),
                  state->biased_variance.data(), state->eps, k, state->relu, finish);
  });
}

template <NormElement T>
void batch_norm_infer(const BatchNormInfer<T>& t, const NormOptions& options) {
  kernels::apply_target_environment();
  check_forward(kInfer, t.x, t.gamma, t.beta, t.y, t.shape, t.valid, options);
  norm::check_channels(kInfer, buffer("mean", t.mean), t.shape, false);
  norm::check_channels(kInfer, buffer("variance", t.variance), t.shape, false);
  norm::check_overlap(kInfer, buffer("y", t.y), buffer("mean", t.mean), false);
  norm::check_overlap(kInfer, buffer("y", t.y), buffer("variance", t.variance), false);
  for (std::size_t c = 0; c < t.mean.size(); ++c) {
    if (!std::isfinite(t.mean[c])) {
      core::fail(ErrorKind::usage, "{}: mean[{}] is {}, expected a finite number", kInfer, c,
                 t.mean[c]);
    }
    if (!(std::isfinite(t.variance[c]) && t.variance[c] >= 0.0)) {
      core::fail(ErrorKind::usage, "{}: variance[{}] is {}, expected a finite number of 0 or more",
                 kInfer, c, t.variance[c]);
    }
  }

  const norm::View view(t.shape);
  norm::Workspace& workspace = norm::Workspace::here();
  workspace.columns.assign(view, t.valid);
  const auto k = workspace.coefficients<T>(view.channels);
  for (std::int64_t c = 0; c < view.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    set_forward(k, c,
                norm::infer_coefficients<T>(t.mean[at], t.variance[at], options.eps,
                                            parameter(t.gamma, c, 1.0), parameter(t.beta, c, 0.0)));
  }
  with_loop<T>(view, workspace, options.threads, [&](auto& loop) {
    loop.normalize(t.x.data(), t.y.data(), k, options.activation == Activation::relu);
  });
}

template BatchNormSaved batch_norm_train(const BatchNormTrain<float>&, const NormOptions&);
template BatchNormSaved batch_norm_train(const BatchNormTrain<double>&, const NormOptions&);
template void batch_norm_train(const BatchNormTrain<float>&, const NormOptions&, BatchNormSaved&);
template void batch_norm_train(const BatchNormTrain<double>&, const NormOptions&, BatchNormSaved&);
template void batch_norm_backward(const BatchNormBackward<float>&, const BatchNormSaved&, int);
template void batch_norm_backward(const BatchNormBackward<double>&, const BatchNormSaved&, int);
template void batch_norm_infer(const BatchNormInfer<float>&, const NormOptions&);
template void batch_norm_infer(const BatchNormInfer<double>&, const NormOptions&);

}  // namespace evenrow
