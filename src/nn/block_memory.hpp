// What a training pass keeps of one dense block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "evenrow/aligned.hpp"
#include "evenrow/network.hpp"
#include "kernels/coefficients.hpp"

namespace evenrow::nn {

/// What one dense block keeps of a forward pass, all feature-major [units, examples]. Pointers to
/// the same buffer where the backward pass does not need the values apart:
///   linear                      the product (and bias)
///   activation_in, _out         before and after the activation
///   output                      what later blocks read
/// and of what this block does with what it reads, [inputs, examples]:
///   read_in, read               normalized, and after input_activation; else the output before
/// Batch norm's backward needs its own input; gelu needs what goes into it, the other activations
/// what comes out. T: float, double.
template <class T>
struct BlockMemory {
  DenseSpec spec;
  std::int64_t inputs = 0;
  std::int64_t weight = 0, bias = 0, gamma = 0, beta = 0;  // offsets into the flat parameters
  std::vector<AlignedVector<T>> buffers;
  T *linear = nullptr, *activation_in = nullptr, *activation_out = nullptr, *output = nullptr;
  T *read_in = nullptr, *read = nullptr;  // the network's inputs, which lie otherwise: null
  T* gradient = nullptr;           // with respect to output, turned in place into that of linear
  std::vector<std::uint8_t> kept;  // dropout: 1 where a value was kept
  std::int64_t first_sum = 0;      // of the row blocks' sums of squares of weight gradients
  std::vector<double> mean, biased_variance, rstd;
  std::vector<T> observed;  // what entered the activation; of observed runs alone

  bool norm_before() const {
    return spec.norm == Norm::batch && spec.placement == NormPlacement::before_activation;
  }
  bool norm_after() const {
    return spec.norm == Norm::batch && spec.placement == NormPlacement::after_activation;
  }
  bool norm_first() const {
    return spec.norm == Norm::batch && spec.placement == NormPlacement::before_linear;
  }

  /// Of the channels from `channel` on: what makes rstd, and all that they are normalized with.
  kernels::Deviations deviations(std::int64_t channel) {
    return {biased_variance.data() + channel, spec.eps, rstd.data() + channel};
  }
  kernels::Normalization<T> normalization(const T* parameters, std::int64_t channel) const {
    return {mean.data() + channel, rstd.data() + channel, parameters + gamma + channel,
            parameters + beta + channel};
  }

  /// `before`: what the block before this one gives; null for the network's inputs.
  void allocate(std::int64_t max_examples, T* before) {
    const auto size = static_cast<std::size_t>(spec.units * max_examples);
    const auto buffer = [&] { return buffers.emplace_back(size).data(); };
    const auto input_buffer = [&] {
      return buffers.emplace_back(static_cast<std::size_t>(inputs * max_examples)).data();
    };
    const bool gelu = spec.activation == Activation::gelu;
    const bool reads_its_output = !gelu && spec.activation != Activation::none;
    buffers.reserve(6);
    read_in = norm_first() ? input_buffer() : before;
    const bool apart = spec.input_activation == Activation::gelu ||
                       (spec.input_activation != Activation::none && !norm_first());
    read = apart ? input_buffer() : read_in;
    linear = buffer();
    activation_in = norm_before() ? buffer() : linear;
    activation_out = gelu ? buffer() : activation_in;
    const bool changes_output = spec.dropout > 0.0 || spec.residual > 0;
    const bool new_output = norm_after() || (changes_output && reads_its_output);
    output = new_output ? buffer() : activation_out;
    if (spec.dropout > 0.0) kept.resize(size);
    if (spec.norm == Norm::batch) {
      mean.resize(static_cast<std::size_t>(norm_first() ? inputs : spec.units));
      biased_variance.resize(mean.size());
      rstd.resize(mean.size());
    }
  }
};

}  // namespace evenrow::nn
