"""The configuration: every default, the values that run() refuses and its messages, and the effect of the keys."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest

from outside import OutsideHTTP
from support.wire import Wire, request_bytes

DEFAULTS = {
    "backlog_length": 1024,
    "max_workers": 150,
    "spool_max_mb": 1024,
    "max_body_memory_mb": None,
    "max_topics": 1024,
    "max_published_mb": 16,
    "max_shared_mb": 64,
    "process_timeout": 60,
    "termination_timeout": 30,
    "cancel_on_disconnect": False,
    "recv_size": 16384,
    "send_size": 65536,
    "keep_alive": True,
    "max_socket_reuse": 10000,
    "accept_timeout": 1,
    "max_body_size_mb": 16,
    "allow_range_from_mb": 0,
    "big_definition_mb": 50,
    "big_send_limit_mb": 100,
    "post_callback": None,
    "pre_send": None,
    "server_cleanup": None,
    "access_log": "auto",
    "header_timeout": 30,
    "keep_alive_idle": 75,
    "body_stall_timeout": 30,
    "write_stall_timeout": 60,
    "max_request_line": 8192,
    "max_header_fields": 100,
    "max_header_size": 32768,
    "max_connections": None,
    "max_connections_per_ip": None,
    "max_websocket_connections": None,
    "first_byte_timeout": 30,
    "min_rate": 240,
    "h2c": False,
    "h2_ping": 30,
    "max_query_parameters": 1000,
    "max_cookies": 150,
    "reactors": 1,
}


def make(**config) -> OutsideHTTP:
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(config)
    return server


@pytest.mark.parametrize("key", DEFAULTS)
def test_default(key):
    value = make().config[key]
    assert value == DEFAULTS[key]
    assert isinstance(value, bool) == isinstance(DEFAULTS[key], bool)


def test_the_host_is_the_constructors():
    assert OutsideHTTP(("127.0.0.1", 8099)).config["host"] == ("127.0.0.1", 8099)


def test_it_is_a_dictionary_of_its_own():
    assert isinstance(make().config, dict)
    one = make()
    one.config["max_workers"] = 1
    assert make().config["max_workers"] == 150


def refusal(**config) -> str:
    with pytest.raises((ValueError, TypeError)) as error:
        make(**config).run()
    return str(error.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("max_worker", "max_workers"),
        ("keepalive", "keep_alive"),
        ("max_body_size", "max_body_size_mb"),
        ("post_calback", "post_callback"),
        ("termination_timout", "termination_timeout"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_right_name(wrong, right):
    text = refusal(**{wrong: 5})
    assert f"'{wrong}'" in text.replace('"', "'")
    assert right in text


BAD = [
    ("host", 5),
    ("host", ("127.0.0.1",)),
    ("host", ("127.0.0.1", "80")),
    ("backlog_length", "many"),
    ("backlog_length", -1),
    ("max_workers", "150"),
    ("max_workers", 0),
    ("max_workers", -3),
    ("max_workers", True),
    ("max_topics", 0),
    ("max_topics", "many"),
    ("spool_max_mb", 0),
    ("spool_max_mb", "x"),
    ("max_body_memory_mb", 0),
    ("max_body_memory_mb", "x"),
    ("max_shared_mb", 0),
    ("max_shared_mb", "x"),
    ("max_published_mb", 0),
    ("max_published_mb", "x"),
    ("process_timeout", "x"),
    ("process_timeout", -1),
    ("process_timeout", float("nan")),
    ("termination_timeout", None),
    ("cancel_on_disconnect", 1),
    ("termination_timeout", -1),
    ("recv_size", 0),
    ("recv_size", 1.5),
    ("send_size", -5),
    ("keep_alive", "yes"),
    ("keep_alive", 2),
    ("max_socket_reuse", 0),
    ("max_socket_reuse", "x"),
    ("max_body_size_mb", -1),
    ("max_body_size_mb", "16"),
    ("allow_range_from_mb", "x"),
    ("post_callback", "function"),
    ("pre_send", 5),
    ("server_cleanup", []),
    ("access_log", "apache"),
    ("access_log", 5),
    ("header_timeout", 0),
    ("header_timeout", "30"),
    ("keep_alive_idle", -1),
    ("body_stall_timeout", "x"),
    ("write_stall_timeout", "x"),
    ("max_request_line", 0),
    ("max_header_fields", "x"),
    ("max_header_size", -1),
    ("max_connections", 0),
    ("max_connections_per_ip", 0),
    ("max_connections_per_ip", "many"),
    ("max_websocket_connections", -1),
    ("max_websocket_connections", 2.5),
    ("max_connections", "x"),
    ("reactors", 0),
    ("reactors", -1),
    ("reactors", 65),
    ("reactors", "two"),
    ("reactors", 1.5),
    ("reactors", True),
    ("reactors", None),
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=lambda part: str(part))
def test_a_wrong_value_is_refused_with_the_key_and_the_value(key, value):
    text = refusal(**{key: value})
    assert key in text
    assert str(value).lower() in text.lower().replace('"', "'")


def test_files_of_all_bodies_hold_one_body():
    text = refusal(spool_max_mb=8)
    assert 'config["spool_max_mb"] is 8, less than one body may have: config["max_body_size_mb"] is 16' in text


def test_bounds_that_cannot_work_together():
    """A part that may have more than the whole is a mistake, which is told before anything is served."""
    text = refusal(max_unsent_mb=32, max_unsent_per_connection_mb=64, max_connections=50, max_websocket_connections=60)
    assert 'config["max_unsent_per_connection_mb"] is 64; allowed: at most config["max_unsent_mb"], which is 32' in text
    assert 'config["max_websocket_connections"] is 60; allowed: at most config["max_connections"], which is 50' in text
    assert 'config["max_connections_per_ip"] is 51' in refusal(max_connections=50, max_connections_per_ip=51)


def test_several_reactors_need_a_python_without_gil(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    text = refusal(reactors=2)
    for part in ("reactors", "2", 'config["processes"]'):
        assert part in text


def test_all_mistakes_are_in_one_message():
    text = refusal(max_worker=5, keep_alive="yes", recv_size=-1)
    for part in ("max_worker", "max_workers", "keep_alive", "yes", "recv_size", "-1"):
        assert part in text


def test_a_missing_key_has_its_default(serve):
    server = make(access_log="off")
    del server.config["max_workers"]
    server.config.pop("backlog_length")
    from support.harness import Running

    running = Running(server)
    assert running.fetch("/").status == 404
    running.stop()


@pytest.mark.parametrize(
    "config",
    [
        {"process_timeout": 0.5},
        {"termination_timeout": 1.5},
        {"max_body_size_mb": 0.5},
        {"allow_range_from_mb": -1},
        {"max_connections": 100},
        {"accept_timeout": 5},
        {"big_definition_mb": 1},
        {"access_log": "json"},
        {"recv_size": 1024, "send_size": 1024},
    ],
    ids=str,
)
def test_right_values_are_taken(serve, config):
    assert serve(lambda request: "fine", **config).fetch().text == "fine"


@pytest.mark.parametrize(
    "host",
    [
        ("127.0.0.1",),
        ("127.0.0.1", "80"),
        "127.0.0.1:80",
        None,
        80,
        (127, 80),
        ("127.0.0.1", 80, 5),
        ("127.0.0.1", 8.0),
        ("127.0.0.1", True),
    ],
    ids=repr,
)
def test_a_host_of_a_wrong_type_is_refused_by_the_constructor(host):
    with pytest.raises(TypeError) as error:
        OutsideHTTP(host)
    assert repr(host) in str(error.value) or "host" in str(error.value)


@pytest.mark.parametrize(
    "host",
    [("127.0.0.1", -1), ("127.0.0.1", 65536), ("no address", 80), ("300.0.0.1", 80), ("", 80), ("127.0.0.1\0", 80)],
    ids=repr,
)
def test_a_host_of_a_wrong_value_is_refused_by_the_constructor(host):
    with pytest.raises(ValueError):
        OutsideHTTP(host)


# effects of the keys


def test_host_moves_the_server(serve):
    running = serve(lambda request: "moved", host=("127.0.0.2", 0))
    assert running.address[0] == "127.0.0.2"
    assert running.fetch().text == "moved"


def test_keep_alive_off(serve):
    with serve(lambda request: "x", keep_alive=False).wire() as wire:
        answer = wire.send(request_bytes("/") * 2).receive_answer()
        assert answer.header("Connection") == "close"
        wire.receive_end()


def test_max_socket_reuse(serve):
    with serve(lambda request: "x", max_socket_reuse=3).wire() as wire:
        wire.send(request_bytes("/") * 5)
        assert [wire.receive_answer().header("Connection") for _ in range(3)] == [None, None, "close"]
        wire.receive_end()


@pytest.mark.parametrize(("size", "status"), [(1048575, 200), (1048576, 200), (1048577, 413)])
def test_max_body_size(serve, size, status):
    running = serve(lambda request: str(len(request.content)), max_body_size_mb=1)
    answer = running.fetch("/", "POST", body=b"x" * size)
    assert answer.status == status
    if status == 200:
        assert answer.text == str(size)


@pytest.mark.parametrize(("length", "status"), [(99, 200), (100, 200), (101, 414)])
def test_max_request_line(serve, length, status):
    target = "/?" + "a" * (length - len("GET /? HTTP/1.1"))
    assert serve(lambda request: "x", max_request_line=100).fetch(target).status == status


@pytest.mark.parametrize(("fields", "status"), [(4, 200), (5, 200), (6, 431)])
def test_max_header_fields(serve, fields, status):
    more = [("X", "a")] * (fields - 2)  # Host and Connection are there
    assert serve(lambda request: "x", max_header_fields=5).fetch("/", headers=more).status == status


@pytest.mark.parametrize(("size", "status"), [(199, 200), (200, 200), (201, 431)])
def test_max_header_size(serve, size, status):
    head = request_bytes("/", headers=[("X-Long", "")]).partition(b"\r\n")[2][:-2]
    raw = request_bytes("/", headers=[("X-Long", "a" * (size - len(head)))])
    assert len(raw.partition(b"\r\n")[2]) == size + 2
    with serve(lambda request: "x", max_header_size=200).wire() as wire:
        assert wire.send(raw).receive_answer().status == status


@pytest.mark.timed
def test_header_timeout_counts_from_the_first_byte(serve):
    with serve(lambda request: "x", header_timeout=0.3).wire() as wire:
        data = wire.send(b"GET / HT").receive_rest()
    assert data == b"" or data.startswith(b"HTTP/1.1 408 ")


def test_keep_alive_idle(serve):
    with serve(lambda request: "x", keep_alive_idle=0.2).wire() as wire:
        assert wire.send(request_bytes("/")).receive_answer().text == "x"
        wire.receive_end()


@pytest.mark.timed
def test_body_stall_timeout(serve):
    with serve(lambda request: "x", body_stall_timeout=0.3).wire() as wire:
        data = wire.send(request_bytes("/", "POST", {"Content-Length": "5"}) + b"x").receive_rest()
    assert data == b"" or data.startswith(b"HTTP/1.1 408 ")


def test_reactors(serve, monkeypatch):
    """Reactors, as a Python without a GIL has them; with a GIL they are of no use, but work the same."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    threads = set()
    running = serve({"/": lambda request: threads.add(threading.get_ident()) or "x"}, reactors=2, max_connections=40)
    wires = [running.wire() for _ in range(20)]
    for wire in wires * 5:
        assert wire.send(request_bytes("/")).receive_answer().text == "x"
    running.stop()
    for wire in wires:
        wire.receive_end()
        wire.close()
    assert len(threads) >= 2


@pytest.mark.parametrize(
    ("has_gil", "settings", "loops"),
    [
        (False, {}, len(os.sched_getaffinity(0))),
        (False, {"reactors": 1}, 1),
        (False, {"processes": 2}, 1),
        (True, {}, 1),
        (True, {"reactors": "auto", "processes": 1}, None),
    ],
)
def test_one_process_without_gil_has_an_event_loop_for_each_core(monkeypatch, has_gil, settings, loops):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: has_gil, raising=False)
    asked = []
    monkeypatch.setattr("outside._process.run.run", lambda server, reactors, recycles: asked.append(reactors))
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(settings)
    if loops is None and len(os.sched_getaffinity(0)) > 1:
        with pytest.raises(ValueError, match="reactors"):
            server.run()
        return
    server.run()
    assert asked == [None if settings.get("processes") == 2 else loops or 1]


def test_max_connections(serve):
    """Idle connections make room for new ones, whose turn does not wait for the idle ones to take notice."""
    running = serve(lambda request: "x", max_connections=4)
    idle = [running.wire() for _ in range(20)]
    try:
        with Wire(running.address, deadline=5) as wire:
            assert wire.send(request_bytes("/")).receive_answer().text == "x"
    finally:
        for wire in idle:
            wire.close()


def test_backlog_length_reaches_the_socket(serve):
    assert serve(lambda request: "x", backlog_length=1).fetch().text == "x"


def test_a_changed_copy_of_the_host_has_no_effect_while_running(serve):
    running = serve(lambda request: "x")
    running.server.config["host"] = ("127.0.0.1", 1)
    with Wire(running.address) as wire:
        assert wire.send(request_bytes("/")).receive_answer().text == "x"
    assert isinstance(running.address, tuple)
    assert socket.inet_aton(running.address[0])
