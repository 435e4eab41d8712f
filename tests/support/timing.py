"""The mark `timed`, for tests whose point is time: a failure counts only where the machine was free for them.

A bound of time is broken by a slow server, or by other programs that took the cores. The kernel counts which it was: the time that
all cores were busy, less the time of this process and of those below it. Linux only; elsewhere every failure counts.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import pytest

# The part of all cores that other programs may take before a time says nothing about the server.
MOST_OTHERS = 0.2


class Usage(NamedTuple):
    """Clock ticks since the machine was started: of all cores together, busy or not; busy; busy for the tests."""

    all: int
    busy: int
    own: int


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Skips a test with the mark `timed` that failed while other programs took the cores."""
    before = usage() if item.get_closest_marker("timed") else None
    try:
        return (yield)
    except (Exception, pytest.fail.Exception) as error:
        if before and (others := taken_by_others(before, usage())) > MOST_OTHERS:
            pytest.skip(f"too loaded to judge: other programs took {others:.0%} of the cores ({error!r:.200})")
        raise


class Judge:
    """Judges single times of a test, whose other claims count on a busy machine too."""

    def __init__(self) -> None:
        self.before = usage()

    def at_most(self, seconds: float | None, most: float, what: str) -> None:
        """Fails if it took longer, unless other programs took the cores since the judge was made."""
        if seconds is not None and seconds <= most:
            return
        taken = "never came" if seconds is None else f"took {seconds * 1000:.0f} ms"
        others = taken_by_others(self.before, usage()) if self.before else 0.0
        if others > MOST_OTHERS:
            pytest.skip(f"too loaded to judge: other programs took {others:.0%} of the cores, and {what} {taken}")
        raise AssertionError(f"{what} {taken}, {most * 1000:.0f} ms at most")


def taken_by_others(before: Usage, now: Usage | None) -> float:
    """The part of all cores that other programs took between the two."""
    if now is None or now.all <= before.all:
        return 0.0
    return max(0.0, (now.busy - before.busy) - (now.own - before.own)) / (now.all - before.all)


def usage() -> Usage | None:
    try:
        # user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); guests count as user already.
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    return Usage(sum(ticks), sum(ticks) - ticks[3] - ticks[4], _own_ticks())


def _own_ticks() -> int:
    """Of this process and of all that descend from it, with those that have ended and were waited for."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended since
            parents[int(name)] = int(fields[1])
            ticks[int(name)] = sum(map(int, fields[11:15]))
    own = {os.getpid()}
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in own} - own
        own |= below
        grown = bool(below)
    return sum(ticks.get(pid, 0) for pid in own)
