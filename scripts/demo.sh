#!/usr/bin/env bash
# Trains 784-256-128-10 on Fashion-MNIST twice from the same seed, with and without batch
# normalization, and compares the two. Leaves both runs in runs/.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

bash scripts/setup.sh --run
say "building"
build demo
evenrow=build/demo/bin/evenrow
with=runs/fashion-mnist-batch-norm
without=runs/fashion-mnist-plain
# Only the demo's own folders: an earlier demo's.
rm -rf "$with" "$without"

options=(--hidden 256,128 --lr 0.003 --schedule cosine --epochs 10 --seed 1)
say "with batch normalization"
"$evenrow" train fashion-mnist "${options[@]}" --norm batch --out "$with"
say "without"
"$evenrow" train fashion-mnist "${options[@]}" --norm none --out "$without"
say "side by side"
"$evenrow" inspect "$with" "$without"
