// A case of bench/operator_bench.py, as its peers in C++ read it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "peer.hpp"

namespace evenrow::bench {

/// What is to be computed, on which data: `[batch, channels, positions]` for nchw and feature_major
/// (batch 1), `[batch, positions, channels]` for nhwc and nc (positions 1).
struct Case {
  std::string
      op;  // forward, backward, infer, chain (forward, then a sum over y), copy, copy_stream
  std::string layout;
  std::string type;  // f32, f64, bf16, f16
  std::int64_t batch = 0, channels = 0, positions = 0;
  double eps = 0;
  bool relu = false, residual = false;
  std::vector<std::int64_t> lengths;
  std::string data;  // the folder of x.bin, dy.bin, ...

  explicit Case(const json& request)
      : op(request.at("op")),
        layout(request.at("layout")),
        type(request.at("type")),
        batch(request.at("outer")),
        channels(request.at("channels")),
        positions(request.at("inner")),
        eps(request.at("eps")),
        relu(request.value("activation", "none") == "relu"),
        residual(request.value("residual", false)),
        lengths(request.value("lengths", std::vector<std::int64_t>{})),
        data(request.at("data")) {}

  std::int64_t size() const { return batch * channels * positions; }
  bool channels_last() const { return layout == "nhwc" || layout == "nc"; }
};

/// The sum of a stretch, in partial sums that a compiler turns into vectors: what the next layer's
/// reading of y stands for.
inline float sum_of(const float* values, std::int64_t count) {
  constexpr std::int64_t kPartial = 64;
  float partial[kPartial] = {};
  std::int64_t i = 0;
  for (; i + kPartial <= count; i += kPartial) {
    for (std::int64_t j = 0; j < kPartial; ++j) partial[j] += values[i + j];
  }
  for (; i < count; ++i) partial[i % kPartial] += values[i];
  float sum = 0;
  for (const float part : partial) sum += part;
  return sum;
}

}  // namespace evenrow::bench
