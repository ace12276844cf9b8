#include "evenrow/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/fail.hpp"
#include "core/random.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/activations.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "kernels/targets.hpp"
#include "nn/names.hpp"
#include "norm/coefficients.hpp"

namespace evenrow {
namespace {

constexpr std::int64_t kInferenceColumns = 256;  // examples a task; fixed, so that bits are too

std::vector<ParameterSlot> layout(const NetworkSpec& spec) {
  std::vector<ParameterSlot> slots;
  std::int64_t offset = 0, inputs = spec.inputs;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    const DenseSpec& block = spec.blocks[b];
    const auto add = [&](ParameterKind kind, std::int64_t columns) {
      slots.push_back({fmt::format("blocks.{}.{}", b, core::name_of(kind)), kind, offset,
                       block.units, columns});
      offset += block.units * columns;
    };
    add(ParameterKind::weight, inputs);
    if (block.has_bias()) add(ParameterKind::bias, 1);
    if (block.norm == Norm::batch) {
      add(ParameterKind::gamma, 1);
      add(ParameterKind::beta, 1);
    }
    inputs = block.units;
  }
  return slots;
}

double initial_deviation(const DenseSpec& block, std::int64_t inputs) {
  const bool rectifier = block.activation == Activation::relu ||
                         block.activation == Activation::leaky_relu ||
                         block.activation == Activation::gelu;
  const bool he = block.initialization == Initialization::he ||
                  (block.initialization == Initialization::automatic && rectifier);
  return std::sqrt(2.0 / static_cast<double>(he ? inputs : inputs + block.units));
}

}  // namespace

void check(const NetworkSpec& spec) {
  if (spec.inputs < 1) {
    core::fail(ErrorKind::usage, "network: {} inputs, expected at least 1", spec.inputs);
  }
  if (spec.blocks.empty()) {
    core::fail(ErrorKind::usage, "network: no blocks, expected at least one dense block");
  }
  std::int64_t inputs = spec.inputs, parameters = 0;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    const DenseSpec& block = spec.blocks[b];
    if (block.units < 1) {
      core::fail(ErrorKind::usage, "network block {}: {} units, expected at least 1", b,
                 block.units);
    }
    const auto weights = core::checked_product(inputs, block.units);
    // Three vectors a block beside the weights; 2^40 values are more than any machine here holds.
    if (!weights || *weights > (std::int64_t{1} << 40) ||
        (parameters += *weights + 3 * block.units) > (std::int64_t{1} << 40)) {
      core::fail(ErrorKind::usage, "network block {}: {} x {} weights are too many", b, block.units,
                 inputs);
    }
    if (!(block.dropout >= 0.0 && block.dropout < 1.0)) {
      core::fail(ErrorKind::usage, "network block {}: dropout {}, expected in [0, 1)", b,
                 block.dropout);
    }
    if (block.norm == Norm::batch) {
      if (!(block.eps >= 0.0 && std::isfinite(block.eps))) {
        core::fail(ErrorKind::usage, "network block {}: eps {}, expected finite and >= 0", b,
                   block.eps);
      }
      if (!(block.new_weight > 0.0 && block.new_weight <= 1.0)) {
        core::fail(ErrorKind::usage, "network block {}: new_weight {}, expected in (0, 1]", b,
                   block.new_weight);
      }
      if (block.has_bias() && block.placement == NormPlacement::before_activation) {
        core::fail(ErrorKind::usage,
                   "network block {}: a bias directly before batch norm does nothing, because the "
                   "batch mean takes it away and beta takes its place; leave `bias` out",
                   b);
      }
    }
    inputs = block.units;
  }
}

template <class T>
Network<T>::Network(NetworkSpec spec, std::uint64_t seed) : spec_(std::move(spec)) {
  check(spec_);
  slots_ = layout(spec_);
  const ParameterSlot& last = slots_.back();
  parameters_.assign(static_cast<std::size_t>(last.offset + last.size()), T{0});
  std::int64_t inputs = spec_.inputs;
  for (std::size_t b = 0; b < spec_.blocks.size(); ++b) {
    const DenseSpec& block = spec_.blocks[b];
    const core::RandomStream stream(seed, core::Purpose::weights, b);
    const double deviation = initial_deviation(block, inputs);
    std::uint64_t index = 0;
    for (T& w : parameter(b, ParameterKind::weight)) {
      w = static_cast<T>(deviation * stream.normal(index++));
    }
    std::ranges::fill(parameter(b, ParameterKind::gamma), T{1});
    running_.emplace_back(block.norm == Norm::batch ? block.units : 0, block.new_weight);
    inputs = block.units;
  }
}

template <class T>
std::span<const T> Network<T>::parameter(std::size_t block, ParameterKind kind) const noexcept {
  std::size_t b = std::numeric_limits<std::size_t>::max();  // each block begins with its weight
  for (const ParameterSlot& slot : slots_) {
    if (slot.kind == ParameterKind::weight) ++b;
    if (b == block && slot.kind == kind) {
      return std::span(parameters_)
          .subspan(static_cast<std::size_t>(slot.offset), static_cast<std::size_t>(slot.size()));
    }
  }
  return {};
}

template <class T>
std::span<T> Network<T>::parameter(std::size_t block, ParameterKind kind) noexcept {
  const std::span<const T> found = std::as_const(*this).parameter(block, kind);
  return {const_cast<T*>(found.data()), found.size()};
}

namespace {

// One row of a block's linear output z, in place: bias or folded batch norm, activation.
template <class T>
void infer_row(const DenseSpec& block, T bias, const kernels::Affine<T>& k, T* z, std::int64_t n) {
  const bool relu = block.activation == Activation::relu;
  if (block.norm == Norm::batch && block.placement == NormPlacement::before_activation) {
    kernels::row_normalize(z, z, n, k, relu);
    if (!relu) kernels::activate(block.activation, z, z, n);
    return;
  }
  if (block.has_bias() || relu) kernels::row_normalize(z, z, n, {.shift = bias}, relu);
  if (!relu) kernels::activate(block.activation, z, z, n);
  if (block.norm == Norm::batch) {
    kernels::row_normalize(z, z, n, k, false);
  }
}

}  // namespace

template <class T>
void Network<T>::infer(std::span<const T> x, std::span<T> y, int threads) const {
  if (slots_.empty()) core::fail(ErrorKind::usage, "infer: the network has no blocks");
  const std::int64_t examples = static_cast<std::int64_t>(x.size()) / inputs();
  if (static_cast<std::int64_t>(x.size()) != examples * inputs() ||
      static_cast<std::int64_t>(y.size()) != examples * outputs()) {
    core::fail(ErrorKind::usage,
               "infer: x has {} values and y {}, expected a multiple of {} inputs, and {} outputs "
               "an example",
               x.size(), y.size(), inputs(), outputs());
  }

  kernels::apply_target_environment();
  std::vector<std::vector<kernels::Affine<T>>> coefficients(spec_.blocks.size());
  std::int64_t widest = 0;
  for (std::size_t b = 0; b < spec_.blocks.size(); ++b) {
    const DenseSpec& block = spec_.blocks[b];
    widest = std::max(widest, block.units);
    coefficients[b].resize(static_cast<std::size_t>(block.units));
    if (block.norm == Norm::none) continue;
    const auto gamma = parameter(b, ParameterKind::gamma), beta = parameter(b, ParameterKind::beta);
    for (std::size_t c = 0; c < gamma.size(); ++c) {
      coefficients[b][c] = norm::infer_coefficients<T>(running_[b].mean[c], running_[b].variance[c],
                                                       block.eps, gamma[c], beta[c]);
    }
  }

  const std::int64_t tasks = core::block_count(examples, kInferenceColumns);
  const int workers = core::resolve_threads(threads);
  // One pair of scratch matrices a task in flight: [widest, columns], feature-major.
  const std::int64_t scratch_columns = std::min(examples, kInferenceColumns);
  const auto scratch_size = static_cast<std::size_t>(2 * widest * scratch_columns);
  const std::int64_t chunks = std::min<std::int64_t>(workers, tasks);
  std::vector<T> scratch(scratch_size * static_cast<std::size_t>(chunks));
  core::parallel_for(workers, chunks, [&](std::int64_t chunk) {
    T* here = scratch.data() + static_cast<std::size_t>(chunk) * scratch_size;
    T* there = here + widest * scratch_columns;
    for (std::int64_t task = chunk; task < tasks; task += chunks) {
      const std::int64_t first = task * kInferenceColumns;
      const std::int64_t n = std::min(examples - first, kInferenceColumns);
      std::int64_t width = inputs();
      for (std::size_t b = 0; b < spec_.blocks.size(); ++b) {
        const DenseSpec& block = spec_.blocks[b];
        const T* weight = parameter(b, ParameterKind::weight).data();
        const auto bias = parameter(b, ParameterKind::bias);
        if (b == 0) {
          kernels::gemm(kernels::Transpose::no, kernels::Transpose::yes, block.units, n, width,
                        weight, width, x.data() + first * width, width, here, n);
        } else {
          kernels::gemm(kernels::Transpose::no, kernels::Transpose::no, block.units, n, width,
                        weight, width, there, n, here, n);
        }
        for (std::int64_t c = 0; c < block.units; ++c) {
          const auto at = static_cast<std::size_t>(c);
          infer_row(block, bias.empty() ? T{0} : bias[at], coefficients[b][at], here + c * n, n);
        }
        std::swap(here, there);
        width = block.units;
      }
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t c = 0; c < width; ++c) {
          y[static_cast<std::size_t>((first + i) * width + c)] = there[c * n + i];
        }
      }
    }
  });
}

template class Network<float>;
template class Network<double>;

}  // namespace evenrow
