#include "evenrow/batch_norm.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/fail.hpp"
#include "core/threads.hpp"
#include "kernels/targets.hpp"
#include "norm/check.hpp"
#include "norm/column_loop.hpp"
#include "norm/row_loop.hpp"
#include "norm/saved.hpp"
#include "norm/schedule.hpp"
#include "norm/workspace.hpp"

namespace evenrow {
namespace {

using norm::Buffer;
using norm::buffer;
using norm::Strided;

constexpr std::string_view kTrain = "batch_norm_train";
constexpr std::string_view kBackward = "batch_norm_backward";
constexpr std::string_view kInfer = "batch_norm_infer";

template <class T>
constexpr std::string_view kElement = "float";
template <>
constexpr std::string_view kElement<double> = "double";
template <>
constexpr std::string_view kElement<bfloat16> = "bfloat16";
template <>
constexpr std::string_view kElement<float16> = "float16";

// run(loop) with the one of the two loops that this view needs.
template <class T, class Run>
void with_loop(const norm::View& view, norm::Workspace& workspace, int threads, const Run& run) {
  threads = view.size() < norm::kOneThread ? 1 : core::resolve_threads(threads);
  if (view.channels_last) {
    norm::ColumnLoop<T> loop(view, workspace, threads);
    run(loop);
  } else {
    norm::RowLoop<T> loop(view, workspace, threads);
    run(loop);
  }
}

template <class T>
std::int64_t bytes_of(const NormShape& shape) noexcept {
  return shape.size() * static_cast<std::int64_t>(sizeof(T));
}

// A tensor that has been checked: for messages and for the loops.
template <class T>
struct Checked {
  Buffer buffer;
  Strided<T> strided;
};
template <class T>
Checked<T> checked(std::string_view function, std::string_view name, const NormTensor<T>& tensor,
                   const NormShape& shape) {
  const norm::Steps steps =
      norm::check_tensor(function, buffer(name, tensor.values), tensor.strides, shape);
  return {
      buffer(name, tensor, steps, norm::View(shape)),
      {tensor.values.data(), steps.outer, steps.channel, norm::beyond_caches(bytes_of<T>(shape))}};
}
// The same for one that may be missing.
template <class T>
Checked<T> checked_if_any(std::string_view function, std::string_view name,
                          const NormTensor<T>& tensor, const NormShape& shape) {
  return tensor.empty() ? Checked<T>{{name}, {}} : checked(function, name, tensor, shape);
}

template <class T>
bool same(const Strided<const T>& a, const Strided<T>& b) noexcept {
  return a.data == b.data;
}

// Checks the arguments that training and inference share; coefficients and bits are not set yet.
template <class T, class Tensors>
norm::Forward<T> check_forward(std::string_view function, const Tensors& t,
                               const NormOptions& options) {
  norm::check_shape(function, t.shape);
  norm::check_options(function, options);
  const auto x = checked(function, "x", t.x, t.shape);
  const auto y = checked(function, "y", t.y, t.shape);
  const auto residual = checked_if_any(function, "residual", t.residual, t.shape);
  const Buffer gamma = buffer("gamma", t.gamma), beta = buffer("beta", t.beta);
  norm::check_channels(function, gamma, t.shape, true);
  norm::check_channels(function, beta, t.shape, true);
  norm::check_validity(function, t.shape, t.valid);
  norm::check_overlap(function, y.buffer, x.buffer, true);
  norm::check_overlap(function, y.buffer, residual.buffer, true);
  norm::check_overlap(function, y.buffer, gamma, false);
  norm::check_overlap(function, y.buffer, beta, false);
  return {
      .x = x.strided,
      .residual = residual.strided,
      .y = y.strided,
      .relu = options.activation == Activation::relu,
      .stream = y.strided.far && !same(x.strided, y.strided) && !same(residual.strided, y.strided)};
}

// Null for none.
template <class C>
const C* parameters(std::span<const C> values) noexcept {
  return values.empty() ? nullptr : values.data();
}

// Where the bits of a relu lie, by the shape alone: forward and backward strides may differ. A
// segment begins a byte, but for short ones.
template <class T>
norm::StridedBits bits(const norm::View& view, std::uint8_t* data) noexcept {
  const std::int64_t channel = norm::short_segments<T>(view) || view.channels_last
                                   ? view.inner
                                   : 8 * core::block_count(view.inner, 8);
  return {data, core::block_count(view.channels * channel, 8), channel};
}
template <class T>
std::size_t bytes_of_bits(const norm::View& view) noexcept {
  return static_cast<std::size_t>(view.outer * bits<T>(view, nullptr).outer +
                                  kernels::kBitsPadding);
}

// Sums of the channels [c, c + channels) as a gradient, where that is wanted.
template <class C>
void round_to(std::span<C> gradient, const double* sums, std::int64_t c, std::int64_t channels) {
  if (gradient.empty()) return;
  std::transform(sums + c, sums + c + channels, gradient.begin() + c,
                 [](double sum) { return static_cast<C>(sum); });
}

// What the gradient of a batch without a valid column is: 0.
template <class T>
void zero_gradients(const BatchNormBackward<T>& t, const norm::Backward<T>& b,
                    const norm::View& view, norm::Workspace& workspace,
                    const norm::ChannelValues<NormParameter<T>>& k) {
  std::ranges::fill(t.dgamma, NormParameter<T>{0});
  std::ranges::fill(t.dbeta, NormParameter<T>{0});
  with_loop<T>(view, workspace, 1, [&](auto& loop) {
    for (const Strided<T>& out : {b.dx, b.dresidual}) {
      if (out.data != nullptr) {
        loop.normalize({.x = b.x, .y = out}, [&](auto&&...) { return k.forward; });
      }
    }
  });
}

template <NormElement T>
norm::Backward<T> check_backward(const BatchNormBackward<T>& t,
                                 const BatchNormSaved::State* state) {
  if (state == nullptr) {
    core::fail(ErrorKind::usage,
               "{}: saved has been moved from; give the object that it was moved to", kBackward);
  }
  if (state->element != kElement<T>) {
    core::fail(ErrorKind::usage,
               "{}: saved is of a forward pass in {}, but the tensors here are {}; use one element "
               "type for both",
               kBackward, state->element, kElement<T>);
  }
  const NormShape& shape = state->shape;
  const auto x = checked(kBackward, "x", t.x, shape), dy = checked(kBackward, "dy", t.dy, shape);
  const auto dx = checked(kBackward, "dx", t.dx, shape);
  const auto dresidual = checked_if_any(kBackward, "dresidual", t.dresidual, shape);
  const Buffer gamma = buffer("gamma", t.gamma), beta = buffer("beta", t.beta);
  const Buffer dgamma = buffer("dgamma", t.dgamma), dbeta = buffer("dbeta", t.dbeta);
  for (const Buffer& vector : {gamma, beta, dgamma, dbeta}) {
    norm::check_channels(kBackward, vector, shape, true);
  }
  norm::check_validity(kBackward, shape, t.valid);
  norm::check_overlap(kBackward, dx.buffer, x.buffer, true);
  norm::check_overlap(kBackward, dx.buffer, dy.buffer, true);
  norm::check_overlap(kBackward, dresidual.buffer, x.buffer, false);
  norm::check_overlap(kBackward, dresidual.buffer, dy.buffer, true);
  norm::check_overlap(kBackward, dresidual.buffer, dx.buffer, false);
  norm::check_overlap(kBackward, dgamma, dbeta, false);
  for (const Buffer& output : {dx.buffer, dresidual.buffer, dgamma, dbeta}) {
    norm::check_overlap(kBackward, output, gamma, false);
    norm::check_overlap(kBackward, output, beta, false);
  }
  for (const Buffer& output : {dgamma, dbeta}) {
    for (const Buffer& tensor : {x.buffer, dy.buffer, dx.buffer, dresidual.buffer}) {
      norm::check_overlap(kBackward, output, tensor, false);
    }
  }
  return {.x = x.strided,
          .dy = dy.strided,
          .dx = dx.strided,
          .dresidual = dresidual.strided,
          .mean = state->mean.data(),
          .rstd = state->rstd.data(),
          .relu = state->relu,
          .stream = dx.strided.far && !same(x.strided, dx.strided) &&
                    !same(dy.strided, dx.strided) && !same(dy.strided, dresidual.strided)};
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
double BatchNormSaved::weight() const noexcept {
  return state_->weight;
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
  using C = NormParameter<T>;
  kernels::apply_target_environment();
  norm::Forward<T> forward = check_forward<T>(kTrain, t, options);
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

  // What may run out of memory comes first: then `saved` is as it was.
  BatchNormSaved::State& state = BatchNormSaved::State::reuse(saved);
  const bool keep_bits = forward.relu && forward.residual.data != nullptr;
  const std::size_t bytes = keep_bits ? bytes_of_bits<T>(view) : 0;
  state.mean.reserve(static_cast<std::size_t>(view.channels));
  state.biased_variance.reserve(static_cast<std::size_t>(view.channels));
  state.rstd.reserve(static_cast<std::size_t>(view.channels));
  state.relu_bits.reserve(bytes);
  forward.k = workspace.channel_values<C>(view.channels).forward;
  state.shape = t.shape;
  state.count = count;
  state.weight = workspace.columns.weight();
  state.relu = forward.relu;
  state.element = kElement<T>;
  state.valid_fingerprint = workspace.columns.fingerprint();
  state.mean.resize(static_cast<std::size_t>(view.channels));
  state.biased_variance.resize(static_cast<std::size_t>(view.channels));
  state.rstd.resize(static_cast<std::size_t>(view.channels));
  state.relu_bits.resize(bytes);
  if (keep_bits) forward.bits = bits<T>(view, state.relu_bits.data());

  const kernels::Normalization<C> with{state.mean.data(), state.rstd.data(), parameters(t.gamma),
                                       parameters(t.beta)};
  const kernels::Deviations deviations{state.biased_variance.data(), options.eps,
                                       state.rstd.data()};
  with_loop<T>(view, workspace, options.threads, [&](auto& loop) {
    if (count == 0) {  // all padding
      std::ranges::fill(state.mean, 0.0);
      std::ranges::fill(state.biased_variance, 0.0);
      return loop.normalize(forward, [&](auto&&...) { return forward.k; });
    }
    loop.train(forward, state.mean.data(), state.biased_variance.data(),
               [&](std::int64_t c, std::int64_t channels) {
                 kernels::train_coefficients(channels, deviations.from(c), with.from(c),
                                             forward.k.from(c));
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
  using C = NormParameter<T>;
  kernels::apply_target_environment();
  const BatchNormSaved::State* const state = BatchNormSaved::State::of(saved);
  norm::Backward<T> backward = check_backward(t, state);
  const norm::View view(state->shape);
  norm::Workspace& workspace = norm::Workspace::here();
  workspace.columns.assign(view, t.valid);
  if (workspace.columns.fingerprint() != state->valid_fingerprint) {
    core::fail(
        ErrorKind::usage,
        "{}: valid has {} columns that are not the {} of the forward pass in saved; give the "
        "same mask, lengths or weights to both",
        kBackward, workspace.columns.count(), state->count);
  }

  const norm::ChannelValues<C> k = workspace.channel_values<C>(view.channels);
  if (state->count == 0) return zero_gradients(t, backward, view, workspace, k);
  const kernels::Normalization<C> with{state->mean.data(), state->rstd.data(), parameters(t.gamma),
                                       parameters(t.beta)};
  if (state->relu && state->relu_bits.empty()) {
    kernels::train_coefficients(view.channels, with, k.forward);
  }
  backward.forward = k.forward;
  backward.k = k.backward;
  if (!state->relu_bits.empty()) {
    // Only read here; the loops' tensors have one type for both directions.
    backward.bits = bits<T>(view, const_cast<std::uint8_t*>(state->relu_bits.data()));
  }
  with_loop<T>(view, workspace, threads, [&](auto& loop) {
    loop.backward(backward, k.dbeta, k.dgamma, [&](std::int64_t c, std::int64_t channels) {
      kernels::gradient_coefficients(channels, with.from(c), k.dbeta + c, k.dgamma + c,
                                     state->weight, k.backward.from(c));
      round_to(t.dbeta, k.dbeta, c, channels);
      round_to(t.dgamma, k.dgamma, c, channels);
    });
  });
}

template <NormElement T>
void batch_norm_infer(const BatchNormInfer<T>& t, const NormOptions& options) {
  using C = NormParameter<T>;
  kernels::apply_target_environment();
  norm::Forward<T> forward = check_forward<T>(kInfer, t, options);
  const Buffer y = buffer("y", t.y.values);
  norm::check_channels(kInfer, buffer("mean", t.mean), t.shape, false);
  norm::check_channels(kInfer, buffer("variance", t.variance), t.shape, false);
  norm::check_overlap(kInfer, y, buffer("mean", t.mean), false);
  norm::check_overlap(kInfer, y, buffer("variance", t.variance), false);
  norm::check_statistics(kInfer, t.mean, t.variance);

  const norm::View view(t.shape);
  norm::Workspace& workspace = norm::Workspace::here();
  workspace.columns.assign(view, t.valid);
  workspace.channel_values<C>(view.channels);  // what may run out of memory comes first
  const auto coefficients = [&](norm::Workspace& of_thread, std::int64_t c, std::int64_t channels) {
    const norm::ChannelValues<C> k = of_thread.channel_values<C>(view.channels);
    const kernels::Deviations deviations{t.variance.data(), options.eps, k.rstd};
    const kernels::Normalization<C> with{t.mean.data(), k.rstd, parameters(t.gamma),
                                         parameters(t.beta)};
    kernels::infer_coefficients(channels, deviations.from(c), with.from(c), k.forward.from(c));
    return k.forward;
  };
  with_loop<T>(view, workspace, options.threads,
               [&](auto& loop) { loop.normalize(forward, coefficients); });
}

#define EVENROW_BATCH_NORM(T)                                                                    \
  template BatchNormSaved batch_norm_train(const BatchNormTrain<T>&, const NormOptions&);        \
  template void batch_norm_train(const BatchNormTrain<T>&, const NormOptions&, BatchNormSaved&); \
  template void batch_norm_backward(const BatchNormBackward<T>&, const BatchNormSaved&, int);    \
  template void batch_norm_infer(const BatchNormInfer<T>&, const NormOptions&);

EVENROW_BATCH_NORM(float)
EVENROW_BATCH_NORM(double)
EVENROW_BATCH_NORM(bfloat16)
EVENROW_BATCH_NORM(float16)

}  // namespace evenrow
