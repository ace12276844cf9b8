#!/usr/bin/env bash
# Line and branch coverage of src/, cli/ and include/ by the tests: a table here, and every line in
# build/coverage/report/index.html.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

bash scripts/setup.sh
build coverage
find build/coverage -name '*.gcda' -delete
ctest --preset coverage --parallel "$JOBS"
mkdir -p build/coverage/report
# Branches that only an exception out of a call takes are left out: nearly every call has one.
gcovr --root . --filter 'src/' --filter 'cli/' --filter 'include/' --exclude-throw-branches \
  --exclude-unreachable-branches --html-details build/coverage/report/index.html \
  --txt build/coverage/report/lines.txt --print-summary build/coverage
cat build/coverage/report/lines.txt
echo "coverage: every line in build/coverage/report/index.html"
