#include "evenrow/network.hpp"

#include <algorithm>
#include <cmath>

#include "core/fail.hpp"
#include "core/random.hpp"
#include "core/sizes.hpp"
#include "nn/inference.hpp"
#include "nn/layout.hpp"
#include "nn/names.hpp"

namespace evenrow {
namespace {

double initial_deviation(const DenseSpec& block, std::int64_t inputs) {
  const bool rectifier = block.activation == Activation::relu ||
                         block.activation == Activation::leaky_relu ||
                         block.activation == Activation::gelu;
  const bool he = block.initialization == Initialization::he ||
                  (block.initialization == Initialization::automatic && rectifier);
  return std::sqrt(2.0 / static_cast<double>(he ? inputs : inputs + block.units));
}

// `last` is the last block before this one that has a residual connection, or -1.
void check_residual(const NetworkSpec& spec, std::size_t b, std::int64_t last) {
  const std::int64_t span = spec.blocks[b].residual;
  const std::int64_t source = static_cast<std::int64_t>(b) - span;  // its output is added
  if (span < 0 || source < 0) {
    core::fail(ErrorKind::usage,
               "network block {}: residual {}, expected 0 (none) to {}; what the first block reads "
               "are the network's inputs, which cannot be added",
               b, span, b);
  }
  if (spec.blocks[static_cast<std::size_t>(source)].units != spec.blocks[b].units) {
    core::fail(
        ErrorKind::usage,
        "network block {}: residual {} adds the {} outputs of block {} to {} units; expected "
        "equal numbers",
        b, span, spec.blocks[static_cast<std::size_t>(source)].units, source, spec.blocks[b].units);
  }
  if (source < last) {
    core::fail(ErrorKind::usage,
               "network block {}: residual {} reaches across block {}, which has a residual "
               "connection itself; expected them one after the other",
               b, span, last);
  }
}

}  // namespace

void append_residual_blocks(NetworkSpec& spec, const DenseSpec& like,
                            std::span<const std::int64_t> inner) {
  for (const std::int64_t units : inner) {
    DenseSpec first = like, second = like;
    first.units = units;
    first.placement = NormPlacement::before_linear;
    if (like.norm == Norm::batch) second.bias = false;
    second.norm = Norm::none;
    second.activation = Activation::none;
    second.residual = 2;
    spec.blocks.push_back(std::move(first));
    spec.blocks.push_back(std::move(second));
  }
}

void check(const NetworkSpec& spec) {
  if (spec.inputs < 1) {
    core::fail(ErrorKind::usage, "network: {} inputs, expected at least 1", spec.inputs);
  }
  if (spec.blocks.empty()) {
    core::fail(ErrorKind::usage, "network: no blocks, expected at least one dense block");
  }
  std::int64_t parameters = 0, last_residual = -1;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    const std::int64_t inputs = spec.inputs_of(b);
    const DenseSpec& block = spec.blocks[b];
    if (block.units < 1) {
      core::fail(ErrorKind::usage, "network block {}: {} units, expected at least 1", b,
                 block.units);
    }
    const auto weights = core::checked_product(inputs, block.units);
    // Three vectors a block beside the weights; 2^40 values are more than any machine here holds.
    if (!weights || *weights > (std::int64_t{1} << 40) ||
        (parameters += *weights + block.units + 2 * spec.norm_channels(b)) >
            (std::int64_t{1} << 40)) {
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
    const bool changes_inputs =
        block.input_activation != Activation::none ||
        (block.norm == Norm::batch && block.placement == NormPlacement::before_linear);
    if (b == 0 && changes_inputs) {
      core::fail(ErrorKind::usage,
                 "network block 0: a norm or an activation before its linear part; the first block "
                 "reads the network's inputs, which the data's own statistics normalize");
    }
    if (block.residual != 0) {
      check_residual(spec, b, last_residual);
      last_residual = static_cast<std::int64_t>(b);
    }
  }
}

template <class T>
Network<T>::Network(NetworkSpec spec, std::uint64_t seed) : spec_(std::move(spec)) {
  check(spec_);
  slots_ = nn::parameter_slots(spec_);
  parameters_.assign(static_cast<std::size_t>(nn::parameter_count(slots_)), T{0});
  for (std::size_t b = 0; b < spec_.blocks.size(); ++b) {
    const DenseSpec& block = spec_.blocks[b];
    const core::RandomStream stream(seed, core::Purpose::weights, b);
    const double deviation = initial_deviation(block, spec_.inputs_of(b));
    std::uint64_t index = 0;
    for (T& w : parameter(b, ParameterKind::weight)) {
      w = static_cast<T>(deviation * stream.normal(index++));
    }
    std::ranges::fill(parameter(b, ParameterKind::gamma), T{1});
    running_.emplace_back(spec_.norm_channels(b), block.new_weight);
  }
}

template <class T>
std::span<const T> Network<T>::parameter(std::size_t block, ParameterKind kind) const noexcept {
  const ParameterSlot* const slot = nn::find_slot(slots_, block, kind);
  if (slot == nullptr) return {};
  return std::span(parameters_)
      .subspan(static_cast<std::size_t>(slot->offset), static_cast<std::size_t>(slot->size()));
}

template <class T>
std::span<T> Network<T>::parameter(std::size_t block, ParameterKind kind) noexcept {
  const std::span<const T> found = std::as_const(*this).parameter(block, kind);
  return {const_cast<T*>(found.data()), found.size()};
}

template <class T>
void Network<T>::infer(std::span<const T> x, std::span<T> y, int threads) const {
  if (slots_.empty()) core::fail(ErrorKind::usage, "infer: the network has no blocks");
  const std::int64_t examples = nn::check_inference(spec_, x.size(), y.size());
  if (examples == 0) return;
  nn::Inference<T>(*this, examples, threads).run(*this, x.data(), examples, y.data());
}

template class Network<float>;
template class Network<double>;

}  // namespace evenrow
