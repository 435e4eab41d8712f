#!/bin/sh
# Makes the virtual environment if it is missing or was made from another Python, and installs tools into it.
#
# Usage: make/venv.sh VENV PYTHON REQUIREMENTS...   (PYTHON empty: none was found, and that has been said)
# Each requirements file is installed once and again after it changed; a copy of it inside .venv is the memory of that.
set -eu

venv=$1
python=$2
shift 2

[ -n "$python" ] || exit 1
choice="$python $("$python" -c 'import sys; print(sys.version.split()[0])')"
# A virtual environment holds absolute paths: one that was moved or copied is made again.
memory="$choice in $(pwd)"

if [ "$(cat "$venv/.made-from" 2>/dev/null)" != "$memory" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    echo "venv     a new $venv from $choice"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    echo "$memory" >"$venv/.made-from"
fi

for requirements in "$@"; do
    installed="$venv/.$(basename "$requirements")"
    if ! cmp -s "$requirements" "$installed"; then
        echo "tools    pip install -r $requirements"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
        cp "$requirements" "$installed"
    fi
done
