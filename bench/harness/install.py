"""Gets the programs that the bench compares: the peers' packages by name, the Rust programs by cargo.

A program that cannot be had is returned with the reason, so that it stands in the results instead of missing from them.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from . import paths
from .peers import Peer


def _run(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> str | None:
    """Runs it; None, or the reason of its failure: the line that names it, else its last one."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    named = [line for line in lines if line.lower().startswith("error")]
    return (named or lines or [f"status {done.returncode}"])[-1][:300]


def interpreter() -> str:
    """The Python that the project's environment was made from, so that all peers run on the same one."""
    if paths.OUR_PYTHON.exists():
        question = [str(paths.OUR_PYTHON), "-c", "import sys; print(sys._base_executable)"]
        return subprocess.run(question, capture_output=True, text=True, check=True).stdout.strip()
    return sys._base_executable


def _version_of(python: str) -> str:
    question = [python, "-c", "import sys; print(sys.version_info[:3])"]
    return subprocess.run(question, capture_output=True, text=True).stdout


def _environment(python: Path) -> str | None:
    folder = python.parent.parent
    base = interpreter()
    if python.exists() and _version_of(str(python)) == _version_of(base):
        return None
    shutil.rmtree(folder, ignore_errors=True)
    return _run([base, "-m", "venv", str(folder)])


def installed_versions(python: Path) -> dict[str, str]:
    """Package name in lower case -> version."""
    if not python.exists():
        return {}
    question = [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    done = subprocess.run(question, capture_output=True, text=True)
    return {row["name"].lower(): row["version"] for row in json.loads(done.stdout)} if done.returncode == 0 else {}


def _packages(python: Path, packages: tuple[str, ...]) -> str | None:
    have = installed_versions(python)
    missing = [wanted for wanted in packages if have.get(wanted.split("==")[0].lower()) != wanted.split("==")[1]]
    if not missing:
        return None
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # A version that is not made for this Python: its newest that is.
    if reason := _run([*install, *missing]):
        unpinned = [wanted.split("==")[0] for wanted in missing]
        return _run([*install, *unpinned]) and reason
    return None


def _libraries(peer: Peer) -> str | None:
    for library, packages in peer.libraries:
        if ctypes.util.find_library(library):
            continue
        if os.geteuid() == 0 and shutil.which("apt-get"):
            for package in packages:
                if _run(["apt-get", "install", "--yes", "--quiet", package]) is None:
                    break
        if not ctypes.util.find_library(library):
            return f"needs the system library lib{library} (Debian: {' or '.join(packages)})"
    return None


def _program(peer: Peer) -> str | None:
    name, _, packages = peer.program
    if shutil.which(name) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for package in packages:
            # Debian would start it as a service otherwise.
            keep_down = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
            install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
            if _run(install, environment=keep_down) is None:
                break
    return None if shutil.which(name) else f"needs the program {name} (Debian: {' or '.join(packages)})"


def program_version(program: str, option: str) -> str:
    """The first number with dots in its own output."""
    try:
        done = subprocess.run([program, option], capture_output=True, text=True, timeout=10)
    except OSError:
        return "?"
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"


def peers(wanted: Iterable[Peer], say) -> dict[str, str]:
    """Installs the packages of these peers; peer key -> reason for those that cannot be had."""
    failed: dict[str, str] = {}
    broken: dict[Path, str] = {}
    for peer in wanted:
        if peer.program:
            if reason := _program(peer):
                failed[peer.key] = f"cannot be installed: {reason}"
            say(f"install  {peer.key}: {failed.get(peer.key, 'ok')}")
        if not peer.packages:
            continue
        if peer.python not in broken:
            broken[peer.python] = _environment(peer.python) or ""
        reason = broken[peer.python] or _libraries(peer) or _packages(peer.python, peer.packages)
        if reason:
            failed[peer.key] = f"cannot be installed: {reason}"
        say(f"install  {peer.key}: {failed.get(peer.key, 'ok')}")
    return failed


def programs(say) -> str | None:
    """Builds the load generator and the Rust peers."""
    say("build    the load generator and the Rust peers")
    return _run(["cargo", "build", "--release", "--quiet"], paths.BENCH)


def our_rust(say) -> str | None:
    """Builds our Rust program; cargo does nothing where it is up to date."""
    say("build    our example bench_server")
    return _run(["cargo", "build", "--release", "--quiet", "--package", "outside", "--example", "bench_server"], paths.ROOT)


def our_python() -> str | None:
    """Whether our module is there: the reason if it is not."""
    if not paths.OUR_PYTHON.exists():
        return "not built: the project's .venv is missing (make build)"
    reason = _run([str(paths.OUR_PYTHON), "-c", "import outside; outside.OutsideHTTP"])
    return f"not built: {reason}" if reason else None


def crate_versions() -> dict[str, str]:
    text = (paths.BENCH / "Cargo.lock").read_text()
    return dict(re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', text))
