"""`make wheel`: wheels for the CPythons of this machine, which run on every Linux since 2014 and need no Rust.

    make wheel                                  one for each CPython that is found
    make wheel WHEEL="--python 3.13"            for these alone; --python may be repeated
    make wheel WHEEL="--abi3"                   cp312-abi3 alone, which later Pythons can load

A wheel for one version is faster than the limited API: the JSON parser writes strings straight into objects of Python only where it
knows their layout. `cp312-abi3` is there for Pythons that do not exist yet. The C library of this machine is newer than that of
manylinux2014, as a rule; then zig (the package `ziglang`) links against the old one.

The symbols are taken out of a wheel after the bytes of each feature were counted by them.
"""

from __future__ import annotations

import argparse
import base64
import collections
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pythons
import shares

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / "target/wheels"
# The C library of manylinux2014 (PEP 599).
OLD_GLIBC = (2, 17)
# A larger wheel has something in it that does not belong there.
MOST_BYTES = 9_000_000
EXTENSION = "pyo3/extension-module"


def main() -> int:
    """Builds, then checks each wheel; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make wheel", description=__doc__.partition("\n")[0])
    parser.add_argument("--python", action="append", default=[], metavar="3.13", help="for this Python; may be repeated")
    parser.add_argument("--abi3", action="store_true", help="cp312-abi3, for Python 3.12 and later")
    given = parser.parse_args()
    chosen = choose(pythons.found(), given.python, given.abi3)
    WHEELS.mkdir(parents=True, exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in WHEELS.glob("*.whl")}
    subprocess.run(build_command(chosen, given.abi3), check=True, cwd=ROOT, env=environment())
    made = [path for path in sorted(WHEELS.glob("*.whl")) if before.get(path) != path.stat().st_mtime_ns]
    parts = [strip(path) for path in made]
    faults = [fault for path in made for fault in check(path)]
    for path in made:
        print(f"wheel    {path.relative_to(ROOT)}  {path.stat().st_size / 1e6:.1f} MB")
    if parts:
        print(shares.table(parts[0]), end="")
    for fault in faults:
        print(f"wheel    {fault}", file=sys.stderr)
    return 1 if faults or not made else 0


def choose(there: list[pythons.Python], named: list[str], abi3: bool) -> list[pythons.Python]:
    """The Pythons to build for; `SystemExit` says which names are allowed."""
    supported = [python for python in there if python.is_supported]
    names = [python.name for python in supported]
    if unknown := [name for name in named if name not in names]:
        raise SystemExit(f"make wheel: --python {unknown[0]}: this machine has {', '.join(names) or 'no supported CPython'}")
    chosen = [python for python in supported if not named or python.name in named]
    if abi3:
        # One build is for all; it has to be made by a Python that is not older.
        chosen = [python for python in chosen if python.version >= (3, 12) and not python.is_free_threaded][:1]
    if not chosen:
        raise SystemExit("make wheel: no suitable CPython; 3.10 to 3.15 are supported, and 3.12 or later builds --abi3")
    return chosen


def build_command(chosen: list[pythons.Python], abi3: bool) -> list[str]:
    """The command of maturin."""
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--strip", "false", "--out", str(WHEELS)]
    if sys.platform == "linux":
        command += ["--compatibility", "manylinux2014"]
        if glibc() > OLD_GLIBC:
            command.append("--zig")
    if abi3:
        command += ["--features", f"{EXTENSION},pyo3/abi3-py312"]
    return [*command, "--interpreter", *(python.path for python in chosen)]


def glibc() -> tuple[int, ...]:
    """The version of this machine's C library; nothing is older than another one (musl)."""
    name, version = platform.libc_ver()
    return tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" else (0, 0)


def environment() -> dict[str, str]:
    """The tools of the environment first, so that its zig is found; no Python is chosen for all wheels."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {name: value for name, value in os.environ.items() if name != "PYO3_PYTHON"} | {"PATH": path}


def strip(path: Path) -> collections.Counter[str]:
    """Takes the symbols out of a wheel's module; returns the bytes that each feature had."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as wheel:
            entries = [(entry, wheel.read(entry)) for entry in wheel.infolist()]
        name, content = next((entry.filename, content) for entry, content in entries if is_module(entry.filename))
        module = Path(folder) / Path(name).name
        module.write_bytes(content)
        sizes = shares.of(module)
        subprocess.run(["strip", "-x" if sys.platform == "darwin" else "--strip-all", str(module)], check=True)
        stripped = module.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(stripped).digest()).rstrip(b"=").decode()
    line = f"{name},sha256={digest},{len(stripped)}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for entry, old in entries:
            if entry.filename == name:
                old = stripped
            elif entry.filename.endswith(".dist-info/RECORD"):
                lines = old.decode("utf-8").splitlines()
                old = "".join(f"{line if kept.startswith(f'{name},') else kept}\n" for kept in lines).encode("utf-8")
            # The entry has the mode of the file.
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, old)
    return sizes


def is_module(name: str) -> bool:
    """Whether a file of a wheel is the compiled module."""
    return name.startswith("outside/_outside.") and name.endswith(".so")


def check(path: Path) -> list[str]:
    """The faults of a wheel."""
    faults = []
    if path.stat().st_size > MOST_BYTES:
        faults.append(f"{path.name} has {path.stat().st_size:,} bytes; {MOST_BYTES:,} are allowed")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
    modules = [name for name in names if is_module(name)]
    if len(modules) != 1:
        faults.append(f"{path.name} has {len(modules)} modules outside/_outside: {modules}")
    for needed in ("outside/py.typed", "outside/_outside.pyi", "outside/__init__.py"):
        if needed not in names:
            faults.append(f"{path.name} has no {needed}")
    if strange := [name for name in names if not name.startswith(("outside/", "outside_framework-"))]:
        faults.append(f"{path.name} has files of others: {strange}")
    return faults


if __name__ == "__main__":
    sys.exit(main())
