"""Limits of rates: each key, by default the client's address, has a number of requests in a time (GCRA: one number for each key).

Of one process: with several, each counts for itself.
"""

from __future__ import annotations

import functools
import ipaddress
import math
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from .._outside import HTTPException, Request
from .current import CURRENT
from .extra import add_header

_F = TypeVar("_F", bound=Callable[..., Any])
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d*)\s*(s|sec|second|m|min|minute|h|hour|d|day)s?\s*")
_SECONDS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86_400,
    "day": 86_400,
}
# Keys that are remembered; a client costs about 200 bytes.
_MOST_KEYS = 100_000


class Limit:
    """A rate of requests for each key. As a decorator, below that of the route, it limits one handler."""

    def __init__(
        self, rate: str, burst: int | None = None, by: Callable[[Request], object] | None = None, *, origin: str | None = None
    ) -> None:
        match = _RATE.fullmatch(rate) if isinstance(rate, str) else None
        at = f"{origin}: " if origin else ""
        if match is None or int(match[1]) == 0 or match[2] == "0":
            raise ValueError(f"{at}a rate is a text such as '20/s', '100/m', '5/10s' or '1000/h', not {rate!r}")
        count, seconds = int(match[1]), int(match[2] or 1) * _SECONDS[match[3]]
        if burst is not None and (not isinstance(burst, int) or isinstance(burst, bool) or burst < 1):
            raise ValueError(f"{at}a burst is a whole number of requests from 1 on, not {burst!r}")
        if by is not None and not callable(by):
            raise TypeError(f"{at}by is a function of (request) that gives the key, not {by!r}")
        self.rate = rate
        self._interval = seconds / count
        self._tolerance = self._interval * ((count if burst is None else burst) - 1)
        self._by = by or client_of
        # For each key the time at which its last request would have come at an even pace.
        self._times: dict[object, float] = {}
        self._lock = threading.Lock()

    def wait(self, key: object, now: float | None = None) -> float:
        """Counts a request of this key: 0 if it may pass, otherwise the seconds until one may."""
        now = time.monotonic() if now is None else now
        with self._lock:
            due = max(self._times.get(key, now), now)
            late = due - now - self._tolerance
            # A part of a microsecond is the arithmetic's.
            if late > 1e-6:
                return late
            if key not in self._times and len(self._times) >= _MOST_KEYS:
                self._forget(now)
            self._times[key] = due + self._interval
        return 0.0

    def _forget(self, now: float) -> None:
        """Makes room: keys whose time has passed have no effect, then the oldest tenth goes."""
        self._times = {key: due for key, due in self._times.items() if due > now}
        if len(self._times) >= _MOST_KEYS:
            for key in sorted(self._times, key=self._times.__getitem__)[: _MOST_KEYS // 10]:
                del self._times[key]

    def check(self, request: Request) -> None:
        """Refuses the request with 429 if its key has sent too many."""
        key = self._by(request)
        # A function that gives None excepts the request.
        if key is not None and (seconds := self.wait(key)):
            add_header(request, "Retry-After", str(math.ceil(seconds)))
            raise HTTPException(429, "too many requests")

    def __call__(self, function: _F) -> _F:
        if not callable(function):
            raise TypeError(f"limit() stands below the decorator of a route, above a function, not {function!r}")
        from .routes import is_async

        if is_async(function):

            @functools.wraps(function)
            async def limited_async(*given: Any, **named: Any) -> Any:
                self.check(_request(given))
                return await function(*given, **named)

            return cast(_F, limited_async)

        @functools.wraps(function)
        def limited(*given: Any, **named: Any) -> Any:
            self.check(_request(given))
            return function(*given, **named)

        return cast(_F, limited)

    def __repr__(self) -> str:
        return f"<Limit {self.rate}>"


def _request(given: tuple[Any, ...]) -> Request:
    request = CURRENT.get() or next((value for value in given if isinstance(value, Request)), None)
    if request is None:
        raise RuntimeError("a limit is for handlers, which are called while a request is handled")
    return request


def client_of(request: Request) -> str:
    """The client's address; of IPv6 the first 64 bits, since a client has all the rest."""
    address = request.address[0]
    if ":" not in address:
        return address
    return str(ipaddress.IPv6Network((ipaddress.IPv6Address(address.partition("%")[0]), 64), strict=False))


def here(depth: int = 2) -> str:
    """File and line of the caller of the function that asks."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
