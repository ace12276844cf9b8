#!/usr/bin/env bash
# Runs every fuzz target, each from its seeds in fuzz/corpus/NAME.
#   scripts/fuzz.sh                   15 seconds a target
#   scripts/fuzz.sh 3600              an hour a target
#   scripts/fuzz.sh 600 csv_fuzz      one target
# New inputs stay in build/fuzz/corpus; an input that fails is left in build/fuzz/failures.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

seconds=${1:-15}
[[ $seconds =~ ^[0-9]+$ ]] || die "usage: scripts/fuzz.sh [SECONDS [TARGET...]]"
shift || true
if (($# > 0)); then
  targets=("$@")
else
  mapfile -t targets < <(basename -s .cpp fuzz/*_fuzz.cpp)
fi
build fuzz "${targets[@]}"

run_target() {
  local target=build/fuzz/bin/$1 name=${1%_fuzz} log seeds=() dictionary=()
  log=build/fuzz/$name.log
  mkdir -p "build/fuzz/corpus/$name" build/fuzz/failures
  if [[ -d fuzz/corpus/$name ]]; then seeds=("fuzz/corpus/$name"); fi
  if [[ -f fuzz/dictionaries/$name.dict ]]; then dictionary=(-dict="fuzz/dictionaries/$name.dict"); fi
  fixed_addresses "$target" -seed=1 -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/failures/$name-" \
    "${dictionary[@]}" "build/fuzz/corpus/$name" "${seeds[@]}" >"$log" 2>&1 || {
    printf '%s failed:\n' "$name"
    tail -n 60 "$log"
    return 1
  }
  awk -v name="$name" '
    /cov: / { for (i = 1; i < NF; ++i) if ($i == "cov:") edges = $(i + 1) }
    /stat::number_of_executed_units/ { runs = $2 }
    END { printf "%-16s %10d executions  %6d edges\n", name, runs, edges }' "$log"
}

failed=0
running=0
results=$(mktemp)
trap 'rm -f "$results"' EXIT
for target in "${targets[@]}"; do
  if ((running == JOBS)); then
    wait -n || failed=1
    running=$((running - 1))
  fi
  run_target "$target" >>"$results" &
  running=$((running + 1))
done
while ((running > 0)); do
  wait -n || failed=1
  running=$((running - 1))
done
cat "$results"
((failed == 0)) || die "fuzz: at least one target failed"
awk '/executions/ { ++targets; runs += $2 }
  END { printf "fuzz: %d targets, %d executions, no failure\n", targets, runs }' "$results"
