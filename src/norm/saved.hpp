// What a training forward pass keeps.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "evenrow/aligned.hpp"
#include "evenrow/batch_norm.hpp"

namespace evenrow {

struct BatchNormSaved::State {
  NormShape shape;
  std::int64_t count = 0;
  double weight = 0;
  bool relu = false;
  std::string_view element;             // type of the forward pass
  std::uint64_t valid_fingerprint = 0;  // of the columns that counted
  AlignedVector<double> mean, biased_variance, rstd;
  // Where a relu came after a residual, x alone does not tell what it let through: a bit a value,
  // each segment of a channel (each column where channels are last) in bytes of its own.
  std::vector<std::uint8_t> relu_bits;

  static BatchNormSaved wrap(std::unique_ptr<State> state) noexcept {
    return BatchNormSaved(std::move(state));
  }
  /// Null when moved from.
  static const State* of(const BatchNormSaved& saved) noexcept { return saved.state_.get(); }
  /// The state to write to, made anew when moved from.
  static State& reuse(BatchNormSaved& saved) {
    if (!saved.state_) saved.state_ = std::make_unique<State>();
    return *saved.state_;
  }
};

}  // namespace evenrow
