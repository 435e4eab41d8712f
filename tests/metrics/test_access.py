"""Which clients the listener of the metrics answers, and which settings it takes."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import pytest

from outside import OutsideHTTP
from support.harness import wait_until
from support.wire import fetch


def test_metrics_are_for_this_machine(start_measured):
    script = start_measured(metrics=["127.0.0.1", 0])
    assert script.place.startswith("http://127.0.0.1:")
    answer = script.ask("/metrics")
    assert (answer.status, answer.header("Content-Type")) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert (answer.header("Connection"), answer.header("Cache-Control")) == ("close", "no-store")
    assert script.ask("/metrics", method="HEAD").status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = script.ask("/metrics", method=method)
        assert (refused.status, refused.header("Allow")) == (405, "GET, HEAD")
    for path in ("/", "/users/1", "/status", "/status.json", "/status/stack?pid=1&call=1", "/metrics/"):
        assert script.ask(path).status == 404, path
    # The listener of the site tells nothing.
    assert fetch(script.address, "/metrics").status == 404


STRANGERS = [
    ("localhost", "Forwarded: for=192.0.2.1\r\n"),
    ("localhost", "X-Forwarded-For: 192.0.2.1\r\n"),
    ("127.0.0.1", "x-forwarded-host: localhost\r\n"),
    ("localhost", "X-Forwarded-Port: 1\r\n"),
    ("localhost", "Via: 1.1 proxy\r\n"),
    ("example.com", ""),
    ("127.0.0.1.nip.io", ""),
    ("localhost.example.com", ""),
    ("192.0.2.1:9464", ""),
    ("[::1", ""),
]


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_status_from_elsewhere(start_measured, where):
    settings = {"metrics": ["127.0.0.1", 0]} if where == "tcp" else {}
    script = start_measured(status_page=True, **settings)
    paths = ("/status", "/status.json", "/metrics", "/status/stack?pid=1&call=1")
    for path in paths:
        assert script.ask(path).status in (200, 404)
        for host, fields in STRANGERS:
            answer = script.ask(path, host=host, fields=fields)
            assert answer.status in (400, 403), f"{path} {host} {fields}"
            assert "outside_" not in answer.text


def test_status_from_another_peer(start_measured):
    own = _own_address()
    script = start_measured(metrics=[own, 0], metrics_allow=["198.51.100.0/24"], status_page=True)
    for path in ("/metrics", "/status", "/status.json"):
        assert script.ask(path, host=own).status == 403, path
    script = start_measured(metrics=[own, 0], metrics_allow=[f"{own}/32"], status_page=True)
    assert script.ask("/metrics", host="metrics.example.com").status == 200
    for path in ("/status", "/status.json", "/status/stack?pid=1&call=1"):
        assert script.ask(path, host="localhost").status == 404, path


def _own_address() -> str:
    """An address of this machine that is no loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        found = probe.getsockname()[0]
    if found.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return found


def test_clients_that_send_no_request(start_measured):
    script = start_measured(metrics=["127.0.0.1", 0])
    silent = [script.connect() for _ in range(20)]
    broken = script.connect()
    broken.sendall(b"\x16\x03\x01 nonsense \r\n\r\n")
    assert broken.recv(99).startswith(b"HTTP/1.1 400 ")
    large = script.connect()
    large.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000)
    assert large.recv(99).startswith(b"HTTP/1.1 400 ")
    assert script.ask("/metrics").status == 200
    for client in [*silent, broken, large]:
        client.close()
    wait_until(lambda: script.ask("/metrics").status == 200, "it answers")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": ("0.0.0.0", 9464)}, 'config["metrics_allow"] names the networks'),
        ({"metrics": ("192.0.2.1", 9464)}, "which other machines can reach"),
        ({"metrics": 9464}, "allowed: (ip, port), 'unix:PATH' or None"),
        ({"metrics": "example.com:9464"}, "allowed: (ip, port), 'unix:PATH' or None"),
        ({"metrics": "unix:@abstract"}, "allowed: (ip, port)"),
        ({"metrics": ("127.0.0.1", 0), "metrics_allow": ["everybody"]}, "a list of networks"),
        ({"metrics": ("127.0.0.1", 0), "metrics_allow": "10.0.0.0/8 "}, "a list of networks"),
        ({"status_page": True}, 'config["metrics"], which is not set'),
        ({"status_page": "yes"}, "allowed: True or False"),
    ],
)
def test_settings_that_are_refused(settings, words):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(settings)
    with pytest.raises(ValueError) as error:
        server.run()
    assert words in str(error.value)


def test_metrics_of_the_program_that_are_refused():
    server = OutsideHTTP(("127.0.0.1", 0))
    for make in (
        lambda: server.counter("1st"),
        lambda: server.counter("a b"),
        lambda: server.counter("outside_x"),
        lambda: server.gauge("process_x"),
        lambda: server.counter("x", labels=["a", "a"]),
        lambda: server.counter("x", labels=["__x"]),
        lambda: server.counter("x", labels=["é"]),
        lambda: server.histogram("h", bounds=[2, 1]),
        lambda: server.histogram("h", labels=["le"]),
        lambda: server.gauge("g", combine="average"),
    ):
        with pytest.raises(ValueError):
            make()
    counter = server.counter("orders", "Orders.", ["kind"])
    assert repr(server.counter("orders", "Orders.", ["kind"])) == repr(counter)
    with pytest.raises(ValueError, match="already"):
        server.gauge("orders_total")
    with pytest.raises(ValueError, match="only grows"):
        counter.inc(-1, kind="book")
    for wrong in ({}, {"sort": "book"}, {"kind": "book", "more": 1}):
        with pytest.raises(TypeError, match="the labels kind"):
            counter.inc(**wrong)
    with pytest.raises(TypeError, match="numbers"):
        counter.inc("one", kind="book")  # type: ignore[arg-type]
    # Without `config["metrics"]` they cost little, and nothing is told.
    counter.inc(kind="book")
    server.gauge("jobs").set(2.5)
    server.histogram("size").observe(1)


@pytest.mark.timed
def test_silent_clients_keep_no_other_waiting(start_measured):
    """More of them than the listener has places: those that came first give way."""
    script = start_measured()
    with ExitStack() as stack:
        for number in range(300):
            wire = stack.enter_context(script.connect())
            if number % 3:
                wire.sendall(b"GET /metrics HTTP/1.1\r\n" if number % 3 == 1 else b"G")
        began = time.monotonic()
        assert script.ask("/metrics").status == 200
        assert time.monotonic() - began < 3
