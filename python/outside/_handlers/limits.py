"""Limits of rates: each key, by default the client's address, has a number of requests in a time (GCRA: one number for each key).

With several processes the store that they share decides. A key that it has refused is remembered here until its time, so that
a flood costs no message. While the store does not answer, and in one process alone, each process counts for itself.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import ipaddress
import logging
import math
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar, cast

from .. import _outside
from .._outside import HTTPException, Request
from . import outcomes
from .current import CURRENT
from .extra import add_headers

_log = logging.getLogger("outside")
_F = TypeVar("_F", bound=Callable[..., Any])
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d*)\s*(s|sec|second|m|min|minute|h|hour|d|day)s?\s*", re.ASCII)
# Units of time in rates, and in periods of schedules.
SECONDS = {
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
# Requests of a rate, or of a burst, at most.
_MOST_REQUESTS = 1_000_000_000
# Characters of a key beyond which its hash stands for it.
_LONG_KEY = 200
# Seconds for which a process counts for itself when the store has not answered.
_AWAY = 5.0
# Seconds between two lines in the log about requests that a dry run would have refused.
_DRY_LINES = 10.0

# How many limits were written in one line of a program.
_written: Counter[str] = Counter()


class Verdict(NamedTuple):
    """Whether a request may pass: `retry` is 0 then, and otherwise the seconds until one may."""

    retry: float
    # Requests that may pass at once after this one, and the seconds until all of the burst may.
    remaining: int
    reset: float


class Limit:
    """A rate of requests for each key. As a decorator, below that of the route, it limits one handler."""

    def __init__(
        self,
        rate: str,
        burst: int | None = None,
        by: Callable[[Request], object] | None = None,
        *,
        name: str | None = None,
        fields: bool = True,
        dry_run: bool = False,
        origin: str | None = None,
    ) -> None:
        match = _RATE.fullmatch(rate) if isinstance(rate, str) else None
        at = f"{origin}: " if origin else ""
        if match is None or not 0 < int(match[1]) <= _MOST_REQUESTS or match[2] == "0":
            raise ValueError(f"{at}a rate is a text such as '20/s', '100/m', '5/10s' or '1000/h', not {rate!r}")
        count, seconds = int(match[1]), int(match[2] or 1) * SECONDS[match[3]]
        if burst is not None and (not isinstance(burst, int) or isinstance(burst, bool) or not 0 < burst <= _MOST_REQUESTS):
            raise ValueError(f"{at}a burst is a whole number of requests from 1 on, not {burst!r}")
        if by is not None and not callable(by):
            raise TypeError(f"{at}by is a function of (request) that gives the key, not {by!r}")
        if name is not None and (not isinstance(name, str) or not re.fullmatch(r"[ -~]{1,64}", name)):
            raise ValueError(f"{at}the name of a limit is a text of 1 to 64 characters of ASCII, not {name!r}")
        self.rate = rate
        self._interval = seconds / count
        self._tolerance = self._interval * ((count if burst is None else burst) - 1)
        # For the store, in nanoseconds; rounded up, so that there are never more.
        interval = -(-seconds * 1_000_000_000 // count)
        self._nanoseconds = (interval, min(interval * ((count if burst is None else burst) - 1), 2**63))
        self._by = by or client_of
        # For each key the time at which its last request would have come at an even pace.
        self._times: dict[object, float] = {}
        # Keys that the store has refused, and the times at which one more of their requests may pass.
        self._refused: dict[object, float] = {}
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._dry = _DryRun(self) if dry_run else None
        # In the metrics of refusals.
        self._counted_as = name or "rate_limit"
        self.name = name or _place(origin, rate)
        # Of the keys in the store.
        self._start = f"{self.name}\n{interval}/{self._nanoseconds[1]}\n"
        shown = (name or "default").replace("\\", r"\\").replace('"', r"\"")
        self._field = f'"{shown}"' if fields and not dry_run else ""
        # The window is the time in which the whole burst comes back.
        quota = count if burst is None else burst
        self._policy = f"{self._field};q={quota};w={math.ceil(seconds * quota / count)}"

    def wait(self, key: object, now: float | None = None) -> float:
        """Counts a request of this key in this process: 0 if it may pass, otherwise the seconds until one may."""
        return self._count(key, time.monotonic() if now is None else now).retry

    def _count(self, key: object, now: float) -> Verdict:
        with self._lock:
            due = max(self._times.get(key, now), now)
            late = due - now - self._tolerance
            # A part of a microsecond is the arithmetic's.
            if late > 1e-6:
                return Verdict(late, 0, due - now)
            if key not in self._times and len(self._times) >= _MOST_KEYS:
                self._forget(now)
            due = self._times[key] = due + self._interval
        left = (self._tolerance - (due - now)) / self._interval + 1
        return Verdict(0.0, max(int(left + 1e-6), 0), due - now)

    def _forget(self, now: float) -> None:
        """Makes room: keys whose time has passed have no effect, then the oldest tenth goes."""
        self._times = {key: due for key, due in self._times.items() if due > now}
        if len(self._times) >= _MOST_KEYS:
            for key in sorted(self._times, key=self._times.__getitem__)[: _MOST_KEYS // 10]:
                del self._times[key]

    def check(self, request: Request) -> None:
        """Refuses the request with 429 if its key has sent too many."""
        # A function that gives None excepts the request.
        if (key := self._by(request)) is None:
            return
        now = time.monotonic()
        if (until := self._refused.get(key)) is not None and until > now:
            verdict = self._still(until - now)
        elif self._is_alone(request, now):
            verdict = self._count(key, now)
        else:
            try:
                told = outcomes.call(request, "admit", self._start + _text(key), (self._nanoseconds, 0, None))
                verdict = self._told(key, told, now)
            except (TimeoutError, RuntimeError) as error:
                verdict = self._go_alone(key, now, error)
        self._act(request, verdict)

    def guard(self, request: Request) -> Any:
        """`check` as a function before handlers; before those that are `async def` it is awaited."""
        return self.check(request) if asyncio._get_running_loop() is None else self.check_async(request)

    async def check_async(self, request: Request) -> None:
        """The same for an `async def` handler, whose loop goes on meanwhile."""
        if (key := self._by(request)) is None:
            return
        now = time.monotonic()
        if (until := self._refused.get(key)) is not None and until > now:
            verdict = self._still(until - now)
        elif self._is_alone(request, now):
            verdict = self._count(key, now)
        else:
            try:
                told = await outcomes.ask(request, "admit", self._start + _text(key), (self._nanoseconds, 0, None))
                verdict = self._told(key, told, now)
            except (TimeoutError, RuntimeError) as error:
                verdict = self._go_alone(key, now, error)
        self._act(request, verdict)

    def _is_alone(self, request: Request, now: float) -> bool:
        return now < self._away_until or _outside._shares_nothing(request)

    def _still(self, seconds: float) -> Verdict:
        """The verdict on a key that the store has refused, and that has to wait for these seconds."""
        return Verdict(seconds, 0, seconds + self._tolerance)

    def _told(self, key: object, told: tuple[bool, int, float, float, float], asked: float) -> Verdict:
        """The verdict of the store, which has decided after `asked`."""
        is_admitted, remaining, retry, reset, _ = told
        if is_admitted:
            self._refused.pop(key, None)
            return Verdict(0.0, remaining, reset)
        if len(self._refused) >= _MOST_KEYS:
            self._refused.clear()
        self._refused[key] = asked + retry
        return Verdict(max(retry, 1e-9), 0, reset)

    def _go_alone(self, key: object, now: float, error: Exception) -> Verdict:
        """Counts in this process while the store does not answer."""
        if now >= self._away_until:
            _log.warning("the limit %s is counted in each process for %d seconds: %s", self.name, _AWAY, error)
        self._away_until = time.monotonic() + _AWAY
        return self._count(key, now)

    def _act(self, request: Request, verdict: Verdict) -> None:
        retry, remaining, reset = verdict
        fields = {}
        if self._field:
            fields["RateLimit-Policy"] = self._policy
            fields["RateLimit"] = f"{self._field};r={remaining};t={math.ceil(reset)}"
        if retry and self._dry is not None:
            self._dry.note(request)
        elif retry:
            fields["Retry-After"] = str(math.ceil(retry))
            add_headers(request, fields)
            refusal = HTTPException(429, "too many requests")
            refusal._limit = self._counted_as  # type: ignore[attr-defined]
            raise refusal
        add_headers(request, fields)

    def __call__(self, function: _F) -> _F:
        if not callable(function):
            raise TypeError(f"limit() stands below the decorator of a route, above a function, not {function!r}")
        from .routes import is_async

        if is_async(function):

            @functools.wraps(function)
            async def limited_async(*given: Any, **named: Any) -> Any:
                await self.check_async(_request(given))
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
    return _network_of(address) if ":" in address else address


def _network(address: str) -> str:
    return str(ipaddress.IPv6Network((ipaddress.IPv6Address(address.partition("%")[0]), 64), strict=False))


# Reading an address costs several microseconds, and a flood comes from few.
_network_of = functools.lru_cache(maxsize=4096)(_network)


class _DryRun:
    """Tells the log how many requests a limit would have refused."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._count = 0
        self._told_at = -_DRY_LINES

    def note(self, request: Request) -> None:
        with self._lock:
            self._count += 1
            now = time.monotonic()
            if now - self._told_at < _DRY_LINES:
                return
            count, self._count, self._told_at = self._count, 0, now
        _log.warning(
            "the limit %s (%s, a dry run) would have refused %d request%s, the last one of %s for %s",
            self._limit.name,
            self._limit.rate,
            count,
            "" if count == 1 else "s",
            request.address[0],
            request.path,
        )


def _place(origin: str | None, rate: str) -> str:
    """The name of a limit that has none: the same in every process of the program."""
    path, _, line = (origin or "").rpartition(":")
    place = f"{'/'.join(PurePath(path).parts[-2:])}:{line} {rate}"
    _written[place] += 1
    return place if _written[place] == 1 else f"{place} {_written[place]}"


def _text(key: object) -> str:
    """A key as a text, the same in every process."""
    text = key if isinstance(key, str) else f"{type(key).__name__} {key!r}"
    if len(text) <= _LONG_KEY and text.isascii():
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


def here(depth: int = 2) -> str:
    """File and line of the caller of the function that asks."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
