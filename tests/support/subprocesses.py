"""Processes that tests start: with the default signals, and none is left behind.

A process inherits the signals that are ignored: under `nohup` SIGHUP, in the background of a script SIGINT and SIGQUIT. A server
that such a signal is to end would go on for ever. Every test starts its processes here; ruff refuses `subprocess.Popen` and
`subprocess.run` anywhere else in the tests.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

Process = subprocess.Popen  # noqa: TID251 - this is the place
# Python itself ignores these two, and `Popen` gives their defaults back.
_PYTHONS_OWN = {signal.SIGPIPE, signal.SIGXFSZ}
_started: list[Process] = []


def hand_on_default_signals() -> None:
    """Gives each ignored signal a handler without effect, and blocks none.

    This process still ignores the signal, so a run under `nohup` goes on. A program that it starts has the default again,
    because `execve` resets signals that have a handler, and only those.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for signum in _ignored():
        signal.signal(signum, lambda *_: None)


def start_process(arguments: Sequence[str], **options: object) -> Process:
    """As `subprocess.Popen`."""
    assert not _ignored(), f"{_ignored()} would be ignored by {arguments[0]} too"
    process = Process(arguments, **options)  # type: ignore[call-overload]
    _started.append(process)
    return process


def run_process(arguments: Sequence[str], **options: object) -> subprocess.CompletedProcess:
    """As `subprocess.run`: a program that ends by itself."""
    assert not _ignored(), f"{_ignored()} would be ignored by {arguments[0]} too"
    return subprocess.run(arguments, **options)  # type: ignore[call-overload]  # noqa: TID251 - this is the place


def kill_started_processes() -> None:
    """Kills the processes of `start_process` that still run: those of tests that failed."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


def _ignored() -> set[int]:
    return {signum for signum in signal.valid_signals() - _PYTHONS_OWN if signal.getsignal(signum) == signal.SIG_IGN}
