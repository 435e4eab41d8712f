"""`server.shared`: small values and locks that all processes of a server share, and their twins for `async def` functions.

They are in the process that was started, and outlive reloads: in its hub, or in its memory while it serves alone.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from .._handlers.outcomes import ask, call

_log = logging.getLogger("outside")

# Seconds between two attempts to take a lock that is held: few at first.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.02


def _set_operands(value: Any, ttl: float | None) -> tuple[Any, int, float | None]:
    if value is None:
        raise ValueError("a shared value is not None, which get() gives for a key without a value; delete(key) removes one")
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    return value, 0, ttl


class Shared:
    """Values and locks of all processes of a server. A call waits for at most one second, then it raises `TimeoutError`.

    Keys are texts of 1 to 1024 bytes. Values are `str`, `bytes`, `int`, or anything else that JSON can hold, of at most 1 MiB; all
    together take at most `config["max_shared_mb"]`. A time to live, `ttl`, is a number of seconds.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self.aio = AsyncShared(server)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of this key, or the default."""
        value = call(self._server, "get", key)
        return default if value is None else value

    def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Sets the value of this key, for `ttl` seconds or for good."""
        call(self._server, "set", key, _set_operands(value, ttl))

    def add(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Sets the value of a key that has none. Whether it did: of all that try at once, one does."""
        return bool(call(self._server, "add", key, _set_operands(value, ttl)))

    def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Adds to a whole number, which begins at 0, and returns the sum. `ttl` is for a number that this call makes."""
        return int(call(self._server, "incr", key, (None, by, ttl)))

    def delete(self, key: str) -> bool:
        """Removes the value of this key. Whether there was one."""
        return bool(call(self._server, "delete", key))

    def lock(self, name: str, ttl: float, wait: float | None = None) -> Lock:
        """A lock, for `with`: one at a time holds it, for `ttl` seconds, or until its process is gone.

        `wait` is how many seconds it is waited for, then `TimeoutError`; `None`: as long as it takes. `lock.token` grows with each
        holder: see the documentation for what it is good for.
        """
        return Lock(self._server, name, ttl, wait)

    def __repr__(self) -> str:
        return f"<shared state of {self._server!r}>"


class AsyncShared:
    """The same for `async def` functions: each call is awaited."""

    def __init__(self, server: Any) -> None:
        self._server = server

    async def get(self, key: str, default: Any = None) -> Any:
        """The value of this key, or the default."""
        value = await ask(self._server, "get", key)
        return default if value is None else value

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Sets the value of this key, for `ttl` seconds or for good."""
        await ask(self._server, "set", key, _set_operands(value, ttl))

    async def add(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Sets the value of a key that has none. Whether it did."""
        return bool(await ask(self._server, "add", key, _set_operands(value, ttl)))

    async def incr(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Adds to a whole number, which begins at 0, and returns the sum."""
        return int(await ask(self._server, "incr", key, (None, by, ttl)))

    async def delete(self, key: str) -> bool:
        """Removes the value of this key. Whether there was one."""
        return bool(await ask(self._server, "delete", key))

    def lock(self, name: str, ttl: float, wait: float | None = None) -> AsyncLock:
        """A lock, for `async with`."""
        return AsyncLock(self._server, name, ttl, wait)


class _AnyLock:
    """The parts that both kinds of locks have."""

    def __init__(self, server: Any, name: str, ttl: float, wait: float | None) -> None:
        for what, seconds, least in (("ttl", ttl, "above 0"), ("wait", wait, "from 0 on, or None")):
            if what == "wait" and seconds is None:
                continue
            if (
                not isinstance(seconds, (int, float))
                or not math.isfinite(seconds)
                or seconds < 0
                or (what == "ttl" and not seconds)
            ):
                raise ValueError(f"{what} is a number of seconds {least}, not {seconds!r}")
        self.name = name
        self.ttl = ttl
        self.wait = wait
        self._server = server
        self._token: int | None = None

    @property
    def token(self) -> int:
        """The number of this holder, higher than that of every holder before it."""
        if self._token is None:
            raise RuntimeError(f"the lock {self.name!r} is not held, and has no token")
        return self._token

    def _pauses(self, wait: float | None) -> Iterator[float]:
        """The seconds before each attempt, as long as there is time."""
        if self._token is not None:
            raise RuntimeError(f"this lock {self.name!r} is held already; it can be taken once at a time")
        until = math.inf if wait is None else time.monotonic() + wait
        pause = 0.0
        while True:
            yield pause
            left = until - time.monotonic()
            if left <= 0:
                return
            pause = min(max(2 * pause, _SHORTEST_PAUSE), _LONGEST_PAUSE, left)

    def _late(self) -> TimeoutError:
        return TimeoutError(f"the lock {self.name!r} is held elsewhere; it was waited for {self.wait} seconds")

    def _tell_lost(self) -> None:
        _log.warning(
            "the lock %r was not held any more at its end: its work took longer than its %s seconds", self.name, self.ttl
        )

    def _lost(self) -> RuntimeError:
        return RuntimeError(f"the lock {self.name!r} is not held any more: its {self.ttl} seconds are over")

    def __repr__(self) -> str:
        return f"<lock {self.name!r}, {'not held' if self._token is None else f'token {self._token}'}>"


class Lock(_AnyLock):
    """A lock that one process of the server holds at a time, and in it one `with` block."""

    def acquire(self, wait: float | None = None) -> bool:
        """Takes the lock; `False` if it could not be had within `wait` seconds (`None`: as long as it takes; 0: at once)."""
        for pause in self._pauses(wait):
            if pause:
                time.sleep(pause)
            self._token, _ = call(self._server, "lock", self.name, (None, 0, self.ttl))
            if self._token is not None:
                return True
        return False

    def renew(self, ttl: float | None = None) -> None:
        """Holds the lock for this many seconds from now on. `RuntimeError` if it is not held any more."""
        if not call(self._server, "renew", self.name, (None, self.token, self.ttl if ttl is None else ttl)):
            raise self._lost()

    def release(self) -> bool:
        """Gives the lock back. Whether it was still held."""
        token, self._token = self.token, None
        return bool(call(self._server, "unlock", self.name, (None, token, None)))

    def __enter__(self) -> Lock:
        if not self.acquire(self.wait):
            raise self._late()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is not None and not self.release():
            self._tell_lost()


class AsyncLock(_AnyLock):
    """The same for `async def` functions."""

    async def acquire(self, wait: float | None = None) -> bool:
        """Takes the lock; `False` if it could not be had within `wait` seconds."""
        for pause in self._pauses(wait):
            if pause:
                await asyncio.sleep(pause)
            self._token, _ = await ask(self._server, "lock", self.name, (None, 0, self.ttl))
            if self._token is not None:
                return True
        return False

    async def renew(self, ttl: float | None = None) -> None:
        """Holds the lock for this many seconds from now on. `RuntimeError` if it is not held any more."""
        if not await ask(self._server, "renew", self.name, (None, self.token, self.ttl if ttl is None else ttl)):
            raise self._lost()

    async def release(self) -> bool:
        """Gives the lock back. Whether it was still held."""
        token, self._token = self.token, None
        return bool(await ask(self._server, "unlock", self.name, (None, token, None)))

    async def __aenter__(self) -> AsyncLock:
        if not await self.acquire(self.wait):
            raise self._late()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None and not await self.release():
            self._tell_lost()
