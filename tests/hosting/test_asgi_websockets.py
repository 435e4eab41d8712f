"""WebSockets of ASGI applications: opened or refused by the application, messages both ways, and every kind of end."""

from __future__ import annotations

import asyncio
import socket

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from outside import OutsideHTTP, asgi
from support.harness import Records, Running, wait_until


@pytest.fixture
def host():
    """Serves an application for WebSockets; gives a function that connects."""
    running: list[Running] = []

    def begin(app):
        async def only_websockets(scope, receive, send):
            if scope["type"] == "websocket":
                await app(scope, receive, send)

        server = OutsideHTTP(("127.0.0.1", 0))
        server.config["termination_timeout"] = 5
        server.set_route("/", asgi(only_websockets))
        running.append(Running(server))
        address = running[-1].address
        return lambda path="/", **options: connect(
            f"ws://{address[0]}:{address[1]}{path}", compression=None, max_size=None, **options
        )

    yield begin
    for one in running:
        one.stop()


def test_messages_both_ways(host):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send(
            {"type": "websocket.accept", "subprotocol": "two", "headers": [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]}
        )
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", **{key: event[key] for key in ("text", "bytes") if key in event}})
        ends.append(event)

    ends: list[dict] = []
    with host(app)("/a?b=c", subprotocols=["one", "two"], origin="https://elsewhere.example") as client:
        assert client.subprotocol == "two"
        assert client.response.headers.get_all("set-cookie") == ["a=1", "b=2"]
        for message in ("text", b"bytes", "x" * 2_000_000):
            client.send(message)
            assert client.recv() == message
        client.close(3456, "enough")
    wait_until(lambda: ends)
    assert ends == [{"type": "websocket.disconnect", "code": 3456, "reason": "enough"}]
    [scope] = scopes
    assert (scope["scheme"], scope["subprotocols"], scope["query_string"]) == ("ws", ["one", "two"], b"b=c")
    assert "websocket.http.response" in scope["extensions"] and "method" not in scope


async def _returns(receive, send): ...


async def _raises(receive, send):
    raise ValueError("oh")


async def _closes(receive, send):
    await send({"type": "websocket.close", "code": 4001, "reason": "that is why"})


@pytest.mark.parametrize(
    ("ends", "code", "reason"), [(_returns, 1000, ""), (_raises, 1011, ""), (_closes, 4001, "that is why")]
)
def test_the_end_of_the_application_ends_the_connection(host, ends, code, reason):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await ends(receive, send)

    with host(app)() as client, pytest.raises(ConnectionClosed) as closed:
        client.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


async def _refuses(receive, send):
    await send({"type": "websocket.close"})


async def _words_a_refusal(receive, send):
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"none")]})
    await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"you"})


@pytest.mark.parametrize(
    ("refuses", "status", "body"),
    [(_refuses, 403, b""), (_words_a_refusal, 401, b"not you"), (_raises, 500, None), (_returns, 500, None)],
)
def test_an_application_may_refuse(host, refuses, status, body):
    seen = []

    async def app(scope, receive, send):
        await receive()
        await refuses(receive, send)
        if body is not None:
            seen.append(await receive())

    with pytest.raises(InvalidStatus) as refused:
        host(app)()
    assert refused.value.response.status_code == status
    assert body is None or refused.value.response.body == body
    if body is not None:
        wait_until(lambda: seen)
        assert seen[0]["type"] == "websocket.disconnect"


def test_send_raises_after_the_end(host):
    seen: list[object] = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        seen.append((await receive())["code"])
        for _ in range(2):
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError:
                seen.append("OSError")

    client = host(app)()
    # A thread of the client reads from this socket, so that `close` alone tells the server nothing.
    client.socket.shutdown(socket.SHUT_RDWR)
    client.socket.close()
    wait_until(lambda: len(seen) == 3)
    assert seen == [1006, "OSError", "OSError"]


def test_send_waits_for_a_slow_client(host):
    sent = [0]

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(100):
            await send({"type": "websocket.send", "bytes": b"x" * 200_000})
            sent[0] += 1
            await asyncio.sleep(0)
        await receive()

    with host(app)(max_queue=1) as client:
        wait_until(lambda: sent[0] > 2)
        assert sent[0] < 100
        for _ in range(100):
            assert len(client.recv()) == 200_000
    assert sent[0] == 100


def test_a_misplaced_event_ends_its_connection_alone(host, records: Records):
    async def app(scope, receive, send):
        await receive()
        if scope["path"] == "/early":
            await send({"type": "websocket.send", "text": "early"})
        await send({"type": "websocket.accept"})
        if scope["path"] == "/twice":
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "fine"})
        await receive()

    begin = host(app)
    with pytest.raises(InvalidStatus):
        begin("/early")
    with begin("/twice") as client, pytest.raises(ConnectionClosed) as closed:
        client.recv()
    assert closed.value.rcvd.code == 1011
    with begin("/") as client:
        assert client.recv() == "fine"
    records.wait_for("websocket.send is misplaced")
