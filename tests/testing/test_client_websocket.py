"""WebSockets of a test client: messages, openings, refusals, limits."""

from __future__ import annotations

import socket
from email.message import Message
from http.client import HTTPResponse

import pytest

from outside import WebSocket, WebSocketExit
from outside.testing import TestClient, TestResponse, TestWebSocket, WebSocketRefused
from support.request_echo import make_server


class TestWebSockets:
    @pytest.fixture
    def client(self):
        server = make_server()
        echo, talk = WebSocket(subprotocols=["v2", "v1"], max_message=1 << 20), WebSocket()

        @echo.on_connection
        def repeat(connection):
            for message in connection:
                connection.send(message)

        @talk.on_connection
        async def answer(connection):
            await connection.send(f"hello {connection.request.cookies.get('name')} {connection.request.params.get('x')}")
            await connection.ping()
            await connection.recv()
            await connection.exit(4001, "enough")

        server.set_route("/echo", echo)
        server.set_route("/talk", talk)
        with server.test_client() as client:
            yield client

    def test_messages_keep_their_kind(self, client: TestClient):
        with client.websocket("/echo") as ws:
            for message in ("", "hello ü", b"", b"\0\xff", "x" * 200, b"x" * 70_000, "y" * 1_000_000):
                ws.send(message)
                assert ws.recv() == message
            ws.send_json({"a": 1})
            assert ws.recv_json() == {"a": 1}
        assert ws.close_code == 1000

    def test_the_opening_is_a_request_of_the_client(self, client: TestClient):
        client.cookies["name"] = "ann"
        with client.websocket("/talk", params={"x": "1"}) as ws:
            assert ws.recv() == "hello ann 1"
            ws.send("bye")
            with pytest.raises(WebSocketExit, match="4001: enough"):
                ws.recv()
            assert (ws.close_code, ws.close_reason) == (4001, "enough")
            with pytest.raises(WebSocketExit):
                ws.send("still there?")
            assert list(ws) == []

    def test_subprotocols(self, client: TestClient):
        with client.websocket("/echo", subprotocols=["v1", "v2"]) as ws:
            assert ws.subprotocol == "v2"

    def test_refused_openings(self, client: TestClient):
        for path, headers, code in [("/tell", {}, 200), ("/none", {}, 404), ("/echo", {"Origin": "http://evil"}, 403)]:
            with pytest.raises(WebSocketRefused, match=str(code)) as refused:
                client.websocket(path, headers=headers)
            assert refused.value.response.status_code == code

    def test_limits_are_those_of_the_server(self, client: TestClient):
        with client.websocket("/echo") as ws:
            ws.send(b"x" * (2 << 20))
            with pytest.raises(WebSocketExit, match="1009"):
                ws.recv()

    def test_beside_requests(self, client: TestClient):
        with client.websocket("/echo") as one, client.websocket("/echo") as other:
            one.send("1")
            other.send("2")
            assert client.get("/tell").status_code == 200
            assert (one.recv(), other.recv()) == ("1", "2")

    def test_how_long_it_waits(self, client: TestClient):
        with client.websocket("/echo") as ws:
            for timeout in (0, 0.01):
                with pytest.raises(TimeoutError, match="no message came in time"):
                    ws.recv(timeout=timeout)
            with pytest.raises(TimeoutError):
                ws.recv_json(timeout=0)
            ws.send_json([1])
            assert ws.recv_json(timeout=10) == [1]
            ws.send("after it")
            assert ws.recv(10) == "after it"
            for wrong in (-1, float("nan")):
                with pytest.raises(ValueError, match="from 0 on"):
                    ws.recv(timeout=wrong)

    def test_messages_that_have_come_by_then_are_not_lost(self):
        """A message in pieces, of a server made by hand: waiting goes on where it has stopped."""
        near, far = socket.socketpair()
        near.settimeout(10)
        answer = HTTPResponse(near)
        answer.status, answer.reason, answer.version, answer.msg = 101, "Switching Protocols", 11, Message()
        answer.headers = answer.msg
        ws = TestWebSocket(near, b"\x01\x03on", TestResponse(answer, "GET", "/", lambda: None))
        for piece in (b"e", b"\x80", b"\x04 tw"):
            with pytest.raises(TimeoutError):
                ws.recv(timeout=0)
            far.sendall(piece)
        far.sendall(b"o")
        assert ws.recv() == "one two"
        far.close()
        with pytest.raises(WebSocketExit, match="1006"):
            ws.recv(timeout=10)
