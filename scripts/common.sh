# shellcheck shell=bash
# Shared by the scripts here; source it. Goes to the repository's root.
# Debian's own tools come first: a cmake or python from elsewhere may not find Debian's libraries.
PATH=/usr/bin:/bin:$PATH
export PATH
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
JOBS=$(nproc)

say() { printf '\n== %s\n' "$*"; }
die() {
  printf '%s\n' "$@" >&2
  exit 1
}

# The project's C++ and C files, one a line: tracked ones and new ones that git does not ignore.
cpp_files() {
  git ls-files --cached --others --exclude-standard -- '*.cpp' '*.hpp' '*.h' '*.c' | sort -u |
    while read -r file; do if [[ -f $file ]]; then printf '%s\n' "$file"; fi; done
}

# build PRESET [TARGET...]: configures and builds; without targets, what the preset names.
# What CMake finds while it configures is shown only when it fails.
build() {
  local preset=$1 log
  shift
  mkdir -p build
  log=build/configure-$preset.log
  cmake --preset "$preset" >"$log" 2>&1 || {
    cat "$log" >&2
    return 1
  }
  cmake --build --preset "$preset" --parallel "$JOBS" ${1:+--target "$@"}
}

# Runs a command without address space randomization where that is allowed: the sanitizers of
# GCC 12 and Clang 14 do not know the memory layouts of newer kernels with many random bits.
fixed_addresses() {
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    setarch "$(uname -m)" -R "$@"
  else
    "$@"
  fi
}
