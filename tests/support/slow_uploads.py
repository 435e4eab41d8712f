"""Clients that send almost all of an upload and then nothing, over each version of HTTP and over TLS."""

from __future__ import annotations

import socket

import pytest

from support.certificates import SecureWire
from support.wire import DEADLINE, Wire, request_bytes

MIB = 1 << 20
CONTENT = b"x" * (MIB - 1000)
KINDS = ["length", "chunked", "HTTP/2", "TLS"]


class SlowUpload:
    """Almost all of an upload, and then nothing, over HTTP/1.1."""

    def __init__(self, wire: Wire, *, chunked: bool = False) -> None:
        self.wire = wire
        if chunked:
            wire.send(request_bytes("/", "POST", {"Transfer-Encoding": "chunked"}))
            wire.send(b"%x\r\n%s\r\n" % (len(CONTENT) - 50_000, CONTENT[:-50_000]))
        else:
            wire.send(request_bytes("/", "POST", {"Content-Length": str(len(CONTENT))}) + CONTENT[:-50_000])

    def status(self) -> int:
        answer = self.wire.receive_answer()
        assert answer.header("Retry-After")
        return answer.status

    def close(self) -> None:
        self.wire.close()


class SlowHttp2Upload:
    """The same over HTTP/2."""

    def __init__(self, address: tuple) -> None:
        connection = pytest.importorskip("h2.connection")
        self.events = pytest.importorskip("h2.events")
        self.socket = socket.create_connection(address[:2], timeout=DEADLINE)
        self.h2 = connection.H2Connection()
        self.h2.initiate_connection()
        fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
        self.h2.send_headers(1, [*fields, ("content-length", str(len(CONTENT)))])
        left, self.answers = len(CONTENT) - 50_000, []
        while left:
            room = min(left, self.h2.local_flow_control_window(1), self.h2.max_outbound_frame_size)
            if room:
                self.h2.send_data(1, CONTENT[:room])
                left -= room
            self.socket.sendall(self.h2.data_to_send())
            if not room:
                self.receive()

    def receive(self) -> None:
        data = self.socket.recv(65536)
        assert data, "the server hung up"
        for event in self.h2.receive_data(data):
            if isinstance(event, self.events.ResponseReceived):
                self.answers.append(dict(event.headers))
        self.socket.sendall(self.h2.data_to_send())

    def status(self) -> int:
        while not self.answers:
            self.receive()
        assert self.answers[0][b"retry-after"]
        return int(self.answers[0][b":status"])

    def close(self) -> None:
        self.socket.close()


def slow_upload(kind: str, running, client) -> SlowUpload | SlowHttp2Upload:
    if kind == "HTTP/2":
        return SlowHttp2Upload(running.address)
    if kind == "TLS":
        return SlowUpload(SecureWire(running.address, client))
    return SlowUpload(running.wire(), chunked=kind == "chunked")
