#!/usr/bin/env bash
# All tests: format, release build with warnings as errors, every test, a short fuzz run, and the
# tests again under the sanitizers. Fails when any of them fails; ends with a table.
#   scripts/test.sh           everything
#   scripts/test.sh --quick   the release tests alone
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

case "${1:-}" in
  "") quick=0 ;;
  --quick) quick=1 ;;
  *) die "usage: scripts/test.sh [--quick]" ;;
esac

logs=build/logs
mkdir -p "$logs"
table=""
failed=0

# step NAME SUMMARY COMMAND...: runs the command, keeps its output in build/logs/NAME.log, and adds a
# row to the table with the last line of it that holds SUMMARY.
step() {
  local name=$1 summary=$2 log=$logs/$1.log started=$SECONDS result=passed line status=0
  shift 2
  say "$name"
  if [[ $name == tests ]]; then
    "$@" 2>&1 | tee "$log" || status=1
  else
    "$@" >"$log" 2>&1 || status=1
    ((status == 0)) || tail -n 200 "$log"
  fi
  if ((status != 0)); then
    result=FAILED
    failed=1
  fi
  line=$(grep -E "$summary" "$log" | tail -n 1 || true)
  # ctest's own words for the one run that counts; the repetitions say how many in fewer.
  if [[ $name != tests ]]; then
    line=$(sed -E 's/^100% tests passed.* out of ([0-9]+)$/\1 tests/' <<<"$line")
  fi
  if [[ -z $line && $status == 0 ]]; then
    result=FAILED
    failed=1
    line="nothing was run"
  fi
  printf '%s: %s\n' "$result" "$line"
  table+=$(printf '%-8s %-7s %5d s  %s' "$name" "$result" $((SECONDS - started)) "$line")$'\n'
}

bash scripts/setup.sh

# shellcheck disable=SC2317,SC2329
release_tests() {
  build release && ctest --preset release --parallel "$JOBS"
}
ctest_summary='tests passed.* out of'

step tests "$ctest_summary" release_tests
if ((quick == 0)); then
  step format '^format:' bash scripts/format.sh --check
  step fuzz '^fuzz:' bash scripts/fuzz.sh 10
  step asan "$ctest_summary" bash scripts/sanitize.sh asan
  step tsan "$ctest_summary" bash scripts/sanitize.sh tsan
fi

say "summary"
printf '%s' "$table"
exit "$failed"
