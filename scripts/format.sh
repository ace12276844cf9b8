#!/usr/bin/env bash
# Formats every C++ file in place; with --check, changes nothing and fails when one would change.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

case "${1:-}" in
  "") cpp_files | xargs clang-format -i ;;
  --check)
    cpp_files | xargs clang-format --dry-run --Werror
    echo "format: $(cpp_files | wc -l) files are as clang-format wants them"
    ;;
  *) die "usage: scripts/format.sh [--check]" ;;
esac
