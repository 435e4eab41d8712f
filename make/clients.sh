#!/bin/sh
# Installs the clients that are missing, by name, where apt-get may be called; the missing ones are named, and their tests are skipped.
#
# Usage: make/clients.sh LIST   (lines of: program, Debian package)
set -eu

missing=
while read -r program package; do
    case $program in '' | '#'*) continue ;; esac
    command -v "$program" >/dev/null 2>&1 || missing="$missing $package"
done <"$1"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "clients  not installed, so that their tests are skipped:$missing"
    exit 0
fi
echo "clients  apt-get install$missing"
export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086 - a list of names
    apt-get install --yes --quiet --quiet --no-install-recommends \
        -o Acquire::Retries=1 -o Acquire::http::Timeout=30 $missing >/dev/null 2>&1
}
install || { apt-get update --quiet --quiet >/dev/null 2>&1 && install; } ||
    echo "clients  could not be installed, so that their tests are skipped:$missing"
