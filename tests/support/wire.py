"""A client that shows every byte: the bytes that tests send and receive, without a library in between.

`Wire` is one connection; `Answer` one parsed response. `fetch` is for the tests that only want an answer.
Every wait has a deadline, after which the test fails and shows the bytes that had arrived.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

DEADLINE = 30.0
_DATE = re.compile(rb"\r\nDate: [A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT\r\n")
_DATE_LENGTH = len("Sun, 06 Nov 1994 08:49:37 GMT")
MASKED = b"\r\nDate: *\r\n"


@dataclass
class Answer:
    """One response: status, reason, fields in order as received, and the body with its framing removed."""

    status: int
    reason: str
    version: str
    fields: list[tuple[str, str]]
    body: bytes
    chunked: bool = False

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class Incomplete(Exception):
    """The bytes so far are the beginning of a response, no more."""


def parse_answer(data: bytes, *, head: bool = False, ended: bool = False) -> tuple[Answer, bytes]:
    """The first response in `data`, strictly read, and the bytes behind it. `ended`: no more bytes will come."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise Incomplete
    lines = data[:end].split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines), lines
    match = re.fullmatch(rb"(HTTP/1\.[01]) (\d{3}) ([\x20-\x7e\t]*)", lines[0])
    assert match, f"no status line: {lines[0]!r}"
    fields = []
    for line in lines[1:]:
        field = re.fullmatch(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*", line)
        assert field, f"no field line: {line!r}"
        fields.append((field[1].decode(), field[2].decode("latin-1")))
    answer = Answer(int(match[2]), match[3].decode(), match[1].decode(), fields, b"")
    rest = data[end + 4 :]
    length, coding = answer.header("Content-Length"), answer.header("Transfer-Encoding")
    assert not (length and coding), "both Content-Length and Transfer-Encoding"
    if head or answer.status < 200 or answer.status in (204, 304):
        return answer, rest
    if coding:
        assert coding == "chunked", coding
        answer.chunked = True
        answer.body, rest = _dechunk(rest)
    elif length is not None:
        if len(rest) < int(length):
            raise Incomplete
        answer.body, rest = rest[: int(length)], rest[int(length) :]
    elif not ended:
        raise Incomplete
    else:
        answer.body, rest = rest, b""
    return answer, rest


def _dechunk(data: bytes) -> tuple[bytes, bytes]:
    body = bytearray()
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            raise Incomplete
        size = int(line, 16)
        if len(data) < size + 2:
            raise Incomplete
        assert data[size : size + 2] == b"\r\n", data[size : size + 2]
        body += data[:size]
        data = data[size + 2 :]
        if size == 0:
            return bytes(body), data


def parse_all(data: bytes) -> list[Answer]:
    """All responses of a connection that has ended; interim ones (1xx) are left out."""
    answers = []
    while data:
        try:
            answer, data = parse_answer(data, ended=True)
        except Incomplete:
            raise AssertionError(f"the connection ended inside a response: {data[:500]!r}") from None
        if answer.status >= 200:
            answers.append(answer)
    return answers


class Wire:
    """One connection. Works as a context manager. The system takes about `window` bytes that are not read, if it is given."""

    def __init__(self, address: tuple, deadline: float = DEADLINE, window: int | None = None) -> None:
        if window is None:
            self.socket = socket.create_connection(address[:2], timeout=deadline)
        else:
            # Before it connects, or it has announced a larger one.
            self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            self.socket.settimeout(deadline)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            self.socket.connect(address[:2])
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()  # not yet handed out
        self.ended = False

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Wire:
        self.socket.sendall(data)
        return self

    def send_if_possible(self, data: bytes) -> Wire:
        """Sends, unless the server has closed its side already (which the reader will notice)."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def send_end(self) -> Wire:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return self

    def receive_some(self) -> bool:
        """Waits for more bytes; false when the server has ended the connection (a reset ends it as well)."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            raise AssertionError(f"nothing more came; so far: {bytes(self.received[:2000])!r}") from None
        self.received += data
        self.ended = self.ended or not data
        return bool(data)

    def receive_exactly(self, expected: bytes) -> bytes:
        """As many bytes as `expected` stands for (fewer if the connection ends), dates masked."""
        wanted = len(expected) + expected.count(MASKED) * (_DATE_LENGTH - 1)
        while len(self.received) < wanted and self.receive_some():
            pass
        data = bytes(self.received[:wanted])
        del self.received[:wanted]
        return mask(data)

    def receive_answer(self, *, head: bool = False, interim: bool = False) -> Answer:
        """The next response; interim ones are skipped unless asked for."""
        while True:
            try:
                answer, rest = parse_answer(bytes(self.received), head=head, ended=self.ended)
            except Incomplete:
                if not self.ended:
                    self.receive_some()
                    continue
                raise AssertionError(f"ended inside a response: {bytes(self.received[:2000])!r}") from None
            self.received[:] = rest
            if interim or answer.status >= 200:
                return answer

    def receive_rest(self) -> bytes:
        """Everything until the server ends the connection."""
        while self.receive_some():
            pass
        data = bytes(self.received)
        self.received.clear()
        return data

    def receive_end(self) -> None:
        """The server ends the connection and sends nothing before."""
        assert self.receive_rest() == b""


def mask(data: bytes) -> bytes:
    """`data` with the value of each Date replaced by a star."""
    return _DATE.sub(MASKED, data)


def request_bytes(target: str, method: str = "GET", headers: object = (), body: bytes | None = None) -> bytes:
    """A request with Host, and Content-Length if there is a body. `headers` is a dictionary or a list of pairs."""
    fields = list(headers.items()) if isinstance(headers, dict) else list(headers)  # type: ignore[call-overload]
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("Host", "localhost"))
    if body is not None and not any(name.lower() == "content-length" for name, _ in fields):
        fields.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
    return head.encode("latin-1") + b"\r\n" + (body or b"")


def fetch(address: tuple, target: str = "/", method: str = "GET", headers: object = (), body: bytes | None = None) -> Answer:
    """One request on a connection of its own."""
    fields = list(headers.items()) if isinstance(headers, dict) else list(headers)  # type: ignore[call-overload]
    if not any(name.lower() == "connection" for name, _ in fields):
        fields.append(("Connection", "close"))
    with Wire(address) as wire:
        wire.send_if_possible(request_bytes(target, method, fields, body))
        data = wire.receive_rest()
    answer, rest = parse_answer(data, head=method == "HEAD", ended=True)
    while answer.status < 200:
        answer, rest = parse_answer(rest, head=method == "HEAD", ended=True)
    assert rest == b"", f"more than one answer: {rest[:500]!r}"
    return answer
