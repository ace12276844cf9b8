// How a call of the operator is cut: into tasks for threads, and so that what is read twice is
// still in a cache the second time. Only speed depends on it: which values are summed together is
// fixed by shape alone (leaves and their tree).
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/caches.hpp"
#include "core/sizes.hpp"
#include "norm/valid_columns.hpp"

namespace evenrow::norm {

/// Values that are worth a task of their own.
inline constexpr std::int64_t kTask = 32768;

/// Threads cost more than they bring below some ten thousand values.
inline constexpr std::int64_t kOneThread = 16384;

/// What all threads together may count on finding again in the last cache.
inline std::int64_t cached_bytes() noexcept {
  return core::cache_sizes().shared / 2;
}

/// Segments of fewer values, more than one of them, are short: those of some channels are mapped
/// together, as one column of a channels-last tensor, and their bits lie without gaps.
template <class T>
inline constexpr std::int64_t kShort = 1024 / std::max(sizeof(T), sizeof(float));
template <class T>
bool short_segments(const View& view) noexcept {
  return !view.channels_last && view.outer > 1 && view.inner < kShort<T>;
}

/// Whether every thread gets about as many items.
inline bool balanced(std::int64_t items, int threads) noexcept {
  return items % threads == 0 || items >= 8 * threads;
}

/// A tensor of so many bytes does not stay in a cache, beside the one to three others of a call: it
/// is asked for ahead where it is read and written past the caches, so that the lines that a store
/// replaces need not be read.
inline bool beyond_caches(std::int64_t bytes) noexcept {
  return bytes >= core::cache_sizes().shared / 4;
}

}  // namespace evenrow::norm
