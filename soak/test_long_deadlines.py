"""Every deadline at its default, with clients that wait it out; a minimum rate over a minute and more."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.slow_clients import CHUNKED, GET, HALF_HEAD, REFUSED, SIZED, drip_until_end
from support.slow_readers import SIZE, file, for_each_kind, read_slowly, read_the_rest, routes, wait_for_log_line
from support.slowloris import HALF_BODY, check_healthy
from support.slowloris import HALF_HEAD as SLOW_HEAD
from support.wire import request_bytes

__all__ = ["file", "routes"]  # fixtures

WAITED_OUT = {
    "says nothing": (b"", b"", 1, [], 30),
    "half a head": (HALF_HEAD, b"", 1, [408], 30),
    "a dripped head": (HALF_HEAD, b"a", 1, [408], 30),
    "half a body": (SIZED + b"x" * 500_000, b"", 1, [408], 30),
    "half a chunk": (CHUNKED + b"20000\r\n" + b"x" * 100_000, b"", 1, [408], 30),
    "idle": (GET, b"", 1, [200], 75),
}


def test_the_defaults(serve):
    address = serve(lambda request: "x").address
    with ThreadPoolExecutor(len(WAITED_OUT)) as pool:
        futures = {
            name: pool.submit(drip_until_end, address, opening, drip, pace, most=90)
            for name, (opening, drip, pace, *_) in WAITED_OUT.items()
        }
    for name, (*_, statuses, seconds) in WAITED_OUT.items():
        outcome = futures[name].result()
        assert outcome.statuses == statuses, name
        assert seconds - 0.15 <= outcome.seconds <= seconds + 2, name


def test_content_that_was_refused_may_come_for_30_s(serve):
    """At the minimum rate; at 100 bytes a second it is above that rate, after five seconds of grace, for 8.6 s."""
    running = serve(lambda request: "x")
    raw, status = REFUSED["too large"]

    def send(rate: int) -> float:
        with running.wire() as wire:
            assert wire.send(raw).receive_answer().status == status
            began = time.monotonic()
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                while time.monotonic() - began < 60:
                    wire.socket.sendall(b"x" * (rate // 10))
                    threading.Event().wait(0.1)
            return time.monotonic() - began

    with ThreadPoolExecutor(2) as pool:
        fast, slow = pool.submit(send, 300), pool.submit(send, 100)
    assert 30 - 0.15 <= fast.result() <= 32
    assert 8 <= slow.result() <= 10


def test_a_client_that_stops_reading(serve, records, routes):
    running = serve(routes, access_log="common")

    def ask(kind):
        with running.wire() as wire:
            began = time.time()
            wire.send(request_bytes(f"/{kind}"))
            return wait_for_log_line(records, f"/{kind}", patience=90).created - began

    seconds = for_each_kind(ask)
    assert all(59.8 <= each <= 62 for each in seconds.values()), seconds


def test_a_body_that_began_fast_has_a_minimum_rate_as_well(serve):
    """Half a megabyte at once, then one byte in five seconds."""
    running = serve(lambda request: "x")
    assert drip_until_end(running.address, SIZED + b"x" * 500_000, b"x", pace=5, most=60).statuses == [408]


def test_a_long_upload_at_64_kib_a_second(serve):
    """docs/security.md S24: slow, but above the minimum rate, for longer than any deadline."""
    size = 90 * 65536
    running = serve(lambda request: str(len(request.content)))
    head = request_bytes("/", "POST", {"Content-Length": str(size), "Connection": "close"})
    outcome = drip_until_end(running.address, head, b"x" * 6554, pace=0.1, most=120)
    assert [answer.text for answer in outcome.answers] == [str(size)]


def test_a_long_download_at_128_kib_a_second(serve, routes):
    """docs/security.md S25: all of it, over two minutes."""
    check_download(serve(routes), 128 << 10)


def test_a_long_download_at_8_kib_a_second(serve, routes):
    """Thirty times the minimum rate: two minutes of it, then the rest at once."""
    check_download(serve(routes), 8 << 10)


def check_download(running, rate):
    def read(kind):
        with running.wire() as wire:
            wire.send(request_bytes(f"/{kind}", headers={"Connection": "close"}))
            return read_slowly(wire, rate, 120) + read_the_rest(wire)[0]

    counts = for_each_kind(read)
    assert all(count > SIZE for count in counts.values()), counts


def test_two_thousand_dripping_heads_at_the_default_deadline():
    check_healthy(SLOW_HEAD, 2000, deadline=30, seconds=25)


def test_a_thousand_dripping_bodies():
    """One byte in ten seconds: the grace of five seconds, and nothing more."""
    check_healthy(HALF_BODY, 1000, deadline=5, seconds=3)


def test_a_limit_is_told_again_after_a_minute(serve, records):
    """Two clients every five seconds for a bit more than a minute: told at the beginning and once again."""
    running = serve(lambda request: "x")
    began, pause = time.monotonic(), threading.Event()
    while time.monotonic() - began < 63:
        for _ in range(2):
            assert running.fetch("/" + "a" * 9000).status == 414
        pause.wait(5)
    running.stop()
    assert sum("max_request_line" in text for text in records.texts()) == 2
