// What the processor's caches hold. Only speed depends on it, never a result.
#pragma once

#include <cstdint>

namespace evenrow::core {

struct CacheSizes {
  std::int64_t core = 0;    ///< Bytes of the cache that a core has alone (L2).
  std::int64_t shared = 0;  ///< Bytes of the last level, at most 16 MiB for each processor.
};

/// As the system reports them; 1 MiB and 16 MiB where it does not.
const CacheSizes& cache_sizes() noexcept;

}  // namespace evenrow::core
