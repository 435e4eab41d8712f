"""Slow and greedy clients of every kind: when each is cut, with which answer, and which clients must not be cut.

All deadlines but the one that is meant stay at their defaults of 30 seconds and more, so the time of the cut tells
which one acted. A client keeps its own pace by waiting for the server, never by sleeping.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.slow_clients import CHUNKED, EXPECTING, GET, HALF_HEAD, LARGE, REFUSED, SIZED, drip_until_end
from support.wire import request_bytes

pytestmark = pytest.mark.timed

# The server looks at its deadlines every 100 ms; the rest is for a machine that has other things to do.
EARLY, LATE = 0.15, 2.0


CUT = {
    "first_byte_timeout": {
        "says nothing": (b"", b"", []),
    },
    "header_timeout": {
        "half a request line": (b"GET /", b"", [408]),
        "half a head": (HALF_HEAD, b"", [408]),
        "a head without its last byte": (GET[:-1], b"", [408]),
        "a dripped request line": (b"G", b"E", [408]),
        "a dripped head": (HALF_HEAD, b"a", [408]),
        "dripped fields": (HALF_HEAD + b"\r\n", b"a: b\r\n", [408]),
        "half of a second head": (GET + HALF_HEAD, b"", [200, 408]),
        "a dripped second head": (GET + HALF_HEAD, b"a", [200, 408]),
    },
    "body_stall_timeout": {
        "no body": (SIZED, b"", [408]),
        "half a body": (SIZED + b"x" * 500_000, b"", [408]),
        "half a large body": (LARGE + b"x" * 2_000_000, b"", [408]),
        "no body after being told to continue": (EXPECTING, b"", [408]),
        "half a body after a request": (GET + SIZED + b"x", b"", [200, 408]),
        "half a chunk size": (CHUNKED + b"1", b"", [408]),
        "half a chunk": (CHUNKED + b"10\r\nhalf", b"", [408]),
        "half a trailer": (CHUNKED + b"0\r\nX: ", b"", [408]),
    },
    "keep_alive_idle": {
        "idle": (GET, b"", [200]),
        "idle after an empty line": (GET + b"\r\n", b"", [200]),
        "idle after a body": (request_bytes("/", "POST", body=b"body"), b"", [200]),
    },
}


@pytest.mark.parametrize("key", CUT)
def test_a_client_that_makes_others_wait_is_cut(serve, key):
    """All clients of a deadline at the same time."""
    address = serve(lambda request: "x", **{key: 0.5}).address
    with ThreadPoolExecutor(len(CUT[key])) as pool:
        futures = {
            name: pool.submit(drip_until_end, address, opening, drip, pace=0.05)
            for name, (opening, drip, _) in CUT[key].items()
        }
    outcomes = {name: future.result() for name, future in futures.items()}
    expected = {name: statuses for name, (_, _, statuses) in CUT[key].items()}
    assert {name: outcome.statuses for name, outcome in outcomes.items()} == expected
    seconds = {name: outcome.seconds for name, outcome in outcomes.items()}
    assert all(0.5 - EARLY <= each <= 0.5 + LATE for each in seconds.values()), seconds
    closing = {outcome.answers[-1].header("Connection") for outcome in outcomes.values() if 408 in outcome.statuses}
    assert closing <= {"close"}


def test_each_byte_of_a_body_gives_it_time(serve):
    """The deadline is for a body that has stopped, not for all of it; without a minimum rate it may take its time."""
    running = serve(lambda request: "x", body_stall_timeout=0.5, min_rate=0)
    outcome = drip_until_end(running.address, SIZED, b"x", pace=0.1, most=2)
    assert not outcome.ended


def test_each_request_gives_an_idle_connection_time(serve):
    running = serve(lambda request: "x", keep_alive_idle=0.5)
    outcome = drip_until_end(running.address, GET, GET, pace=0.2, most=2)
    assert not outcome.ended


# The minimum rate is 240 bytes a second, asked for after a grace of five seconds.
TOO_SLOW = {
    "one byte in five seconds": (SIZED + b"x", b"x", 5),
    "20 bytes a second": (SIZED, b"x" * 2, 0.1),
    "20 bytes a second in chunks": (CHUNKED, b"2\r\nxx\r\n", 0.1),
    "nothing but chunk extensions": (CHUNKED + b"1;", b"a", 0.1),
    "nothing but trailers": (CHUNKED + b"0\r\n", b"a: b\r\n", 0.2),
}
SLOW_ENOUGH = {
    "480 bytes a second": (
        request_bytes("/", "POST", {"Content-Length": "3600", "Connection": "close"}),
        b"x" * 48,
        0.1,
    ),
    "480 bytes a second in chunks": (CHUNKED, b"30\r\n" + b"x" * 48 + b"\r\n", 0.1),
}


def test_a_body_has_a_minimum_rate(serve):
    """All at the same time, with the defaults."""
    address = serve(lambda request: str(len(request.content))).address
    with ThreadPoolExecutor(len(TOO_SLOW) + len(SLOW_ENOUGH)) as pool:
        cut = {name: pool.submit(drip_until_end, address, *client) for name, client in TOO_SLOW.items()}
        kept = {name: pool.submit(drip_until_end, address, *client, most=8) for name, client in SLOW_ENOUGH.items()}
    outcomes = {name: future.result() for name, future in cut.items()}
    assert {name: outcome.statuses for name, outcome in outcomes.items()} == {name: [408] for name in TOO_SLOW}
    seconds = {name: outcome.seconds for name, outcome in outcomes.items()}
    assert all(5 - EARLY <= each <= 5.5 + LATE for each in seconds.values()), seconds
    sized, chunked = (kept[name].result() for name in SLOW_ENOUGH)
    assert [answer.text for answer in sized.answers] == ["3600"]
    assert not chunked.ended


SMUGGLED = request_bytes("/smuggled")
SOON = 10  # seconds, far below the 30 for which content may come


def test_a_refused_client_may_not_go_on(serve):
    """Bytes behind a refusal are no request; they are thrown away for two seconds, or, of content, for 64 MiB, then the connection is
    closed (docs/security.md S7, S8, `unread_body_drain`). That content may come for 30 s is in soak/test_long_deadlines.py."""
    seen = []
    running = serve(lambda request: seen.append(request.url))

    def refuse(raw: bytes, status: int, more: bytes, pace: float) -> float:
        """Goes on sending until the connection is closed; after how many seconds that was."""
        with running.wire() as wire:
            assert wire.send(raw).receive_answer().status == status
            began, pause = time.monotonic(), threading.Event()
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                while time.monotonic() - began < SOON:
                    wire.socket.sendall(more)
                    pause.wait(pace)
            return time.monotonic() - began

    heads = [refusal for refusal in REFUSED.values() if refusal[1] != 413]
    with ThreadPoolExecutor(2 * len(REFUSED)) as pool:
        dripping = [pool.submit(refuse, raw, status, SMUGGLED, 0.02) for raw, status in heads]
        flooding = [pool.submit(refuse, raw, status, SMUGGLED * 1000, 0) for raw, status in REFUSED.values()]
    assert all(2 - EARLY <= future.result() <= 2 + LATE for future in dripping)
    assert all(future.result() < SOON for future in flooding)
    assert seen == []
