// A case with its padding cut out: it must give the same bits.
#pragma once

#include "norm_cases.hpp"

namespace evenrow {

/// Feature-major, or row-major where the case is channels-last.
template <class T>
NormCase<T> compacted(const NormCase<T>& k) {
  const bool channels_last = is_channels_last(k.shape);
  const std::int64_t n = k.count();
  NormCase<T> result(channels_last ? NormShape::row_major(n, k.shape.channels)
                                   : NormShape::feature_major(k.shape.channels, n));
  result.options = k.options;
  result.gamma = k.gamma;
  result.beta = k.beta;
  result.dresidual = k.dresidual;
  result.dparameters = k.dparameters;
  result.residual.resize(k.residual.empty() ? 0 : result.x.size());
  result.running_mean = k.running_mean;
  result.running_variance = k.running_variance;
  std::int64_t position = 0;
  for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
    if (!k.counts(j)) continue;
    if (!k.weights.empty()) result.weights.push_back(k.weight(j));
    for (std::int64_t c = 0; c < k.shape.channels; ++c) {
      const std::size_t to = result.at(position, c), from = k.at(j, c);
      result.x[to] = k.x[from];
      result.dy[to] = k.dy[from];
      if (!k.residual.empty()) result.residual[to] = k.residual[from];
    }
    ++position;
  }
  return result;
}

/// Results of a padded case, brought to the layout of its compacted() case.
template <class T>
NormResults<T> compacted(const NormCase<T>& k, const NormCase<T>& compact,
                         const NormResults<T>& results) {
  NormResults<T> moved = results;
  for (std::vector<T>* const values :
       {&moved.y, &moved.dx, &moved.dresidual, &moved.inferred, &moved.through}) {
    if (values->empty()) continue;
    const std::vector<T> padded = *values;
    values->resize(compact.x.size());
    std::int64_t position = 0;
    for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
      if (!k.counts(j)) continue;
      for (std::int64_t c = 0; c < k.shape.channels; ++c) {
        (*values)[compact.at(position, c)] = padded[k.at(j, c)];
      }
      ++position;
    }
  }
  return moved;
}

/// Whether the case gives the bits of the case without its padding.
template <class T>
bool as_without_padding(const NormCase<T>& k) {
  const NormCase<T> compact = compacted(k);
  return compacted(k, compact, run(k)) == run(compact);
}

}  // namespace evenrow
