"""Clients that others have written, where they are installed: curl."""

from __future__ import annotations

import shutil

from support.subprocesses import run_process

CURL = shutil.which("curl")


def curl(address: tuple, target: str, *options: str, stdin: bytes | None = None) -> bytes:
    """The standard output of curl, which must succeed."""
    url = f"http://{address[0]}:{address[1]}{target}"
    command = [CURL, "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--path-as-is", *options, url]
    done = run_process(command, input=stdin, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
