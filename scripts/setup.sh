#!/usr/bin/env bash
# Installs the Debian 12 packages that Evenrow needs, and .venv for the tests' Python scripts.
#   scripts/setup.sh         everything: build, run, tests, fuzzing, checks
#   scripts/setup.sh --run   only what building and running the program needs (scripts/demo.sh)
# Needs root or sudo when something is missing; a second run changes nothing.
# EVENROW_SKIP_SETUP=1 skips it, for systems where the libraries come from elsewhere.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

RUN_PACKAGES="
g++                  C++20 compiler
cmake                build system
ninja-build          build system
libhwy-dev           Highway: SIMD with run-time dispatch
libdnnl-dev          oneDNN: matrix products
libfmt-dev           text formatting
libcli11-dev         command line
libtomlplusplus-dev  TOML configuration files
nlohmann-json3-dev   JSON
libfast-float-dev    numbers from text
libisal-dev          ISA-L: gzip, checksums
libzip-dev           zip: npz files
libjs-chart.js       pictures of report pages
dataset-fashion-mnist the images of the demo
"
TEST_PACKAGES="
libgtest-dev         GoogleTest
libgmock-dev         GoogleTest's matchers
librapidcheck-dev    property tests
zlib1g-dev           writes the gzip files of tests
libprotobuf-dev      reads ONNX's test cases
protobuf-compiler    reads ONNX's test cases
libonnx-testdata     ONNX's own BatchNormalization cases
clang                fuzzing
libclang-rt-14-dev   fuzzing: libFuzzer and sanitizers
libomp-dev           fuzzing: OpenMP for clang
clang-format         format check
gcovr                coverage
help2man             man pages
pkg-config           test of the installed library
chromium             tests of report pages
python3              tests of the tree, peers of the model file
python3-venv         tests of the tree, peers of the model file
"

case "${1:-}" in
  "") packages=$RUN_PACKAGES$TEST_PACKAGES ;;
  --run) packages=$RUN_PACKAGES ;;
  *) die "usage: scripts/setup.sh [--run]" ;;
esac
if [[ ${EVENROW_SKIP_SETUP:-} == 1 ]]; then exit 0; fi

missing=()
report=""
if command -v dpkg-query >/dev/null; then
  # One query for all; it exits with 1 when it does not know a package, which is no failure here.
  # shellcheck disable=SC2046
  installed=" $(dpkg-query -W -f='${db:Status-Status}=${Package} ' \
    $(awk '{print $1}' <<<"$packages") 2>/dev/null || true)"
else
  installed=" "
fi
while read -r package why; do
  if [[ -n $package && $installed != *" installed=$package "* ]]; then
    missing+=("$package")
    report+=$(printf '  %-22s %s' "$package" "$why")$'\n'
  fi
done <<<"$packages"

if ((${#missing[@]} > 0)); then
  . /etc/os-release 2>/dev/null || ID=unknown
  if [[ ${ID:-} != debian ]] || ! command -v apt-get >/dev/null; then
    die "Evenrow is set up by this script on Debian 12; this is ${PRETTY_NAME:-another system}." \
      "It needs what these Debian packages hold:" "$report" \
      "Install them in your system's way, then run again with EVENROW_SKIP_SETUP=1."
  fi
  as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "These Debian packages are missing:" "$report" \
      "Neither root nor sudo is at hand. Ask an administrator to run:" \
      "  apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} Debian packages"
  printf '%s' "$report"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The tests' Python packages, pinned; made again only when the list changes.
requirements=tests/requirements.txt
if [[ ${1:-} != --run && -f $requirements ]]; then
  stamp=.venv/requirements.sha256
  checksum=$(sha256sum "$requirements")
  if [[ ! -f $stamp || $(<"$stamp") != "$checksum" ]]; then
    say "installing into .venv: $(grep -cE '^[A-Za-z]' "$requirements") Python packages"
    grep -E '^[A-Za-z]' "$requirements" | sed 's/^/  /'
    rm -rf .venv
    /usr/bin/python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --no-input -r "$requirements"
    printf '%s\n' "$checksum" >"$stamp"
  fi
fi
