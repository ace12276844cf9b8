#include "train/observe.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

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

// Puts the values of these ranks (ascending) where sorting would; the middle rank first, so that
// the others have halves to look in.
void select(std::span<float> values, std::span<const std::size_t> ranks, std::size_t before = 0) {
  if (ranks.empty()) return;
  const std::size_t middle = ranks.size() / 2, at = ranks[middle] - before;
  const auto nth = static_cast<std::ptrdiff_t>(at);
  std::nth_element(values.begin(), values.begin() + nth, values.end());
  select(values.first(at), ranks.first(middle), before);
  select(values.subspan(at + 1), ranks.subspan(middle + 1), before + at + 1);
}

void add_quantiles(std::vector<float> sample, Distribution& to) {
  if (sample.empty()) {
    to.smallest = to.largest = std::numeric_limits<double>::quiet_NaN();
    to.quantiles.fill(to.smallest);
    return;
  }
  const double last = static_cast<double>(sample.size() - 1);
  std::vector<std::size_t> ranks{0, sample.size() - 1};
  for (const double part : kObservedQuantiles) {
    const double rank = part * last;
    ranks.push_back(static_cast<std::size_t>(std::floor(rank)));
    ranks.push_back(static_cast<std::size_t>(std::ceil(rank)));
  }
  std::ranges::sort(ranks);
  ranks.erase(std::ranges::unique(ranks).begin(), ranks.end());
  select(sample, ranks);
  to.smallest = static_cast<double>(sample.front());
  to.largest = static_cast<double>(sample.back());
  for (std::size_t i = 0; i < kObservedQuantiles.size(); ++i) {
    const double rank = kObservedQuantiles[i] * last, below = std::floor(rank);
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
