#!/usr/bin/env bash
# expect_failure.sh FILE COMPILER...: passes when compiling FILE fails, and its errors match the
# extended regular expression on the line "// EXPECT: " of FILE.
set -u
file=$1
shift
expected=$(sed -n 's|^// EXPECT: ||p' "$file")
[[ -n $expected ]] || { echo "$file has no line '// EXPECT: '"; exit 1; }
# The C locale: quotes in messages are then the plain ones of the expectation.
if output=$(LC_ALL=C "$@" "$file" 2>&1); then
  echo "$file compiles, but must not"
  exit 1
fi
if ! grep 'error:' <<<"$output" | grep -Eq -- "$expected"; then
  printf '%s does not compile, but not for the expected reason.\nexpected: %s\nfound:\n%s\n' \
    "$file" "$expected" "$output"
  exit 1
fi
