#include "kernels/targets.hpp"

#ifndef HWY_COMPILE_ALL_ATTAINABLE
#define HWY_COMPILE_ALL_ATTAINABLE
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/targets.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace evenrow::kernels {
namespace HWY_NAMESPACE {

std::int64_t RunningTarget() {
  return HWY_TARGET;
}

}  // namespace HWY_NAMESPACE
}  // namespace evenrow::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <cstdlib>

#include "core/fail.hpp"

namespace evenrow::kernels {
namespace {

HWY_EXPORT(RunningTarget);

std::string target_name(std::int64_t target) {
  // Without vector instructions: one lane, or Highway's emulation of a vector in plain code.
  if (target == HWY_SCALAR || target == HWY_EMU128) return "scalar";
  if (target == HWY_AVX3 || target == HWY_AVX3_DL) return "avx512";
  std::string name = hwy::TargetName(target);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return name;
}

// What is compiled in and this CPU runs, found before anything else is chosen.
std::int64_t usable_targets() {
  static const std::int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;
  return usable;
}

}  // namespace

std::vector<std::string> available_targets() {
  std::vector<std::string> names;  // a better target has a lower bit
  for (std::int64_t left = usable_targets(); left != 0; left &= left - 1) {
    names.push_back(target_name(left & -left));
  }
  return names;
}

std::string running_target() {
  return target_name(HWY_DYNAMIC_DISPATCH(RunningTarget)());
}

bool use_target(std::string_view name) {
  if (name.empty()) {
    hwy::SetSupportedTargetsForTest(usable_targets());
    return true;
  }
  for (std::int64_t left = usable_targets(); left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    if (target_name(target) != name) continue;
    hwy::SetSupportedTargetsForTest(target);
    return true;
  }
  return false;
}

void apply_target_environment() {
  // A failed initialization is tried again by the next call, and fails with the same message.
  [[maybe_unused]] static const bool applied = [] {
    const char* const wanted = std::getenv("EVENROW_TARGET");
    if (wanted == nullptr || use_target(wanted)) return true;
    std::string names;
    for (const std::string& name : available_targets()) {
      names += names.empty() ? name : ", " + name;
    }
    core::fail(ErrorKind::usage,
               "environment variable EVENROW_TARGET is '{}', expected a SIMD target of this CPU: "
               "{}; set it to one of these or unset it",
               wanted, names);
  }();
}

}  // namespace evenrow::kernels
#endif  // HWY_ONCE
