"""Programs in Rust that tests run, built with the features and the profile of `make rust-build`, so that no crate is compiled twice."""

from __future__ import annotations

import functools
from pathlib import Path

from support.harness import ROOT
from support.subprocesses import run_process

# `cargo test --workspace` has these; other members or another profile would be other builds of every crate.
PROGRAMS = ["--profile", "test", "--workspace", "--exclude", "tidy", "--bin", "outside", "--example", "bench_server"]


@functools.cache
def built() -> Path:
    """The folder of the command `outside`, and of `examples/bench_server`; nothing is done where they are built."""
    target = ROOT / "target"
    build = ["cargo", "build", "--quiet", "--offline", *PROGRAMS, "--target-dir", str(target)]
    run_process(build, cwd=ROOT, check=True, timeout=600)
    return target / "debug"
