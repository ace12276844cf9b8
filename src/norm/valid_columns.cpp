#include "norm/valid_columns.hpp"

#include <algorithm>
#include <bit>

#include "core/sizes.hpp"
#include "kernels/columns.hpp"
#include "kernels/pairwise.hpp"

namespace evenrow::norm {
namespace {

// A sum over the same tree as the moments that it belongs to.
struct Sum {
  double value = 0;
};
Sum merge(const Sum& a, const Sum& b) noexcept {
  return {a.value + b.value};
}

}  // namespace

View::View(const NormShape& shape) noexcept
    : outer(shape.outer), channels(shape.channels), inner(shape.inner) {
  if (channels == 1 && inner == 1) std::swap(outer, inner);
  channels_last = inner == 1 && channels > 1;
}

void ValidColumns::add(std::int64_t begin, std::int64_t end) {
  // Rows of several outer indices are not contiguous: a run ends where one of them does.
  while (begin < end) {
    const std::int64_t outer = begin / segment_, inner = begin % segment_;
    const std::int64_t stop = std::min(end, (outer + 1) * segment_);
    if (!runs_.empty() && inner != 0 && runs_.back().start + runs_.back().length == begin) {
      runs_.back().length += stop - begin;
    } else {
      runs_.push_back({begin, stop - begin, count_, outer, inner});
    }
    count_ += stop - begin;
    begin = stop;
  }
}

template <class T>
void ValidColumns::add_where_not_zero(std::span<const T> values) {
  for (auto at = values.begin(); at != values.end();) {
    at = std::find_if(at, values.end(), [](T v) { return v != T{}; });
    const auto end = std::find(at, values.end(), T{});
    add(at - values.begin(), end - values.begin());
    at = end;
  }
}

void ValidColumns::mix(std::uint64_t number) noexcept {
  fingerprint_ = (fingerprint_ ^ number) * 0x9E3779B97F4A7C15u;
  fingerprint_ ^= fingerprint_ >> 32;
}

void ValidColumns::assign(const View& view, const Validity& valid) {
  runs_.clear();
  count_ = 0;
  const std::int64_t columns = view.columns();
  const std::int64_t segments = view.channels_last ? 1 : view.outer;
  segment_ = view.channels_last ? columns : view.inner;
  weights_ = valid.weights;
  if (!valid.mask.empty() || !valid.weights.empty()) {
    // Every other column at most, and one more where a segment ends with a valid column.
    runs_.reserve(static_cast<std::size_t>(columns / 2 + segments + 1));
    add_where_not_zero(valid.mask);
    add_where_not_zero(valid.weights);
  } else if (!valid.lengths.empty()) {
    const auto sequences = static_cast<std::int64_t>(valid.lengths.size());
    runs_.reserve(static_cast<std::size_t>(sequences + segments));
    const std::int64_t padded = columns / sequences;
    for (std::int64_t s = 0; s < sequences; ++s) {
      const std::int64_t length = valid.lengths[static_cast<std::size_t>(s)];
      add(s * padded, s * padded + length);
    }
  } else {
    runs_.reserve(static_cast<std::size_t>(segments));
    add(0, columns);
  }

  fingerprint_ = static_cast<std::uint64_t>(columns);
  for (const kernels::Run& run : runs_) {
    mix(static_cast<std::uint64_t>(run.start));
    mix(static_cast<std::uint64_t>(run.length));
  }

  // The weight of every leaf, and of all.
  const std::int64_t leaf = view.channels_last ? kernels::kColumnLeaf : kernels::kLeaf;
  leaf_weights_.clear();
  leaf_weights_.reserve(static_cast<std::size_t>(core::block_count(columns, leaf)));
  if (weights_.empty()) {
    for (std::int64_t at = 0; at < count_; at += leaf) {
      leaf_weights_.push_back(static_cast<double>(std::min(leaf, count_ - at)));
    }
    weight_ = static_cast<double>(count_);
    return;
  }
  double sum = 0;
  std::int64_t position = 0;
  for (const kernels::Run& run : runs_) {
    for (std::int64_t j = run.start; j < run.start + run.length; ++j) {
      const float w = weights_[static_cast<std::size_t>(j)];
      mix(std::bit_cast<std::uint32_t>(w));
      sum += static_cast<double>(w);
      if (++position % leaf != 0 && position != count_) continue;
      leaf_weights_.push_back(sum);
      sum = 0;
    }
  }
  weight_ = weight_of(0, static_cast<std::int64_t>(leaf_weights_.size()));
}

double ValidColumns::weight_of(std::int64_t first_leaf, std::int64_t leaves) const noexcept {
  kernels::PairwiseMerge<Sum> tree;
  for (std::int64_t i = 0; i < leaves; ++i) {
    tree.push({leaf_weights_[static_cast<std::size_t>(first_leaf + i)]});
  }
  return tree.total().value;
}

kernels::Runs ValidColumns::runs() const noexcept {
  return {runs_.data(), runs_.size(), segment_, weights_.empty() ? nullptr : weights_.data(),
          leaf_weights_.data()};
}

}  // namespace evenrow::norm
