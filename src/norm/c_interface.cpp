// The C interface: its arguments become those of the C++ operator, which checks them. Checked here
// is only what C++ types rule out: NULL, a count apart from its buffer, alignment, unknown numbers.
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/fail.hpp"
#include "evenrow/batch_norm.hpp"
#include "evenrow/evenrow.h"
#include "norm/c_status.hpp"
#include "norm/saved.hpp"

struct evenrow_saved {
  evenrow::BatchNormSaved saved;  // without a state until the first forward pass
};
struct evenrow_running {
  evenrow::RunningStatistics statistics;
};

namespace evenrow {
namespace {

using norm::guarded;

constexpr ErrorKind usage = ErrorKind::usage;

// What an argument points to.
template <class T>
T& given(std::string_view function, std::string_view name, T* pointer) {
  if (pointer == nullptr) core::fail(usage, "{}: {} is NULL", function, name);
  return *pointer;
}

const BatchNormSaved& filled(std::string_view function, const evenrow_saved* saved) {
  const BatchNormSaved& of = given(function, "saved", saved).saved;
  if (BatchNormSaved::State::of(of) == nullptr) {
    core::fail(usage, "{}: saved is of no forward pass yet; give it to evenrow_batch_norm_train",
               function);
  }
  return of;
}

BatchNormSaved no_pass() noexcept {
  return BatchNormSaved::State::wrap(nullptr);
}

// The caller's buffers as spans.
class Buffers {
 public:
  Buffers(std::string_view function, const NormShape& shape) noexcept
      : function_(function),
        has_values_(shape.outer > 0 && shape.channels > 0 && shape.inner > 0) {}

  template <class T, class Memory>
  std::span<T> span(std::string_view name, Memory* memory, std::int64_t count) const {
    if (count < 0) {
      core::fail(usage, "{}: {} has a count of {}, expected 0 or more", function_, name, count);
    }
    if (count >
        std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(sizeof(double))) {
      core::fail(usage, "{}: {} has a count of {}, more values than any memory holds", function_,
                 name, count);
    }
    if (memory == nullptr && count > 0) {
      core::fail(usage, "{}: {} is NULL, expected a buffer of {} values, which is its count",
                 function_, name, count);
    }
    // A forgotten count would silently be none. Empty tensors have buffers without values.
    if (memory != nullptr && count == 0 && has_values_) {
      core::fail(usage,
                 "{}: {} is a buffer with a count of 0; give the number of its values, or NULL for "
                 "none",
                 function_, name);
    }
    if (reinterpret_cast<std::uintptr_t>(memory) % alignof(T) != 0) {
      core::fail(usage,
                 "{}: {} is at an address that is not a multiple of {}, the alignment of its "
                 "values; copy it to memory of their type",
                 function_, name, alignof(T));
    }
    return {static_cast<T*>(memory), static_cast<std::size_t>(count)};
  }

  template <class T>
  NormTensor<const T> tensor(std::string_view name, const evenrow_const_tensor& t) const {
    return {span<const T>(name, t.values, t.count), {t.outer_stride, t.channel_stride}};
  }
  template <class T>
  NormTensor<T> tensor(std::string_view name, const evenrow_tensor& t) const {
    return {span<T>(name, t.values, t.count), {t.outer_stride, t.channel_stride}};
  }

  Validity validity(const evenrow_validity& valid) const {
    return {
        .mask = span<const std::uint8_t>("valid.mask", valid.mask, valid.mask_count),
        .lengths = span<const std::int64_t>("valid.lengths", valid.lengths, valid.lengths_count),
        .weights = span<const float>("valid.weights", valid.weights, valid.weights_count)};
  }

 private:
  std::string_view function_;
  bool has_values_;
};

NormShape shape_of(const evenrow_shape& shape) noexcept {
  return {shape.outer, shape.channels, shape.inner};
}

static_assert(static_cast<int>(Activation::none) == EVENROW_NO_ACTIVATION &&
              static_cast<int>(Activation::relu) == EVENROW_RELU);

NormOptions options_of(const evenrow_options* options) noexcept {
  if (options == nullptr) return {};
  return {options->eps, static_cast<Activation>(options->activation), options->threads};
}

// call(std::type_identity<T>) with the T that `type` names.
template <class Call>
void with_type(std::string_view function, evenrow_type type, const Call& call) {
  switch (type) {
    case EVENROW_F32:
      return call(std::type_identity<float>{});
    case EVENROW_F64:
      return call(std::type_identity<double>{});
    case EVENROW_BF16:
      return call(std::type_identity<bfloat16>{});
    case EVENROW_F16:
      return call(std::type_identity<float16>{});
    default:
      core::fail(usage,
                 "{}: type is number {}, expected EVENROW_F32 ({}), EVENROW_F64 ({}), EVENROW_BF16 "
                 "({}) or EVENROW_F16 ({})",
                 function, type, +EVENROW_F32, +EVENROW_F64, +EVENROW_BF16, +EVENROW_F16);
  }
}

void train(const evenrow_train_tensors* tensors, const evenrow_options* options,
           evenrow_saved* saved) {
  constexpr std::string_view function = "evenrow_batch_norm_train";
  const evenrow_train_tensors& t = given(function, "tensors", tensors);
  BatchNormSaved& into = given(function, "saved", saved).saved;
  with_type(function, t.type, [&]<class T>(std::type_identity<T>) {
    using C = const NormParameter<T>;
    const NormShape shape = shape_of(t.shape);
    const Buffers buffers(function, shape);
    const BatchNormTrain<T> all{.x = buffers.tensor<T>("x", t.x),
                                .gamma = buffers.span<C>("gamma", t.gamma, t.gamma_count),
                                .beta = buffers.span<C>("beta", t.beta, t.beta_count),
                                .residual = buffers.tensor<T>("residual", t.residual),
                                .y = buffers.tensor<T>("y", t.y),
                                .shape = shape,
                                .valid = buffers.validity(t.valid)};
    try {
      batch_norm_train(all, options_of(options), into);
    } catch (const Error&) {
      throw;
    } catch (...) {  // memory ran out: sizes and statistics in it may not belong together
      into = no_pass();
      throw;
    }
  });
}

void backward(const evenrow_backward_tensors* tensors, const evenrow_saved* saved, int threads) {
  constexpr std::string_view function = "evenrow_batch_norm_backward";
  const evenrow_backward_tensors& t = given(function, "tensors", tensors);
  const BatchNormSaved& from = filled(function, saved);
  with_type(function, t.type, [&]<class T>(std::type_identity<T>) {
    using C = NormParameter<T>;
    const Buffers buffers(function, from.shape());
    batch_norm_backward<T>({.x = buffers.tensor<T>("x", t.x),
                            .dy = buffers.tensor<T>("dy", t.dy),
                            .gamma = buffers.span<const C>("gamma", t.gamma, t.gamma_count),
                            .beta = buffers.span<const C>("beta", t.beta, t.beta_count),
                            .dx = buffers.tensor<T>("dx", t.dx),
                            .dresidual = buffers.tensor<T>("dresidual", t.dresidual),
                            .dgamma = buffers.span<C>("dgamma", t.dgamma, t.dgamma_count),
                            .dbeta = buffers.span<C>("dbeta", t.dbeta, t.dbeta_count),
                            .valid = buffers.validity(t.valid)},
                           from, threads);
  });
}

void infer(const evenrow_infer_tensors* tensors, const evenrow_options* options) {
  constexpr std::string_view function = "evenrow_batch_norm_infer";
  const evenrow_infer_tensors& t = given(function, "tensors", tensors);
  with_type(function, t.type, [&]<class T>(std::type_identity<T>) {
    using C = const NormParameter<T>;
    const NormShape shape = shape_of(t.shape);
    const Buffers buffers(function, shape);
    batch_norm_infer<T>(
        {.x = buffers.tensor<T>("x", t.x),
         .gamma = buffers.span<C>("gamma", t.gamma, t.gamma_count),
         .beta = buffers.span<C>("beta", t.beta, t.beta_count),
         .residual = buffers.tensor<T>("residual", t.residual),
         .mean = buffers.span<const double>("mean", t.mean, t.mean_count),
         .variance = buffers.span<const double>("variance", t.variance, t.variance_count),
         .y = buffers.tensor<T>("y", t.y),
         .shape = shape,
         .valid = buffers.validity(t.valid)},
        options_of(options));
  });
}

}  // namespace
}  // namespace evenrow

extern "C" {

const char* evenrow_version(void) noexcept {
  return EVENROW_VERSION;
}

evenrow_options evenrow_default_options(void) noexcept {
  return EVENROW_DEFAULT_OPTIONS;
}

evenrow_status evenrow_saved_create(evenrow_saved** saved) noexcept {
  return evenrow::guarded([&] {
    evenrow_saved*& created = evenrow::given("evenrow_saved_create", "saved", saved);
    created = new evenrow_saved{evenrow::no_pass()};
  });
}

void evenrow_saved_destroy(evenrow_saved* saved) noexcept {
  delete saved;
}

evenrow_status evenrow_saved_statistics(const evenrow_saved* saved,
                                        evenrow_batch_statistics* statistics) noexcept {
  return evenrow::guarded([&] {
    constexpr std::string_view function = "evenrow_saved_statistics";
    const evenrow::BatchNormSaved& from = evenrow::filled(function, saved);
    evenrow::given(function, "statistics", statistics) = {from.count(), from.weight(),
                                                          from.shape().channels, from.mean().data(),
                                                          from.biased_variance().data()};
  });
}

evenrow_status evenrow_running_create(int64_t channels, double new_weight,
                                      evenrow_running** running) noexcept {
  return evenrow::guarded([&] {
    constexpr std::string_view function = "evenrow_running_create";
    evenrow_running*& created = evenrow::given(function, "running", running);
    if (channels < 0) {
      evenrow::core::fail(evenrow::usage, "{}: channels is {}, expected 0 or more", function,
                          channels);
    }
    created = new evenrow_running{evenrow::RunningStatistics(channels, new_weight)};
  });
}

void evenrow_running_destroy(evenrow_running* running) noexcept {
  delete running;
}

evenrow_status evenrow_running_update(evenrow_running* running,
                                      const evenrow_saved* saved) noexcept {
  return evenrow::guarded([&] {
    constexpr std::string_view function = "evenrow_running_update";
    evenrow::given(function, "running", running)
        .statistics.update(evenrow::filled(function, saved));
  });
}

evenrow_status evenrow_running_get(const evenrow_running* running,
                                   evenrow_running_values* values) noexcept {
  return evenrow::guarded([&] {
    constexpr std::string_view function = "evenrow_running_get";
    const evenrow::RunningStatistics& from =
        evenrow::given(function, "running", running).statistics;
    evenrow::given(function, "values", values) = {from.updates,
                                                  static_cast<int64_t>(from.mean.size()),
                                                  from.mean.data(), from.variance.data()};
  });
}

evenrow_status evenrow_batch_norm_train(const evenrow_train_tensors* tensors,
                                        const evenrow_options* options,
                                        evenrow_saved* saved) noexcept {
  return evenrow::guarded([&] { evenrow::train(tensors, options, saved); });
}

evenrow_status evenrow_batch_norm_backward(const evenrow_backward_tensors* tensors,
                                           const evenrow_saved* saved, int32_t threads) noexcept {
  return evenrow::guarded([&] { evenrow::backward(tensors, saved, threads); });
}

evenrow_status evenrow_batch_norm_infer(const evenrow_infer_tensors* tensors,
                                        const evenrow_options* options) noexcept {
  return evenrow::guarded([&] { evenrow::infer(tensors, options); });
}

}  // extern "C"
