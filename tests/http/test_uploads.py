"""Uploads that a handler takes while they come in: `set_route(..., streaming=True)` and `request.iter_body()`.

The handler begins when the head of the request is there. A client that is faster than the handler has to wait, one that
is too slow is refused, and bytes that the handler does not take are not read.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading

import pytest

from outside import ContentError, OutsideHTTP, Response
from support.clients import CURL, curl
from support.gauge import MIB, forget_peak, need_proc, peak_memory, resident_memory
from support.harness import Running, Script, wait_until
from support.subprocesses import run_process
from support.wire import DEADLINE, request_bytes


def digest(request):
    seen = hashlib.sha256()
    for piece in request.iter_body():
        seen.update(piece)
    return seen.hexdigest()


async def digest_async(request):
    seen = hashlib.sha256()
    async for piece in request.iter_body():
        seen.update(piece)
    return seen.hexdigest()


@pytest.fixture
def stream(serve):
    """Starts a server whose only route streams: `stream(handler, key=value, …)`."""

    def start(handler, **config) -> Running:
        running = serve(None, **config)
        running.server.set_route("/", handler, streaming=True)
        return running

    return start


KINDS = pytest.mark.parametrize("handler", [digest, digest_async], ids=["def", "async def"])


@KINDS
@pytest.mark.parametrize("size", [0, 1, 100_000, 5 * MIB])
def test_all_of_it_arrives_in_order(stream, handler, size):
    content = os.urandom(size)
    running = stream(handler)
    assert running.fetch("/", "POST", {}, content).text == hashlib.sha256(content).hexdigest()


@KINDS
def test_chunks_are_taken_apart(stream, handler):
    with stream(handler).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wire.send(b"10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n")
        assert wire.receive_answer().text == hashlib.sha256(b"abc" + b"x" * 16).hexdigest()
        # And the connection goes on.
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\ny")
        assert wire.receive_answer().text == hashlib.sha256(b"y").hexdigest()


def test_the_handler_begins_with_the_head(stream):
    begun = threading.Event()

    def handler(request):
        begun.set()
        assert request.headers["X-Name"] == "a.txt"
        return b"".join(request.iter_body())

    with stream(handler).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Name: a.txt\r\nContent-Length: 6\r\n\r\n")
        assert begun.wait(DEADLINE)
        wire.send(b"abc")
        wire.send(b"def")
        assert wire.receive_answer().body == b"abcdef"


def test_each_piece_is_there_at_once(stream):
    """A client that waits until the handler has seen its bytes before it sends more."""
    taken = threading.Semaphore(0)

    def handler(request):
        for _ in request.iter_body():
            taken.release()

    with stream(handler).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        for letter in b"abcde":
            wire.send(bytes([letter]))
            assert taken.acquire(timeout=DEADLINE)
        assert wire.receive_answer().status == 204


def test_a_client_that_is_too_fast_waits(stream):
    go = threading.Event()

    def handler(request):
        go.wait(DEADLINE)
        return str(sum(map(len, request.iter_body())))

    with stream(handler, max_body_size_mb=200).wire() as wire:
        size = 100 * MIB
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        wire.socket.setblocking(False)
        sent, quiet = 0, 0
        piece = memoryview(bytes(MIB))
        while quiet < 20:  # until nothing has moved for a while
            try:
                sent += wire.socket.send(piece)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                threading.Event().wait(0.01)
        assert sent < 32 * MIB, "the buffers of two sockets and a quarter of a MiB"
        go.set()
        wire.socket.settimeout(DEADLINE)
        while sent < size:
            sent += wire.socket.send(piece[: size - sent])
        assert wire.receive_answer().text == str(size)


def test_an_answer_may_come_before_the_content(stream):
    """Content that is not taken is not read; the connection ends with the answer (docs/security.md S7)."""

    async def refuse(request):
        return Response(403, {}, "not you")

    def refuse_too(request):
        return Response(403, {}, "not you")

    for handler in (refuse, refuse_too):
        with stream(handler, max_body_size_mb=100).wire() as wire:
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 1000)
            answer = wire.receive_answer()
            assert (answer.status, answer.header("Connection")) == (403, "close")


def test_content_is_taken_while_the_handler_runs(stream, records):
    """An answer that goes on reading the request gets the bytes that have come in, and then an error."""

    def echo(request):
        return Response(content=request.iter_body())

    with stream(echo).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert wire.receive_answer().body == b"abc"
    with stream(echo, max_body_size_mb=100).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\nabc")
        assert b"\r\n0\r\n\r\n" not in wire.receive_rest()
    records.wait_for("the request has its answer")


def test_the_client_is_encouraged_when_the_handler_asks(stream):
    """RFC 9110 section 10.1.1: a client may wait for 100 before it sends its content."""
    ask = threading.Event()

    def handler(request):
        ask.wait(DEADLINE)
        return b"".join(request.iter_body())

    with stream(handler).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        ask.set()
        assert wire.receive_answer(interim=True).status == 100
        assert wire.send(b"ok").receive_answer().text == "ok"


def test_a_client_that_is_refused_is_not_encouraged(stream):
    with stream(lambda request: (403, None)).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert wire.receive_answer(interim=True).status == 403


# --- clients that stop


def test_a_client_that_leaves_ends_the_handler(stream, records):
    begun, ended = threading.Event(), []

    def plain(request):
        begun.set()
        try:
            return digest(request)
        except ContentError as error:
            ended.append(error.code)
            raise

    async def asynchronous(request):
        begun.set()
        try:
            return await digest_async(request)
        except (asyncio.CancelledError, ContentError):  # whichever of the two it notices first
            ended.append(400)
            raise

    for handler in (plain, asynchronous):
        begun.clear()
        with stream(handler).wire() as wire:
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
            assert begun.wait(DEADLINE)
        wait_until(lambda: ended, "the end of the handler")
        assert ended.pop() == 400
    assert not any("Traceback" in text for text in records.texts())


@pytest.mark.timed
@KINDS
def test_a_client_that_stalls_gets_408(stream, records, handler):
    with stream(handler, body_stall_timeout=0.3).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        assert wire.receive_answer().status == 408
        assert wire.receive_rest() == b""
    records.wait_for("body_stall_timeout")


@KINDS
def test_too_much_is_a_413(stream, records, handler):
    running = stream(handler, max_body_size_mb=1)
    with running.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
        assert wire.receive_answer().status == 413
    with running.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send_if_possible(b"80000\r\n" + bytes(0x80000) + b"\r\n" + b"80001\r\n" + bytes(0x80001))
        assert wire.receive_answer().status == 413
    records.wait_for("max_body_size_mb")


@KINDS
def test_malformed_chunks_are_a_400(stream, handler):
    with stream(handler).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n")
        assert wire.receive_answer().status == 400


@pytest.mark.timed
def test_a_handler_that_takes_nothing_is_late(stream):
    never = threading.Event()

    def handler(request):
        never.wait(DEADLINE)

    try:
        with stream(handler, process_timeout=0.3).wire() as wire:
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
            wire.send_if_possible(bytes(2_000_000))
            assert wire.receive_answer().status == 504
    finally:
        never.set()


@pytest.mark.timed
def test_a_long_upload_is_not_late(stream):
    """`process_timeout` counts from the last piece that was taken, not from the beginning."""
    with stream(digest, process_timeout=0.5).wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            threading.Event().wait(0.12)
            wire.send(b"x")
        assert wire.receive_answer().text == hashlib.sha256(b"x" * 10).hexdigest()


# --- the same names elsewhere


def test_other_ways_to_the_content(stream):
    """`content`, `text`, `json()` and `form` wait for all of it."""

    def handler(request):
        kind = request.headers["X-Kind"]
        value = request.json() if kind == "json" else getattr(request, kind)
        return repr(value)

    running = stream(handler)
    for kind, content, wanted in [
        ("content", b"abc", "b'abc'"),
        ("text", "ü".encode(), "'ü'"),
        ("json", b'{"a": 1}', "{'a': 1}"),
        ("form", b"a=1", "{'a': '1'}"),
    ]:
        headers = {"X-Kind": kind, "Content-Type": "application/x-www-form-urlencoded"}
        assert running.fetch("/", "POST", headers, content).text == wanted


def test_an_async_handler_is_not_blocked_by_mistake(stream, records):
    async def handler(request):
        return b"".join(request.iter_body())

    assert stream(handler).fetch("/", "POST", {}, b"abc").status == 500
    records.wait_for("async for piece in request.iter_body()")


@pytest.mark.parametrize("piece", [16 * MIB, 50_001], ids=["at once", "in pieces"])
@pytest.mark.parametrize("size", [16_384, 65_536, 65_537, 1_000_000, MIB + 1, 3 * MIB])
def test_content_ends_where_it_says(serve, size, piece):
    """The bytes behind the content are the next request, whether content waits in memory or in a file."""
    content = os.urandom(size)
    sent = request_bytes("/", "POST", (), content) + request_bytes("/", "POST", (), b"next")
    with serve(digest).wire() as wire:
        for start in range(0, len(sent), piece):
            wire.send(sent[start : start + piece])
        for expected in (content, b"next"):
            assert wire.receive_answer().text == hashlib.sha256(expected).hexdigest()


@KINDS
def test_on_a_route_that_does_not_stream_the_pieces_are_there(serve, handler):
    for size in (0, 10, 3 * MIB):
        content = os.urandom(size)
        assert serve(handler).fetch("/", "POST", {}, content).text == hashlib.sha256(content).hexdigest()


def test_decorated_routes_stream_too(serve):
    running = serve()

    @running.server.put("/files/{name}", streaming=True)
    def save(request, name):
        return f"{name} {digest(request)}"

    @running.server.post("/count", streaming=True)
    async def count(request):
        return await digest_async(request)

    wanted = hashlib.sha256(b"abc").hexdigest()
    assert running.fetch("/files/a.txt", "PUT", {}, b"abc").text == f"a.txt {wanted}"
    assert running.fetch("/count", "POST", {}, b"abc").text == wanted
    assert running.fetch("/count", "PUT", {}, b"abc").status == 405


def test_only_functions_stream():
    from outside import FilePath

    server = OutsideHTTP(("127.0.0.1", 0))
    with pytest.raises(ValueError, match="streaming=True is for functions"):
        server.set_route("/", FilePath(__file__), streaming=True)
    with pytest.raises(ValueError, match="blocking=False"):
        server.set_route("/", digest, blocking=False, streaming=True)


# --- over HTTP/2, where the window takes the place of the socket's buffers

WITH_HTTP2 = CURL is not None and "HTTP2" in run_process([CURL, "--version"], capture_output=True, text=True).stdout
over_http2 = pytest.mark.skipif(not WITH_HTTP2, reason="needs curl with HTTP/2")


@over_http2
@KINDS
def test_all_of_it_arrives_over_http2(stream, handler):
    content = os.urandom(20 * MIB)
    running = stream(handler, h2c=True, max_body_size_mb=32)
    out = curl(running.address, "/", "--http2-prior-knowledge", "--data-binary", "@-", stdin=content)
    assert out.decode() == hashlib.sha256(content).hexdigest()


PROGRAM = """
import sys
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", max_body_size_mb=2000)

def save(request):
    with open(sys.argv[1], "wb") as file:
        for piece in request.iter_body():
            file.write(piece)
    return str(file.name)

async def count(request):
    total = 0
    async for piece in request.iter_body():
        total += len(piece)
    return str(total)

server.set_route("/save", save, streaming=True)
server.set_route("/count", count, streaming=True)
server.run()
"""


@pytest.mark.parametrize("route", ["/save", "/count"])
def test_memory_is_flat(tmp_path, route):
    need_proc()
    script = Script("-c", PROGRAM, str(tmp_path / "saved"))
    size = 256 * MIB
    try:
        from support.wire import Wire

        before = resident_memory(script.process.pid)
        forget_peak(script.process.pid)
        with Wire(script.address, 4 * DEADLINE) as wire:
            wire.send(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (route.encode(), size))
            for _ in range(size // MIB):
                wire.send(bytes(MIB))
            assert wire.receive_answer().status == 200
        assert peak_memory(script.process.pid) - before < 16 * MIB
        if route == "/save":
            assert (tmp_path / "saved").stat().st_size == size
    finally:
        script.stop()
