// The arguments of the C interface, made from those of the C++ operator; its handles, destroyed at
// the end of a scope.
#pragma once

#include <gtest/gtest.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>

#include "evenrow/batch_norm.hpp"
#include "evenrow/evenrow.h"

namespace evenrow::c {

template <class T>
inline constexpr evenrow_type kType = std::same_as<T, float>      ? EVENROW_F32
                                      : std::same_as<T, double>   ? EVENROW_F64
                                      : std::same_as<T, bfloat16> ? EVENROW_BF16
                                                                  : EVENROW_F16;

template <class T>
std::int64_t count(std::span<T> values) {
  return static_cast<std::int64_t>(values.size());
}

template <class T>
evenrow_const_tensor tensor(const NormTensor<const T>& t) {
  return {t.values.data(), count(t.values), t.strides.outer, t.strides.channel};
}
template <class T>
evenrow_tensor tensor(const NormTensor<T>& t) {
  return {t.values.data(), count(t.values), t.strides.outer, t.strides.channel};
}

inline evenrow_shape shape(const NormShape& s) {
  return {s.outer, s.channels, s.inner};
}

inline evenrow_validity validity(const Validity& v) {
  return {v.mask.data(),    count(v.mask),    v.lengths.data(),
          count(v.lengths), v.weights.data(), count(v.weights)};
}

inline evenrow_options options(const NormOptions& o) {
  return {o.eps, static_cast<std::int32_t>(o.activation), o.threads};
}

// What training and inference share.
template <class Arguments, class T, class Tensors>
Arguments forward(const Tensors& t) {
  Arguments made{};
  made.type = kType<T>;
  made.shape = shape(t.shape);
  made.x = tensor(t.x);
  made.y = tensor(t.y);
  made.residual = tensor(t.residual);
  made.gamma = t.gamma.data(), made.gamma_count = count(t.gamma);
  made.beta = t.beta.data(), made.beta_count = count(t.beta);
  made.valid = validity(t.valid);
  return made;
}

template <class T>
evenrow_train_tensors train(const BatchNormTrain<T>& t) {
  return forward<evenrow_train_tensors, T>(t);
}

template <class T>
evenrow_infer_tensors infer(const BatchNormInfer<T>& t) {
  auto made = forward<evenrow_infer_tensors, T>(t);
  made.mean = t.mean.data(), made.mean_count = count(t.mean);
  made.variance = t.variance.data(), made.variance_count = count(t.variance);
  return made;
}

template <class T>
evenrow_backward_tensors backward(const BatchNormBackward<T>& t) {
  return {.type = kType<T>,
          .x = tensor(t.x),
          .dy = tensor(t.dy),
          .dx = tensor(t.dx),
          .dresidual = tensor(t.dresidual),
          .gamma = t.gamma.data(),
          .gamma_count = count(t.gamma),
          .beta = t.beta.data(),
          .beta_count = count(t.beta),
          .dgamma = t.dgamma.data(),
          .dgamma_count = count(t.dgamma),
          .dbeta = t.dbeta.data(),
          .dbeta_count = count(t.dbeta),
          .valid = validity(t.valid)};
}

class Handle {
 public:
  Handle() { EXPECT_EQ(evenrow_saved_create(&saved_), EVENROW_OK); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { evenrow_saved_destroy(saved_); }
  evenrow_saved* get() const { return saved_; }

 private:
  evenrow_saved* saved_ = nullptr;
};

class RunningHandle {
 public:
  RunningHandle(std::int64_t channels, double new_weight) {
    EXPECT_EQ(evenrow_running_create(channels, new_weight, &running_), EVENROW_OK);
  }
  RunningHandle(const RunningHandle&) = delete;
  RunningHandle& operator=(const RunningHandle&) = delete;
  ~RunningHandle() { evenrow_running_destroy(running_); }
  evenrow_running* get() const { return running_; }

 private:
  evenrow_running* running_ = nullptr;
};

}  // namespace evenrow::c
