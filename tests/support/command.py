"""The command `outside` in its three forms: the binary, the script of the package, `python -m outside`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.cargo import built
from support.harness import ROOT
from support.subprocesses import run_process
from support.wire import DEADLINE


@pytest.fixture(scope="session")
def binary() -> str:
    return str(built() / "outside")


@pytest.fixture(params=["binary", "script", "module"])
def program(request) -> list[str]:
    match request.param:
        case "binary":
            return [request.getfixturevalue("binary")]
        case "script":
            return [str(Path(sys.executable).with_name("outside"))]
        case _:
            return [sys.executable, "-m", "outside"]


def call_command(program: list[str], *arguments: str, folder: Path = ROOT) -> tuple[int, str, str]:
    """Runs a command that ends by itself: exit status, standard output, standard error."""
    ended = run_process([*program, *arguments], cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=DEADLINE)
    return ended.returncode, ended.stdout, ended.stderr
