#!/usr/bin/env bash
# Draws validation accuracy and loss over the epochs of runs, as the picture of the README.
#   scripts/picture.sh PICTURE.svg RUN...
# Needs gnuplot (Debian package gnuplot-nox).
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

(($# >= 2)) || die "usage: scripts/picture.sh PICTURE.svg RUN..."
command -v gnuplot >/dev/null || die "picture: gnuplot is missing; install gnuplot-nox"
picture=$1
shift
columns=$(mktemp -d)
trap 'rm -rf "$columns"' EXIT
plots_accuracy="" plots_loss=""
for run in "$@"; do
  name=$(basename "$run")
  python3 - "$run/epochs.jsonl" >"$columns/$name" <<'PYTHON'
import json, sys
for line in open(sys.argv[1]):
    epoch = json.loads(line)
    validation = epoch["validation"]
    print(epoch["epoch"] + 1, 100 * validation["accuracy"], validation["loss"])
PYTHON
  style="with linespoints linewidth 2 pointtype 7 pointsize 0.4 title '${name#fashion-mnist-}'"
  plots_accuracy+="${plots_accuracy:+, }'$columns/$name' using 1:2 $style"
  plots_loss+="${plots_loss:+, }'$columns/$name' using 1:3 $style"
done
gnuplot <<GNUPLOT
set terminal svg size 880,340 font 'sans-serif,13' background '#ffffff'
set output '$picture'
set multiplot layout 1,2
set grid linecolor '#dddddd'
set border 3 linecolor '#555555'
set tics nomirror
set xlabel 'epoch'
set colorsequence podo
set key bottom right
set title 'validation accuracy, %'
plot $plots_accuracy
set key top right
set title 'validation loss'
plot $plots_loss
unset multiplot
GNUPLOT
say "$picture"
