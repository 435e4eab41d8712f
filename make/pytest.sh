#!/bin/sh
# Runs pytest; tests that failed run once more, one after another, and those that fail again a last time.
#
# Usage: make/pytest.sh PYTHON CORES MARKS   (CORES tests at a time; an expression of pytest's option -m)
# A test beside others, on a machine that other programs keep busy, may fail by that alone; one that is broken fails each time. All
# runs are in the output.
set -eu

python=$1 cores=$2 marks=$3
beside=
[ "$cores" -eq 1 ] || beside="-n $cores --dist loadfile"

status=0
# shellcheck disable=SC2086 - options
"$python" -m pytest $beside -m "$marks" || status=$?
# 1: tests failed. Anything else is no failure of a test (pytest's "Exit codes").
[ "$status" -eq 1 ] || exit "$status"
for run in second last; do
    echo "pytest   what failed, a $run time"
    status=0
    "$python" -m pytest -v --maxfail=10 --last-failed --last-failed-no-failures none -m "$marks" || status=$?
    [ "$status" -eq 1 ] || exit "$status"
done
exit 1
