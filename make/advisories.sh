#!/bin/sh
# Asks the RustSec database about the crates of Cargo.lock. Says so, and fails, when there is no database: then nothing was checked.
#
# Usage: make/advisories.sh CARGO_DENY
set -eu

if ! said=$("$1" --locked fetch db 2>&1); then
    echo "$said" >&2
    echo "advisories  NOT CHECKED: the database (https://github.com/RustSec/advisory-db) could not be fetched" >&2
    exit 2
fi
exec "$1" --locked check --hide-inclusion-graph --disable-fetch advisories
