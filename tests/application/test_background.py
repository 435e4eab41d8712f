"""Background tasks: `request.after` when the answer is out, `server.background` at once."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from outside import HandlerTimeout, OutsideHTTP

WHO: ContextVar[str] = ContextVar("who", default="none")


@pytest.fixture
def server(server: OutsideHTTP) -> OutsideHTTP:
    server.config["access_log"] = "off"
    return server


@pytest.mark.parametrize("handler_style", ["plain", "async", "set_route", "stream", "hooked"])
@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_function_runs_when_the_answer_is_out(server, handler_style, style):
    came: list[object] = []
    done = threading.Event()

    def note(name, number):
        came.append((name, number, WHO.get()))
        done.set()

    async def note_async(name, number):
        await asyncio.sleep(0)
        note(name, number)

    def handler(request):
        WHO.set("ann")
        request.after(note if style == "plain" else note_async, "mail", 7)
        return iter(["o", "k"]) and "ok"

    async def handler_async(request):
        return handler(request)

    if handler_style == "set_route":
        server.set_route("/", handler)
    else:
        server.get("/")(handler_async if handler_style == "async" else handler)
    if handler_style == "hooked":
        server.before_request(lambda request: None)
    client = server.test_client()
    assert client.get("/").text == "ok"
    assert done.wait(10) and came == [("mail", 7, "ann")]


@pytest.mark.parametrize("style", ["plain", "async", "async, cancelled"])
def test_it_runs_too_if_the_client_leaves_first(server, start, style):
    accepted, is_gone, done = threading.Event(), threading.Event(), threading.Event()

    def handler(request):
        request.after(done.set)
        accepted.set()
        is_gone.wait(10)
        return "x" * 10_000_000

    async def handler_async(request):
        request.after(done.set)
        accepted.set()
        while not is_gone.is_set():
            await asyncio.sleep(0.001)
        return "x" * 10_000_000

    cancels = "cancelled" in style
    server.get("/", cancel_on_disconnect=cancels or None)(handler if style == "plain" else handler_async)
    running = start()
    with running.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert accepted.wait(10)
    if not cancels:
        is_gone.set()
    assert done.wait(10)
    is_gone.set()


def test_the_answer_does_not_wait_for_it(server):
    goes_on, done = threading.Event(), threading.Event()

    def slow():
        goes_on.wait(10)
        done.set()

    server.get("/")(lambda request: request.after(slow))
    assert server.test_client().get("/").status_code == 204
    assert not done.is_set()
    goes_on.set()
    assert done.wait(10)


def test_at_once_and_in_the_order_of_a_pool(server):
    server.config["max_background"] = 1
    came: list[int] = []
    done = threading.Event()

    @server.get("/")
    def handler(request):
        for number in range(3):
            server.background(came.append, number)
        server.background(done.set)
        return "ok"

    server.test_client().get("/")
    assert done.wait(10) and came == [0, 1, 2]


def test_more_than_may_wait_are_an_error(server):
    server.config["max_background"] = 1
    goes_on = threading.Event()
    server.background(goes_on.wait, 10)
    try:
        for _ in range(1000):
            server.background(int)
        with pytest.raises(RuntimeError, match="1,000 background functions wait already.*max_background"):
            server.background(int)
    finally:
        goes_on.set()


@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_failure_is_logged_with_its_place(server, records, style):
    def fails():
        raise ValueError("no mail")

    async def fails_async():
        fails()

    server.get("/")(lambda request: request.after(fails if style == "plain" else fails_async))
    client = server.test_client()
    client.get("/")
    client.close()
    record = records.wait_for("a background function failed")
    assert "test_background.py:" in record.getMessage() and "no mail" in record.whole


def test_the_end_waits_then_cancels(server, records):
    server.config["termination_timeout"] = 0.2
    began, ended = threading.Event(), []

    def long():
        began.set()
        try:
            while True:
                threading.Event().wait(0.01)
        except HandlerTimeout:
            ended.append("plain")
            raise

    async def long_async():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("async")
            raise

    @server.get("/")
    async def handler(request):
        server.background(long)
        server.background(long_async)

    client = server.test_client()
    client.get("/")
    assert began.wait(10)
    client.close()
    assert sorted(ended) == ["async", "plain"]
    assert "2 background functions are cancelled" in "\n".join(records.texts())


@pytest.mark.parametrize("function", [None, "f", 7])
def test_what_is_no_function_is_refused(server, function):
    with pytest.raises(TypeError, match=r"server.background\(\) takes a function"):
        server.background(function)
