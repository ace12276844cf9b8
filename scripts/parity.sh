#!/usr/bin/env bash
# Makes the reference values of tests/parity/ again, with PyTorch in a virtual environment of its own
# (build/parity-venv). The tests read the stored values and need none of this.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

[[ $# == 0 ]] || die "usage: scripts/parity.sh"
venv=build/parity-venv
requirements=tests/parity/requirements.txt

if ! cmp -s "$requirements" "$venv/installed.txt"; then
  say "PyTorch in $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
  cp "$requirements" "$venv/installed.txt"
fi
say "reference values"
"$venv/bin/python" tests/parity/make_reference.py tests/parity/data
du -sh tests/parity/data
