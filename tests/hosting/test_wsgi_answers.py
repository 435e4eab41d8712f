"""Answers of WSGI applications: status, length, faults, and the end of an iterable."""

from __future__ import annotations

import sys
import threading

import pytest

from outside import wsgi
from support.wire import Wire, request_bytes

TEXT = [("Content-Type", "text/plain")]


def answering(*pieces: bytes, status: str = "200 OK", headers: list = TEXT):
    def app(environ, start_response):
        start_response(status, list(headers))
        return list(pieces)

    return app


@pytest.fixture
def host(serve):
    return lambda app, route="/", **config: serve({route: wsgi(app)}, **config)


@pytest.mark.parametrize("status", ["200 Fine by me", "404 Nope", "299 ", "999 Beyond", "200 caf\xe9"])
def test_a_reason_phrase_is_kept(host, status: str):
    running = host(answering(b"x", status=status))
    with Wire(running.address) as wire:
        line = b"HTTP/1.1 " + status.encode("latin-1") + b"\r\n"
        assert wire.send(request_bytes("/")).receive_exactly(line) == line


@pytest.mark.parametrize(
    ("status", "method", "declared", "length", "body"),
    [
        ("200 OK", "HEAD", "1234", "1234", b""),
        ("200 OK", "HEAD", None, "5", b""),
        ("304 Not Modified", "GET", "1234", "1234", b""),
        ("204 No Content", "GET", "5", None, b""),
        ("200 OK", "GET", "5", "5", b"12345"),
        ("200 OK", "GET", "3", "3", b"123"),
    ],
)
def test_answers_without_content_and_their_length(host, status, method, declared, length, body):
    headers = [*TEXT, *([("Content-Length", declared)] if declared else [])]
    running = host(answering(b"12345", status=status, headers=headers))
    with Wire(running.address) as wire:
        for _ in range(2):  # the next answer on the connection is in step
            answer = wire.send(request_bytes("/", method)).receive_answer(head=method == "HEAD")
            assert (answer.header("content-length"), answer.body) == (length, body)


def _starts_twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"x"]


def _exits(environ, start_response):
    sys.exit(3)


def _exits_in_iteration(environ, start_response):
    start_response("200 OK", TEXT)
    if environ is not None:
        raise SystemExit(3)
    yield b""


BAD = [
    answering(b"ab", headers=[("Content-Length", "5")]),
    answering(b"ab", headers=[("X-A", "a\r\nSet-Cookie: b=c")]),
    answering(b"ab", headers=[("X A", "a")]),
    answering(b"ab", headers=[("Content-Length", "many")]),
    answering(b"ab", status="200 OK\r\nX-A: b"),
    answering(b"ab", status="OK"),
    answering("text"),  # type: ignore[arg-type]
    _starts_twice,
    _exits,
    _exits_in_iteration,
    lambda environ, start_response: [b"never started"],
    lambda environ, start_response: (start_response("200 OK", TEXT), None)[1],
    lambda environ, start_response: (start_response("200 OK", TEXT), b"bytes")[1],
    lambda environ, start_response: start_response("200 OK"),
    lambda environ, start_response: start_response("200 OK", {"a": "b"}) and [],
]


@pytest.mark.parametrize("app", BAD)
def test_a_wrong_application_harms_its_own_answer_alone(serve, records, app):
    running = serve({"/bad": wsgi(app), "/good": wsgi(answering(b"good"))})
    with Wire(running.address) as wire:
        assert wire.send(request_bytes("/bad")).receive_answer().status == 500
        assert wire.send(request_bytes("/good")).receive_answer().body == b"good"


def test_content_beyond_its_length_is_left_out(host):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        yield b"four"
        yield b"too much"
        yield b"more"

    with Wire(host(app).address) as wire:
        for _ in range(2):
            assert wire.send(request_bytes("/")).receive_answer().body == b"fourto"


def test_close_is_called_once_whatever_happens(host, records):
    closed: list[str] = []

    class Pieces:
        def __init__(self, path):
            self.path = path

        def __iter__(self):
            yield b"some"
            if self.path == "/raises":
                raise ValueError
            for _ in range(1000 if self.path == "/left" else 0):
                yield b"x" * 100_000

        def close(self):
            closed.append(self.path)
            done.set()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return Pieces(environ["PATH_INFO"])

    running = host(app)
    for path, method in (("/whole", "GET"), ("/whole", "HEAD"), ("/raises", "GET"), ("/left", "GET")):
        done = threading.Event()
        with Wire(running.address) as wire:
            wire.send(request_bytes(path, method))
            assert wire.receive_some()
        assert done.wait(10), path
    running.stop()
    assert closed == ["/whole", "/whole", "/raises", "/left"]


def test_http_2(serve):
    """The same over HTTP/2: a whole answer, a stream, content that comes in pieces, and no hop-by-hop fields."""
    httpx = pytest.importorskip("httpx")

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/stream":
            start_response("200 Fine", [*TEXT, ("Connection", "close")])
            return (b"x" * 1000 for _ in range(300))
        size = 0
        while piece := environ["wsgi.input"].read(100_000):
            size += len(piece)
        start_response("200 Fine", TEXT)
        return [f"{environ['SERVER_PROTOCOL']} {size}".encode()]

    host, port = serve({"/": wsgi(app)}, h2c=True, spool_above_mb=1).address[:2]
    with httpx.Client(http1=False, http2=True, base_url=f"http://{host}:{port}") as client:
        for size in (0, 10, 3_000_000):
            assert client.post("/", content=b"y" * size).text == f"HTTP/2.0 {size}"
        assert client.get("/stream").content == b"x" * 300_000
        assert client.head("/").content == b""
