"""`@server.every("1m")`: functions that run once per period, in one process of the server.

Each process asks the store of shared state for the tick that is due; the store gives each tick to the first one that asks. A
process that is gone costs the tick that it had, never the schedule. A function that is still running is not called again.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from .._handlers import loop as _loop
from .._handlers.limits import SECONDS
from .._handlers.outcomes import call
from .._handlers.signature import adapt, where

_PERIOD = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|second|m|min|minute|h|hour|d|day)s?\s*", re.ASCII)
_SECONDS = {"ms": 0.001, **SECONDS}
_SHORTEST, _LONGEST = 0.05, 366 * 86_400.0
# Seconds until the store is asked again when it has not answered.
_AGAIN = 1.0


def seconds_of(period: str | float, origin: str) -> float:
    """The seconds of a period."""
    seconds: float | None = None
    if isinstance(period, str) and (match := _PERIOD.fullmatch(period)):
        seconds = float(match[1]) * _SECONDS[match[2]]
    elif isinstance(period, (int, float)) and not isinstance(period, bool):
        seconds = float(period)
    if seconds is None or not _SHORTEST <= seconds <= _LONGEST:
        raise ValueError(
            f"{origin}: a period is a text such as '30s', '5m', '2h' or '1d', or a number of seconds, from '50ms' to '366d', "
            f"not {period!r}"
        )
    return seconds


class Schedules:
    """The functions of one server that run once per period."""

    def __init__(self) -> None:
        self._schedules: dict[str, _Schedule] = {}

    def add(self, function: Callable[..., Any], period: float, name: str | None) -> None:
        """Has a function run once per period."""
        name = name or f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}"
        if name in self._schedules:
            raise ValueError(f"{where(function)}: there is a schedule named {name!r} already; give this one another name=")
        self._schedules[name] = _Schedule(adapt(function, "tick"), period, name)

    def begin(self, server: Any) -> None:
        """In a process that serves: asks for ticks from now on."""
        for schedule in self._schedules.values():
            schedule.begin(server)

    def stop(self) -> None:
        """Asks no more."""
        for schedule in self._schedules.values():
            schedule.stop()

    def end(self, patience: float) -> None:
        """Asks no more, and waits for functions that run."""
        until = time.monotonic() + patience
        self.stop()
        for schedule in self._schedules.values():
            schedule.wait(until - time.monotonic())


class _Schedule:
    def __init__(self, function: Callable[[int], Any], period: float, name: str) -> None:
        self._function = function
        self._period = period
        self._name = name
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, server: Any) -> None:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(server, self._ends), name="outside-every", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()

    def wait(self, patience: float) -> None:
        if self._thread is not None:
            self._thread.join(max(patience, 0.0))
            if self._thread.is_alive():
                _loop.logger.warning("%s: the function of a schedule had not ended and was left behind", where(self._function))
            self._thread = None

    def _work(self, server: Any, ends: threading.Event) -> None:
        pause = 0.0
        while not ends.wait(pause) and not server._terminate_process:
            try:
                is_given, number, pause = self._tick(server, "tick")
                if is_given:
                    self._run(number)
                    _, _, pause = self._tick(server, "ended")
            except TimeoutError:
                pause = min(self._period, _AGAIN)
            except RuntimeError as error:
                if not ends.is_set() and not server._terminate_process:
                    _loop.logger.error("the schedule %r ends in this process: %s", self._name, error)
                return

    def _tick(self, server: Any, action: str) -> tuple[bool, int, float]:
        # With another period it is another schedule: two versions of a program may serve at one moment.
        told: tuple[bool, int, float] = call(server, action, f"{self._name} {self._period}", (None, 0, self._period))
        return told

    def _run(self, number: int) -> None:
        try:
            value = self._function(number)
            if hasattr(value, "__await__"):
                _loop.wait_for(value)
        except Exception as error:
            _loop.logger.error("%s: the function of a schedule failed", where(self._function), exc_info=error)
