#include "train/observe.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/threads.hpp"
#include "kernels/rows.hpp"
#include "kernels/updates.hpp"

namespace evenrow::training {
namespace {

constexpr std::size_t kSample = 4096;

// All values, or kSample of them where a Weyl sequence says: multiples of the golden ratio modulo
// one fill [0, 1) evenly and keep step with no row length.
std::vector<float> sample_of(std::span<const float> values) {
  std::vector<float> sample;
  if (values.size() <= kSample) {
    sample.assign(values.begin(), values.end());
  } else {
    sample.reserve(kSample);
    const auto size = static_cast<double>(values.size());
    for (std::uint64_t k = 0; k < kSample; ++k) {
      const std::uint64_t bits = k * 0x9E3779B97F4A7C15;  // 2^64 / golden ratio
      const double position = static_cast<double>(bits >> 11) * 0x1.0p-53 * size;
      sample.push_back(values[static_cast<std::size_t>(position)]);
    }
  }
  std::erase_if(sample, [](float value) { return std::isnan(value); });
  return sample;
}

// As integers of the same order, 8 bits at a time, the last ones first: several times faster than
// by comparing, where no branch can be foretold.
void sort_floats(std::vector<float>& values) {
  constexpr std::uint32_t kSign = 0x80000000u, kDigit = 0xFF;
  std::vector<std::uint32_t> keys(values.size()), sorted(values.size());
  std::ranges::transform(values, keys.begin(), [](float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return (bits & kSign) != 0 ? ~bits : bits | kSign;
  });
  for (int shift = 0; shift < 32; shift += 8) {
    std::array<std::uint32_t, kDigit + 2> starts{};
    for (const std::uint32_t key : keys) ++starts[(key >> shift & kDigit) + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    for (const std::uint32_t key : keys) sorted[starts[key >> shift & kDigit]++] = key;
    keys.swap(sorted);
  }
  std::ranges::transform(keys, values.begin(), [](std::uint32_t key) {
    return std::bit_cast<float>((key & kSign) != 0 ? key & ~kSign : ~key);
  });
}

void add_quantiles(std::vector<float> sample, Distribution& to) {
  if (sample.empty()) {
    to.smallest = to.largest = std::numeric_limits<double>::quiet_NaN();
    to.quantiles.fill(to.smallest);
    return;
  }
  sort_floats(sample);
  to.smallest = static_cast<double>(sample.front());
  to.largest = static_cast<double>(sample.back());
  for (std::size_t i = 0; i < kObservedQuantiles.size(); ++i) {
    const double rank = kObservedQuantiles[i] * static_cast<double>(sample.size() - 1);
    const double below = std::floor(rank);
    const double low = static_cast<double>(sample[static_cast<std::size_t>(below)]);
    const double high = static_cast<double>(sample[static_cast<std::size_t>(std::ceil(rank))]);
    // Equal infinities have no difference.
    to.quantiles[i] = low == high ? low : low + (rank - below) * (high - low);
  }
}

NormObservation observe_norm(const BlockView<float>& view, const RunningStatistics& running,
                             double eps) {
  const std::size_t channels = view.mean.size();
  double squares = 0, logarithms = 0;
  for (std::size_t c = 0; c < channels; ++c) {
    const double variance = running.variance[c] + eps, shift = view.mean[c] - running.mean[c];
    squares += shift * shift / variance;
    logarithms += std::log((view.biased_variance[c] + eps) / variance);
  }
  const auto count = static_cast<double>(channels);
  return {.mean_shift = std::sqrt(squares / count),
          .variance_ratio = std::exp(logarithms / count),
          .gamma = {},
          .beta = {}};
}

std::int64_t count_dead(std::span<const float> activation_output, std::int64_t units) {
  const std::size_t examples = activation_output.size() / static_cast<std::size_t>(units);
  std::int64_t dead = 0;
  for (std::size_t at = 0; at < activation_output.size(); at += examples) {
    const auto row = activation_output.subspan(at, examples);
    dead += std::ranges::all_of(row, [](float value) { return value == 0; }) ? 1 : 0;
  }
  return dead;
}

}  // namespace

Distribution distribution_of(std::span<const float> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  const kernels::Moments moments = kernels::row_moments(values.data(), count);
  Distribution distribution{
      .count = count, .mean = moments.mean, .variance = moments.m2 / moments.count};
  add_quantiles(sample_of(values), distribution);
  return distribution;
}

Observation observe(TrainingPass<float>& pass, const Network<float>& network,
                    std::span<const float> x, int threads) {
  Observation observation;
  const std::size_t blocks = network.spec().blocks.size();
  observation.blocks.resize(blocks);
  // Two tasks a block; who does them changes nothing.
  core::parallel_for(threads, 2 * static_cast<std::int64_t>(blocks), [&](std::int64_t task) {
    const auto b = static_cast<std::size_t>(task / 2);
    const DenseSpec& spec = network.spec().blocks[b];
    const BlockView<float> view = pass.block(b);
    BlockObservation& seen = observation.blocks[b];
    if (task % 2 == 0) {
      seen.block = static_cast<std::int64_t>(b);
      seen.units = spec.units;
      seen.input = distribution_of(b == 0 ? x : pass.block(b - 1).output);
      for (const ParameterKind kind : {ParameterKind::weight, ParameterKind::bias,
                                       ParameterKind::gamma, ParameterKind::beta}) {
        const auto values = network.parameter(b, kind);
        if (values.empty()) continue;
        const float* gradient =
            pass.gradients().data() + (values.data() - network.parameters().data());
        seen.gradient_norms.emplace_back(
            kind, std::sqrt(kernels::sum_of_squares(gradient, std::ssize(values))));
      }
      return;
    }
    seen.activation_input = distribution_of(view.activation_input);
    if (spec.activation == Activation::relu) {
      seen.dead_units = count_dead(view.activation_output, spec.units);
    }
    if (!view.mean.empty()) {
      seen.norm = observe_norm(view, network.running(b), spec.eps);
      seen.norm->gamma = distribution_of(network.parameter(b, ParameterKind::gamma));
      seen.norm->beta = distribution_of(network.parameter(b, ParameterKind::beta));
    }
  });
  return observation;
}

}  // namespace evenrow::training
