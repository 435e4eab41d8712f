"""Slow and greedy clients are cut, and every refusal by a limit names the key that sets it, once, in the log.

Deadlines are shortened by the configuration; a client that drips keeps its own pace, and no test sleeps.
"""

from __future__ import annotations

import threading
import time

import pytest

from support.wire import request_bytes

pytestmark = pytest.mark.timed


@pytest.mark.parametrize(
    ("key", "value", "raw", "status"),
    [
        ("max_request_line", 100, request_bytes("/" + "a" * 100), 414),
        ("max_header_fields", 5, request_bytes("/", headers=[("X", "a")] * 5), 431),
        ("max_header_size", 100, request_bytes("/", headers=[("X", "a" * 100)]), 431),
        ("max_body_size_mb", 1, request_bytes("/", headers={"Content-Length": "1048577"}), 413),
        ("header_timeout", 0.2, b"GET / HTTP/1.1\r\n", 408),
        ("body_stall_timeout", 0.2, request_bytes("/", headers={"Content-Length": "5"}) + b"x", 408),
    ],
)
def test_a_refusal_names_its_key_once(serve, records, key, value, raw, status):
    running = serve(lambda request: "x", **{key: value})
    for _ in range(3):
        with running.wire() as wire:
            assert wire.send(raw).receive_answer().status == status
            wire.receive_end()
    records.wait_for(key)
    running.stop()
    assert sum(key in text for text in records.texts()) == 1


def drip(wire, raw: bytes, pace: float) -> float:
    """Sends byte by byte until the server has had enough; after how many seconds that was."""
    began, pause = time.monotonic(), threading.Event()
    wire.socket.setblocking(False)
    try:
        for position in range(len(raw)):
            wire.socket.send(raw[position : position + 1])
            pause.wait(pace)
            try:
                if not wire.socket.recv(65536):
                    break
            except BlockingIOError:
                pass
        else:
            raise AssertionError("the server took it all")
    except (BrokenPipeError, ConnectionResetError):
        pass
    return time.monotonic() - began


def test_dripping_does_not_extend_the_time_of_a_head(serve):
    with serve(lambda request: "x", header_timeout=0.5).wire() as wire:
        seconds = drip(wire, b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 500, 0.02)
    assert 0.4 <= seconds < 5


def test_empty_lines_do_not_hold_a_connection(serve):
    with serve(lambda request: "x", header_timeout=0.5, first_byte_timeout=0.5).wire() as wire:
        wire.send(b"\r\n").receive_rest()


def test_a_connection_that_says_nothing_is_closed(serve):
    with serve(lambda request: "x", first_byte_timeout=0.2).wire() as wire:
        wire.receive_end()


def test_a_client_that_stops_reading_is_cut(serve, records):
    size = 50_000_000
    running = serve(lambda request: b"x" * size, write_stall_timeout=0.3, access_log="common")
    with running.wire() as wire:
        wire.send(request_bytes("/"))
        records.wait_for(lambda record: record.name == "outside.access")
        assert len(wire.receive_rest()) < size


def test_a_slow_client_does_not_hold_a_handler(serve):
    """While the answers to clients that do not read are waiting, others are served."""
    running = serve({"/large": lambda request: b"x" * 20_000_000, "/small": lambda request: "small"})
    lazy = [running.wire().send(request_bytes("/large")) for _ in range(20)]
    greedy = [running.wire().send(request_bytes("/small", headers={"Content-Length": "9"})) for _ in range(20)]
    assert running.fetch("/small").text == "small"
    for wire in lazy + greedy:
        wire.close()


def test_many_dripping_clients_do_not_disturb_others(serve):
    running = serve(lambda request: "x")
    slow = [running.wire().send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ") for _ in range(500)]
    with running.wire() as wire:
        for _ in range(50):
            for number in range(0, 500, 50):
                slow[number].send(b"a")
            assert wire.send(request_bytes("/")).receive_answer().text == "x"
    for number in range(0, 500, 50):
        assert slow[number].send(b"\r\n\r\n").receive_answer().text == "x"
    for client in slow:
        client.close()
