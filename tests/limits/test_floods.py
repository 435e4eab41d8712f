"""Floods of names and odd bytes within the limits of a head: bounded numbers, and time that grows with the bytes.

The bounds of time are far above linear work and far below quadratic work: 100,000 names
compared with one another are five thousand million comparisons.
"""

from __future__ import annotations

import json
import time

import pytest

from outside import Response
from support.wire import request_bytes

pytestmark = pytest.mark.timed

LINEAR = 2.0
WIDE = {
    "max_request_line": 1 << 20,
    "max_header_size": 1 << 20,
    "max_header_fields": 1000,
    "max_query_parameters": 100_000,
    "max_cookies": 100_000,
}
NAMES = [f"{number:x}" for number in range(100_000)]


def timed(running, raw: bytes) -> tuple[float, object]:
    """Seconds until the answer is there, and the answer; the connection stands before."""
    with running.wire() as wire:
        began = time.perf_counter()
        answer = wire.send_if_possible(raw).receive_answer()
        return time.perf_counter() - began, answer


def counts(request):
    """How many items of each kind the dictionaries of a request have, and how long it took to make them."""
    began = time.perf_counter()
    found = {
        "params": len(request.params),
        "all": sum(len(values) for values in request.params_all.values()),
        "cookies": len(request.cookies),
        "headers": len(request.headers),
    }
    return {**found, "seconds": time.perf_counter() - began}


@pytest.fixture
def wide(serve):
    return serve(counts, **WIDE)


def test_a_hundred_thousand_query_parameters(wide):
    seconds, answer = timed(wide, request_bytes("/?" + "&".join(f"{name}=1" for name in NAMES)))
    assert json.loads(answer.text)["params"] == 100_000
    assert seconds < LINEAR


def test_a_hundred_thousand_times_the_same_parameter(wide):
    seconds, answer = timed(wide, request_bytes("/?" + "&".join(["name=1"] * 100_000)))
    found = json.loads(answer.text)
    assert (found["params"], found["all"]) == (1, 100_000)
    assert seconds < LINEAR


@pytest.mark.parametrize("between", ["&", "&&=&", ";", "%26", "+", "%", "=", "%00", "&%3d", "\\"])
def test_a_query_of_nothing_but(wide, between):
    seconds, answer = timed(wide, request_bytes("/?" + between * (900_000 // len(between))))
    assert answer.status == 200
    assert seconds < LINEAR


def test_a_hundred_thousand_cookies(wide):
    text = "; ".join(f"{name}=1" for name in NAMES)
    seconds, answer = timed(wide, request_bytes("/", headers={"Cookie": text}))
    assert json.loads(answer.text)["cookies"] == 100_000
    assert seconds < LINEAR


def test_cookies_that_are_not_header_fields(wide):
    """Each cookie field holds many that look like fields; none becomes one."""
    text = "; ".join(["Host=evil", "Content-Length=5", "Transfer-Encoding=chunked"] * 100)
    seconds, answer = timed(wide, request_bytes("/", headers=[("Cookie", text)] * 100))
    found = json.loads(answer.text)
    assert found["cookies"] == 3
    assert seconds < LINEAR


def test_a_thousand_fields(wide):
    fields = [(f"X-{name}", "1") for name in NAMES[:999]]
    seconds, answer = timed(wide, request_bytes("/", headers=fields))
    assert json.loads(answer.text)["headers"] == 1000
    assert seconds < LINEAR


def test_a_thousand_times_the_same_field(wide):
    seconds, answer = timed(wide, request_bytes("/", headers=[("X-Same", "1" * 900)] * 999))
    assert json.loads(answer.text)["headers"] == 2
    assert seconds < LINEAR


ODD = {
    "backslashes": b"a=" + b"\\" * 65536,
    "quoted backslashes": b'a="' + b"\\" * 65536 + b'"',
    "escaped quotes": b'a="' + b'\\"' * 32768 + b'"',
    "octal escapes": b'a="' + b"\\134" * 16384 + b'"',
    "an open quote": b'a="' + b"\\" * 65535,
    "quotes": b"a=" + b'"' * 65536,
    "semicolons": b";" * 65536,
    "equal signs": b"=" * 65536,
    "spaces": b"a" + b" " * 65536 + b"=b",
    "names without value": b"a;" * 32768,
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_cookie_takes_no_time(wide, name):
    """CPython took quadratic time for backslashes in a quoted value (CVE-2024-7592): seconds for these."""
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + ODD[name] + b"\r\n\r\n"
    found = [json.loads(timed(wide, raw)[1].text)["seconds"] for _ in range(5)]
    assert min(found) < 0.02


def test_a_large_head_in_small_pieces(wide):
    """For any size of the pieces, no byte of a head is looked at again and again."""
    raw = request_bytes("/?" + "a" * 500_000, headers={"X": "b" * 500_000})
    with wide.wire() as wire:
        began = time.perf_counter()
        for start in range(0, len(raw), 500):
            wire.send(raw[start : start + 500])
        assert wire.receive_answer().status == 200
    assert time.perf_counter() - began < 2 * LINEAR


def test_a_million_chunks_of_one_byte(serve):
    running = serve(lambda request: str(len(request.content)))
    head = request_bytes("/", "POST", {"Transfer-Encoding": "chunked"})
    seconds, answer = timed(running, head + b"1\r\nx\r\n" * 1_000_000 + b"0\r\n\r\n")
    assert answer.text == "1000000"
    assert seconds < 2 * LINEAR


def params_of(count: int) -> bytes:
    return request_bytes("/?" + "&".join(f"{name}=1" for name in NAMES[:count]))


def cookies_of(count: int) -> bytes:
    return request_bytes("/", headers={"Cookie": "; ".join(f"{name}=1" for name in NAMES[:count])})


@pytest.mark.parametrize(
    ("key", "kind", "request_of", "bound"),
    [
        ("max_query_parameters", "params", params_of, 7),
        ("max_query_parameters", "params", params_of, None),
        ("max_cookies", "cookies", cookies_of, 7),
        ("max_cookies", "cookies", cookies_of, None),
    ],
)
def test_a_bound_is_exact(serve, key, kind, request_of, bound):
    """One below, as many as allowed, one above: the first so many are there. `None`: the documented default."""
    running = serve(counts, **({key: bound} if bound else {}))
    bound = bound or {"max_query_parameters": 1000, "max_cookies": 150}[key]
    for count in (bound - 1, bound, bound + 1, bound * 5 // 4):
        answer = timed(running, request_of(count))[1]
        assert (answer.status, json.loads(answer.text)[kind]) == (200, min(count, bound)), count


def test_the_first_ones_are_kept(serve):
    def names(request):
        return Response(200, {}, [list(request.params), list(request.cookies)])

    running = serve(names, max_query_parameters=2, max_cookies=2)
    answer = running.fetch("/?a=1&b=2&c=3", headers={"Cookie": "d=1; e=2; f=3"})
    assert json.loads(answer.text) == [["a", "b"], ["d", "e"]]


def test_the_same_name_counts_each_time(serve):
    running = serve(counts, max_query_parameters=3, max_cookies=3)
    answer = running.fetch("/?a=1&a=2&a=3&b=4", headers={"Cookie": "a=1; a=2; a=3; b=4"})
    found = json.loads(answer.text)
    assert (found["params"], found["all"], found["cookies"]) == (1, 3, 1)
