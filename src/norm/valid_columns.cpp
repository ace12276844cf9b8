#include "norm/valid_columns.hpp"

#include <algorithm>

namespace evenrow::norm {

View::View(const NormShape& shape) noexcept
    : outer(shape.outer), channels(shape.channels), inner(shape.inner) {
  if (channels == 1) {
    inner *= outer;
    outer = 1;
  }
  channels_last = inner == 1 && channels > 1;
}

void ValidColumns::add(const View& view, std::int64_t begin, std::int64_t end) {
  // Rows of several outer indices are not contiguous: a run ends where one of them does.
  const std::int64_t segment = view.channels_last ? view.columns() : view.inner;
  while (begin < end) {
    const std::int64_t outer = begin / segment;
    const std::int64_t stop = std::min(end, (outer + 1) * segment);
    const std::int64_t offset = view.channels_last
                                    ? begin * view.channels
                                    : outer * view.channels * segment + begin % segment;
    if (!runs_.empty() && begin % segment != 0 &&
        runs_.back().start + runs_.back().length == begin) {
      runs_.back().length += stop - begin;
    } else {
      runs_.push_back({begin, stop - begin, count_, offset});
    }
    count_ += stop - begin;
    begin = stop;
  }
}

void ValidColumns::assign(const View& view, const Validity& valid) {
  runs_.clear();
  count_ = 0;
  const std::int64_t columns = view.columns();
  const std::int64_t segments = view.channels_last ? 1 : view.outer;
  if (!valid.mask.empty()) {
    // Every other column at most, and one more where a segment ends with a valid column.
    runs_.reserve(static_cast<std::size_t>(columns / 2 + segments + 1));
    const auto mask = valid.mask;
    for (auto at = mask.begin(); at != mask.end();) {
      at = std::find_if(at, mask.end(), [](std::uint8_t v) { return v != 0; });
      const auto end = std::find(at, mask.end(), std::uint8_t{0});
      add(view, at - mask.begin(), end - mask.begin());
      at = end;
    }
  } else if (!valid.lengths.empty()) {
    const auto sequences = static_cast<std::int64_t>(valid.lengths.size());
    runs_.reserve(static_cast<std::size_t>(sequences + segments));
    const std::int64_t padded = columns / sequences;
    for (std::int64_t s = 0; s < sequences; ++s) {
      const std::int64_t length = valid.lengths[static_cast<std::size_t>(s)];
      add(view, s * padded, s * padded + length);
    }
  } else {
    runs_.reserve(static_cast<std::size_t>(segments));
    add(view, 0, columns);
  }

  fingerprint_ = static_cast<std::uint64_t>(columns);
  for (const Run& run : runs_) {
    for (const std::int64_t number : {run.start, run.length}) {
      fingerprint_ = (fingerprint_ ^ static_cast<std::uint64_t>(number)) * 0x9E3779B97F4A7C15u;
      fingerprint_ ^= fingerprint_ >> 32;
    }
  }
}

std::size_t ValidColumns::run_at_position(std::int64_t position) const noexcept {
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), position,
                       [](std::int64_t p, const Run& run) { return p < run.before + run.length; });
  return static_cast<std::size_t>(after - runs_.begin());
}

std::size_t ValidColumns::run_at_column(std::int64_t column) const noexcept {
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), column,
                       [](std::int64_t c, const Run& run) { return c < run.start + run.length; });
  return static_cast<std::size_t>(after - runs_.begin());
}

}  // namespace evenrow::norm
