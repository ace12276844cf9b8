#!/usr/bin/env bash
# Builds and runs the tests under sanitizers.
#   scripts/sanitize.sh asan   AddressSanitizer and UndefinedBehaviorSanitizer, every test
#   scripts/sanitize.sh tsan   ThreadSanitizer, the rooms that start threads
# Further arguments go to ctest, for example: scripts/sanitize.sh asan -R 'data:'
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

preset=${1:-}
[[ $preset == asan || $preset == tsan ]] || die "usage: scripts/sanitize.sh asan|tsan [CTEST OPTION...]"
shift
build "$preset"
export ASAN_OPTIONS=${ASAN_OPTIONS:-strict_string_checks=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-second_deadlock_stack=1}
fixed_addresses ctest --preset "$preset" --parallel "$JOBS" "$@"
