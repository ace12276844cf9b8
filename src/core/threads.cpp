#include "core/threads.hpp"

#include <omp.h>
#include <sched.h>

#include <algorithm>

namespace evenrow::core {

int available_threads() noexcept {
  cpu_set_t affinity;
  CPU_ZERO(&affinity);
  const int cpus = sched_getaffinity(0, sizeof affinity, &affinity) == 0 ? CPU_COUNT(&affinity) : 1;
  return std::max(1, std::min(cpus, omp_get_max_threads()));
}

int resolve_threads(int requested) noexcept {
  return requested > 0 ? requested : available_threads();
}

}  // namespace evenrow::core
