"""The client's end of a WebSocket for tests (RFC 6455): whole messages, pings answered, the closing handshake."""

from __future__ import annotations

import base64
import json
import os
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPResponse
from socket import socket
from typing import Any

from .._handlers.websocket import WebSocketExit
from .response import TestResponse

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


class WebSocketRefused(Exception):
    """The server has answered an opening with something else than 101; `response` has it."""

    def __init__(self, response: TestResponse) -> None:
        super().__init__(f"{response.status_code} {response.reason}: {response.text.strip()}")
        self.response = response


class TestWebSocket:
    """A WebSocket as its client has it. Closed at the end of a `with` block."""

    __test__ = False  # for pytest, which looks at names

    def __init__(self, connection: socket, received: bytes, response: TestResponse) -> None:
        self._socket = connection
        self._timeout = connection.gettimeout()
        # What has come and was not taken yet: bytes, and the beginning of a message. They stay when nothing more comes in time.
        self._received = bytearray(received)
        self._message = b""
        self._kind = 0
        self._ended: WebSocketExit | None = None
        self.response = response
        self.subprotocol: str | None = response.headers.get("Sec-WebSocket-Protocol")
        self.close_code: int | None = None
        self.close_reason: str | None = None

    def send(self, data: str | bytes) -> None:
        """Sends `str` as text and `bytes` as binary. `WebSocketExit` if the connection has ended."""
        if self._ended is not None:
            raise self._ended
        opcode, payload = (_TEXT, data.encode()) if isinstance(data, str) else (_BINARY, bytes(data))
        try:
            self._send_frame(opcode, payload)
        except OSError:
            raise self._end(1006, "") from None

    def recv(self, timeout: float | None = None) -> str | bytes:
        """The next message: `str` if it is text, `bytes` if not. `WebSocketExit` at the end, `TimeoutError` if none comes within
        `timeout` seconds, or else those of the client; the next call goes on waiting for it."""
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is a number of seconds from 0 on, or None, not {timeout!r}")
        if self._ended is not None:
            raise self._ended
        seconds = self._timeout if timeout is None else timeout
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            while (frame := self._next_frame()) is None:
                self._receive(deadline)
            final, opcode, payload = frame
            if opcode == _PING:
                self._send_frame(_PONG, payload)
            elif opcode == _CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                try:
                    self._send_frame(_CLOSE, payload[:2])
                except OSError:
                    pass  # it does not wait for it
                raise self._end(code, payload[2:].decode())
            elif opcode != _PONG:
                self._kind, self._message = self._kind or opcode, self._message + payload
                if final:
                    kind, message = self._kind, self._message
                    self._kind, self._message = 0, b""
                    return message.decode() if kind == _TEXT else message

    def send_json(self, value: Any) -> None:
        """Sends a value as JSON in a text message."""
        self.send(json.dumps(value, ensure_ascii=False))

    def recv_json(self, timeout: float | None = None) -> Any:
        """The next message as JSON; `ValueError` if it is none."""
        return json.loads(self.recv(timeout))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """The closing handshake; what comes before its end is dropped."""
        try:
            if self._ended is None:
                self._send_frame(_CLOSE, struct.pack("!H", code) + reason.encode())
                while True:
                    self.recv()
        except (WebSocketExit, OSError):
            pass
        self._end(1006, "")

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages until the end."""
        while True:
            try:
                yield self.recv()
            except WebSocketExit:
                return

    def __enter__(self) -> TestWebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, code: int, reason: str) -> WebSocketExit:
        if self._ended is None:
            self.close_code, self.close_reason = code, reason
            self._ended = WebSocketExit(code, reason)
            self._socket.close()
        return self._ended

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        size, mask = len(payload), os.urandom(4)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        # Every octet with its own of the mask (section 5.3), as two large numbers.
        repeated = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        masked = (int.from_bytes(payload, "big") ^ repeated).to_bytes(size, "big")
        self._socket.sendall(head + mask + masked)

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        """Takes a whole frame (section 5.2) out of what was received; `None` if there is none yet."""
        received = self._received
        if len(received) < 2:
            return None
        size, start = received[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(received) < start:
                return None
            size = int.from_bytes(received[2:start], "big")
        if len(received) < start + size:
            return None
        first, payload = received[0], bytes(received[start : start + size])
        del received[: start + size]
        return bool(first & 0x80), first & 0x0F, payload

    def _receive(self, deadline: float | None) -> None:
        try:
            self._socket.settimeout(None if deadline is None else max(0.0, deadline - time.monotonic()))
            try:
                piece = self._socket.recv(65536)
            finally:
                self._socket.settimeout(self._timeout)
        except (TimeoutError, BlockingIOError):
            raise TimeoutError("no message came in time") from None
        except OSError:
            raise self._end(1006, "") from None
        if not piece:
            raise self._end(1006, "")
        self._received += piece


def open_websocket(connection: socket, target: str, fields: Mapping[str, str], subprotocols: Iterable[str]) -> TestWebSocket:
    """The opening handshake (section 4.1) on a connection that is there."""
    key = base64.b64encode(os.urandom(16)).decode()
    wanted = {
        **fields,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        **({"Sec-WebSocket-Protocol": ", ".join(subprotocols)} if subprotocols else {}),
    }
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items()), "", ""]
    try:
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = HTTPResponse(connection, method="GET")
        input = answer.fp
        answer.begin()
        response = TestResponse(answer, "GET", target, lambda: None)
        if response.status_code != 101:
            response.content
            raise WebSocketRefused(response)
        # What follows is no content of this answer.
        answer.fp = None  # type: ignore[assignment]
        # A message may have come with the head, and lies in the buffer then; without one the socket has nothing yet.
        timeout = connection.gettimeout()
        connection.settimeout(0)
        received = input.read1(65536) or b""
        input.close()
        connection.settimeout(timeout)
    except BaseException:
        connection.close()
        raise
    return TestWebSocket(connection, received, response)
