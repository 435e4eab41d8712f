"""Builds another commit of this project beside the working tree, for comparisons.

The commit is checked out as a git worktree below `bench/work/`, built, and the worktree removed again; the built files are
kept under the commit's name and used again. The working tree itself is never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import install, paths

REVISIONS = paths.WORK / "revisions"


class BuildFailed(Exception):
    """The text is the reason to print."""


@dataclass(frozen=True)
class Built:
    """Where one state of the project was built."""

    label: str
    rust: Path
    python: Path


def working_tree() -> Built:
    return Built("working tree", paths.OUR_RUST, paths.OUR_PYTHON)


def _must(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BuildFailed(f"{' '.join(command[:3])}: {' / '.join(lines[-3:])}")
    return done.stdout.strip()


def build(revision: str, rust: bool, python: bool, say) -> Built:
    """The commit that `revision` names, with the wanted parts built in release mode."""
    commit = _must(["git", "rev-parse", "--verify", f"{revision}^{{commit}}"], paths.ROOT)[:12]
    folder = REVISIONS / commit
    built = Built(f"{revision} ({commit})" if revision != commit else commit, folder / "bench_server",
                  folder / "venv" / "bin" / "python")  # fmt: skip
    if (built.rust.exists() or not rust) and (built.python.exists() or not python):
        return built
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    _must(["git", "worktree", "prune"], paths.ROOT)
    _must(["git", "worktree", "add", "--detach", str(tree), commit], paths.ROOT)
    # One target folder for all revisions, so that dependencies are compiled once; results are copied out of it.
    target = REVISIONS / "target"
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "PYO3_PYTHON": str(paths.OUR_PYTHON)}
    try:
        if rust and not built.rust.exists():
            say(f"build    bench_server of {built.label}")
            command = ["cargo", "build", "--release", "--quiet", "--package", "outside", "--example", "bench_server"]
            _must(command, tree, environment)
            shutil.copy2(target / "release" / "examples" / "bench_server", built.rust)
        if python and not built.python.exists():
            say(f"build    the Python module of {built.label}")
            _build_module(tree, folder, environment)
    finally:
        _must(["git", "worktree", "remove", "--force", str(tree)], paths.ROOT)
    return built


def _build_module(tree: Path, folder: Path, environment: dict[str, str]) -> None:
    wheels = folder / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    python = str(paths.OUR_PYTHON)
    command = [python, "-m", "maturin", "build", "--release", "--quiet", "--interpreter", python, "--out", str(wheels)]
    _must(command, tree, environment)
    making = folder / "venv"
    _must([install.interpreter(), "-m", "venv", str(making)], folder)
    try:
        pip = [str(making / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        _must([*pip, *(str(wheel) for wheel in wheels.glob("*.whl"))], folder)
    except BuildFailed:
        shutil.rmtree(making)
        raise
