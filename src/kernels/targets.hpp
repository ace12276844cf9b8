// Which SIMD target the kernels run on. Chosen once, from what this CPU has; a caller, a test or
// the environment variable EVENROW_TARGET may choose another one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evenrow::kernels {

/// Names of the targets that are compiled in and that this CPU runs, best first: of "avx512",
/// "avx2", "sse4", "scalar" on x86-64. The last one is always "scalar".
std::vector<std::string> available_targets();

/// The target that kernels run on now, as a kernel compiled for it says: it is dispatched like
/// every other kernel.
std::string running_target();

/// Kernels run on this target from now on; an empty name: the best one again. False, and no change,
/// when it is not among available_targets(). For tests and for comparisons: no kernel may be
/// running.
bool use_target(std::string_view name);

/// Does what EVENROW_TARGET says, the first time that it is called; costs nothing afterwards. Every
/// public function that runs kernels calls it. Errors (usage): a target that is not available.
void apply_target_environment();

}  // namespace evenrow::kernels
