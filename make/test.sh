#!/bin/sh
# `make test`: builds one thing beside the checks that do not need it, then runs the rest.
#
# Usage: make/test.sh MAKE BUILD BESIDE AFTER   (a target, targets that do not need it, targets that follow)
# The build says what it has to say when both have ended. If a check fails, the build is ended too.
set -eu

make=$1 build=$2 beside=$3 after=$4
said=$(mktemp)
"$make" --no-print-directory "$build" >"$said" 2>&1 &
builder=$!
trap 'kill "$builder" 2>/dev/null || true; rm -f "$said"' EXIT
trap 'exit 1' INT TERM HUP

# shellcheck disable=SC2086 - lists of targets
"$make" --no-print-directory $beside
status=0
wait "$builder" || status=$?
cat "$said"
[ "$status" -eq 0 ] || exit "$status"
# shellcheck disable=SC2086 - lists of targets
"$make" --no-print-directory $after
