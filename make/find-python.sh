#!/bin/sh
# Prints the Python that .venv is made from: the newest suitable one, or the one named as the first argument.
#
# Suitable: it runs (a pyenv shim may exist and fail), it is a released CPython from 3.10 to the newest that PyO3 knows, it is no
# debug build, and it can make a virtual environment with pip (venv and ensurepip). Free-threaded builds are suitable from 3.14 on;
# unless named, they are chosen where there is no other.
# Candidates: python3.15 to python3.10 and python3 on PATH, with and without the t of a free-threaded build, and those that pyenv has
# installed. On equal versions the first one wins.
set -eu

# One line: "ok HAS_GIL.MAJOR.MINOR.MICRO EXECUTABLE", or "no REASON". With an argument the choice is the user's, so only necessities
# are asked.
probe='
import sys
named = len(sys.argv) > 1
def refuse(reason):
    print("no", reason)
    sys.exit()
version = sys.version_info
if version < (3, 10):
    refuse("is older than 3.10")
import importlib.util, sysconfig
for needed in ("venv", "ensurepip"):
    if importlib.util.find_spec(needed) is None:
        refuse("has no module " + needed + " (on Debian and Ubuntu: apt install python3-venv)")
has_gil = not sysconfig.get_config_var("Py_GIL_DISABLED")
if not has_gil and version < (3, 14):
    refuse("is a free-threaded build older than 3.14, which PyO3 does not know")
if not named:
    if sys.implementation.name != "cpython":
        refuse("is not CPython")
    if version >= (3, 16):
        refuse("is newer than what PyO3 knows")
    if version.releaselevel != "final":
        refuse("is a pre-release")
    if sysconfig.get_config_var("Py_DEBUG") or hasattr(sys, "gettotalrefcount"):
        refuse("is a debug build")
print("ok", "%d.%d.%d.%d" % (has_gil, *version[:3]), sys.executable)
'

ask() {
    "$@" 2>/dev/null || echo "no does not run"
}

if [ -n "${1:-}" ]; then
    command=$(command -v "$1") || { echo "PYTHON=$1: there is no such command" >&2; exit 1; }
    answer=$(ask "$command" -I -c "$probe" named)
    case $answer in
        "ok "*) echo "$answer" | cut -d ' ' -f 3- ; exit 0 ;;
        *) echo "PYTHON=$1 ${answer#no }" >&2; exit 1 ;;
    esac
fi

candidates() {
    for name in python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python3 python3.15t python3.14t; do
        command -v "$name" || true
    done
    for installed in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
        if [ -x "$installed" ]; then echo "$installed"; fi
    done
}

found=
reasons=
while IFS= read -r candidate; do
    answer=$(ask "$candidate" -I -c "$probe")
    case $answer in
        "ok "*) found="$found${answer#ok }
" ;;
        *) reasons="$reasons  $candidate ${answer#no }
" ;;
    esac
done <<END
$(candidates)
END

if [ -z "$found" ]; then
    echo "No suitable Python found: 3.10 to 3.15 with venv and pip is needed. Name one with PYTHON=/path/to/python3." >&2
    printf '%s' "$reasons" >&2
    exit 1
fi
# A stable sort by lock, minor and micro version keeps the first of equals on top.
printf '%s' "$found" | sort -s -t . -k 1,1nr -k 3,3nr -k 4,4nr | head -n 1 | cut -d ' ' -f 2-
