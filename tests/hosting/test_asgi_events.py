"""ASGI applications without a framework: scopes, events, answers, clients that leave, and applications that misbehave."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading

import pytest

from outside import OutsideHTTP, asgi
from support.harness import Records, Running, wait_until

OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


async def answer(send, body: bytes = b"ok", **start) -> None:
    await send({**OK, **start})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def host():
    """Serves an application on a port of its own."""
    running: list[Running] = []

    def begin(app, route: str = "/", **config) -> Running:
        server = OutsideHTTP(("127.0.0.1", 0))
        server.config.update(termination_timeout=5, **config)
        server.set_route(route, asgi(app))
        running.append(Running(server))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def test_scope_says_what_was_received(host):
    scopes = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            scopes.append(scope)
            await answer(send)

    server = host(app, "/api")
    with server.wire() as wire:
        wire.send(b"POST /api/a%20b/..//%2F?q=%31 HTTP/1.1\r\nHost: here\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 0\r\n\r\n")
        assert wire.receive_answer().status == 200
    [scope] = scopes
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "POST", "http")
    assert (scope["path"], scope["root_path"]) == ("/api/a b/..///", "/api")
    assert (scope["raw_path"], scope["query_string"]) == (b"/api/a%20b/..//%2F", b"q=%31")
    assert scope["headers"] == [(b"host", b"here"), (b"x-two", b"1"), (b"x-two", b"2"), (b"content-length", b"0")]
    assert scope["client"][0] == "127.0.0.1" and isinstance(scope["client"][1], int)
    assert scope["server"] == server.address
    assert "http.response.pathsend" in scope["extensions"]


def test_content_of_any_size_comes_in_pieces(host):
    async def app(scope, receive, send):
        size, more = 0, True
        while more:
            event = await receive()
            size += len(event["body"])
            more = event["more_body"]
        await answer(send, str(size).encode())

    server = host(app)
    assert server.fetch(method="POST", body=b"abc").body == b"3"
    with server.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)
        assert wire.receive_answer().body == b"5000000"
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert wire.receive_answer().body == b"5"


def test_an_answer_that_is_complete_at_once_has_a_length(host):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        for piece in (b"a", bytearray(b"b"), memoryview(b"c")):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if scope["path"] == "/waits":
                await asyncio.sleep(0.01)
        await send({"type": "http.response.body"})

    server = host(app)
    at_once, waits = server.fetch("/"), server.fetch("/waits")
    assert (at_once.body, at_once.header("Content-Length"), at_once.header("Content-Type")) == (b"abc", "3", None)
    assert (waits.body, waits.chunked) == (b"abc", True)


def test_head_keeps_the_length_of_the_application(host):
    async def app(scope, receive, send):
        await answer(send, b"x" * 7, headers=[(b"content-length", b"7")])

    assert host(app).fetch(method="HEAD").header("Content-Length") == "7"


def test_events_in_and_out_of_tasks(host):
    """`receive()` works as a coroutine of its own, may be cancelled, and loses nothing."""

    async def app(scope, receive, send):
        await receive()
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.01):
                await receive()
        other = asyncio.create_task(receive())
        await answer(send)
        assert await other == {"type": "http.disconnect"} == await receive()
        seen.append(waiting.cancelled())

    seen: list[bool] = []
    assert host(app).fetch().body == b"ok"
    wait_until(lambda: seen == [True])


def test_send_raises_once_the_client_has_left(host):
    outcome: list[object] = []

    async def app(scope, receive, send):
        await send(OK)
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
                await asyncio.sleep(0.001)
        except OSError as error:
            outcome.append(error)
            outcome.append((await receive())["type"])

    server = host(app)
    with server.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wire.receive_some()
    wait_until(lambda: len(outcome) == 2)
    assert isinstance(outcome[0], OSError) and outcome[1] == "http.disconnect"


def test_a_fin_counts_as_leaving_and_nothing_is_cancelled(host):
    seen: list[object] = []

    async def app(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        seen.append("waits")
        seen.append(await receive())
        await asyncio.sleep(0.02)
        seen.append("goes on")

    server = host(app)
    with server.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: seen)
        wire.send_end()
        wait_until(lambda: seen[-1] == "goes on")
    assert seen == ["waits", {"type": "http.disconnect"}, "goes on"]


def test_a_stream_waits_for_a_slow_client(host):
    sent = [0]

    async def app(scope, receive, send):
        await send(OK)
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"#" * 100_000, "more_body": True})
            sent[0] += 1
        await send({"type": "http.response.body"})

    server = host(app)
    with server.wire(window=1 << 16) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        wait_until(lambda: sent[0] > 1)
        threading.Event().wait(0.1)
        assert sent[0] < 150
        assert wire.receive_rest().count(b"#") == 20_000_000


def test_each_call_has_a_copy_of_the_context(host):
    variable = contextvars.ContextVar("variable", default="none")

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            variable.set("lifespan")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen = variable.get()
        variable.set("request")
        await answer(send, seen.encode())

    server = host(app)
    assert [server.fetch().body for _ in range(2)] == [b"lifespan", b"lifespan"]


async def _no_answer(scope, receive, send): ...


async def _two_starts(scope, receive, send):
    await send(OK)
    await send(OK)


async def _splits(scope, receive, send):
    await answer(send, headers=[(b"x-a", b"1\r\nx-b: 2")])


async def _exits(scope, receive, send):
    raise SystemExit(7)


async def _exits_later(scope, receive, send):
    await asyncio.sleep(0.01)
    raise SystemExit(7)


async def _body_first(scope, receive, send):
    await send({"type": "http.response.body", "body": b"x"})


async def _too_long(scope, receive, send):
    await answer(send, b"four", headers=[(b"content-length", b"3")])


async def _too_short(scope, receive, send):
    await answer(send, b"four", headers=[(b"content-length", b"5")])


async def _unknown(scope, receive, send):
    await send({"type": "http.response.wrong"})


async def _cancelled(scope, receive, send):
    raise asyncio.CancelledError


MISBEHAVING = [_no_answer, _two_starts, _splits, _exits, _exits_later, _body_first, _too_long, _too_short, _unknown, _cancelled]


@pytest.mark.parametrize("wrong", MISBEHAVING, ids=lambda app: app.__name__.strip("_"))
def test_an_application_harms_its_own_answer_alone(host, wrong, records: Records):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await (answer(send) if scope["path"] == "/good" else wrong(scope, receive, send))

    server = host(app)
    with server.wire() as wire:
        wire.send(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.receive_answer().status == 500
        wire.send(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.receive_answer().body == b"ok"
    records.wait_for("GET /bad: the application")


def test_a_failure_after_the_head_cuts_the_answer(host, records: Records):
    async def app(scope, receive, send):
        await send(OK)
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.sleep(0.01)
        raise ValueError("in the middle")

    with host(app).wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        data = wire.receive_rest()
    assert b"begun" in data and not data.endswith(b"0\r\n\r\n")
    records.wait_for("in the middle")


def test_pathsend_sends_a_file(host, tmp_path):
    (tmp_path / "file").write_bytes(b"f" * 300_000)

    async def app(scope, receive, send):
        await send({**OK, "headers": [(b"content-type", b"text/x-mine"), (b"content-length", b"300000")]})
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    got = host(app).fetch()
    assert (got.body, got.header("Content-Type")) == (b"f" * 300_000, "text/x-mine")


def test_through_the_test_client():
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await answer(send, json.dumps(scope["path"]).encode())

    server = OutsideHTTP(("127.0.0.1", 0))
    server.mount("/below", app)
    with server.test_client() as client:
        assert client.get("/below/it").json() == "/below/it"


def test_many_calls_wait_at_once(host):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            waiting.append(1)
            while len(waiting) < 50:
                await asyncio.sleep(0.001)
            await answer(send)

    waiting: list[int] = []
    server = host(app)
    wires = [server.wire() for _ in range(50)]
    for wire in wires:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert all(wire.receive_answer().status == 200 for wire in wires)
    for wire in wires:
        wire.close()
