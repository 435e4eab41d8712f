#!/bin/sh
# Compiles the workspace with the oldest Rust that Cargo.toml declares. Where rustup cannot install it, that is said and nothing fails.
#
# Usage: make/oldest-rust.sh
set -eu

version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if ! RUSTUP_AUTO_INSTALL=0 rustc "+$version" --version >/dev/null 2>&1; then
    echo "rust     rustup toolchain install $version"
    if ! said=$(rustup toolchain install "$version" --profile minimal --no-self-update 2>&1); then
        echo "$said" >&2
        echo "rust     NOT CHECKED with $version, which could not be installed" >&2
        exit 0
    fi
fi
cargo "+$version" check --quiet --locked --workspace --target-dir target/oldest
