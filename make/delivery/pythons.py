"""The CPythons of this machine that the package supports, and those that it does not.

Looked for: python3.15 to python3.8 on PATH, with and without the `t` of a free-threaded build, and those that pyenv has installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

# The oldest that `requires-python` of pyproject.toml names, and the newest that PyO3 knows.
OLDEST, NEWEST = (3, 10), (3, 15)
# PyO3 knows no free-threaded build before this one.
OLDEST_FREE_THREADED = (3, 14)

_PROBE = """
import importlib.util, json, sys, sysconfig
print(json.dumps({
    "version": sys.version_info[:3],
    "is_cpython": sys.implementation.name == "cpython",
    "is_final": sys.version_info.releaselevel == "final",
    "is_free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "is_debug": hasattr(sys, "gettotalrefcount"),
    "makes_environments": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
}))
"""


class Python(NamedTuple):
    """A released CPython that can make a virtual environment."""

    path: str
    version: tuple[int, int, int]
    is_free_threaded: bool

    @property
    def name(self) -> str:
        """As the command is called: `3.13`, `3.14t`."""
        return f"{self.version[0]}.{self.version[1]}{'t' if self.is_free_threaded else ''}"

    @property
    def is_supported(self) -> bool:
        """Whether a wheel can be built for it."""
        oldest = OLDEST_FREE_THREADED if self.is_free_threaded else OLDEST
        return oldest <= self.version[:2] <= NEWEST


def found() -> list[Python]:
    """One of each minor version and kind, the newest micro version of it; the newest Python first."""
    newest: dict[str, Python] = {}
    for path in _candidates():
        python = ask(path)
        if python and (python.name not in newest or newest[python.name].version < python.version):
            newest[python.name] = python
    return sorted(newest.values(), key=lambda python: (python.version, not python.is_free_threaded), reverse=True)


def _candidates() -> list[str]:
    names = [f"python3.{minor}{kind}" for minor in range(NEWEST[1], 7, -1) for kind in ("", "t")]
    on_path = [path for name in names if (path := shutil.which(name))]
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    return on_path + [str(path) for path in sorted(versions.glob("*/bin/python3"))]


def ask(path: str) -> Python | None:
    """The Python that a program is; `None` if it is no released CPython that can make virtual environments."""
    # A shim of pyenv may exist and fail.
    asked = subprocess.run([path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60)
    if asked.returncode != 0:
        return None
    known = json.loads(asked.stdout)
    wanted = known["is_cpython"] and known["is_final"] and not known["is_debug"] and known["makes_environments"]
    return Python(path, tuple(known["version"]), known["is_free_threaded"]) if wanted else None
