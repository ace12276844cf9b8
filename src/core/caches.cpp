#include "core/caches.hpp"

#include <unistd.h>

#include <algorithm>

namespace evenrow::core {
namespace {

std::int64_t reported(int name, std::int64_t otherwise) noexcept {
  const long bytes = ::sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}

}  // namespace

const CacheSizes& cache_sizes() noexcept {
  static const CacheSizes sizes = [] {
    const std::int64_t core = reported(_SC_LEVEL2_CACHE_SIZE, std::int64_t{1} << 20);
    return CacheSizes{core, std::max(core, reported(_SC_LEVEL3_CACHE_SIZE, std::int64_t{1} << 24))};
  }();
  return sizes;
}

}  // namespace evenrow::core
