"""How long an answer is said to be: HEAD, streams that declare it, and the end of a stream that does not keep it."""

from __future__ import annotations

import pytest

from outside import OutsideHTTP, Response
from support.wire import request_bytes


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("headers", "content", "length"),
    [
        # The length that GET would say, or none (RFC 9110 section 8.6).
        ({"Content-Length": "1234"}, "", "1234"),
        ({"content-length": 1234}, None, "1234"),
        ({}, "", None),
        ({"Content-Length": "many"}, "", None),
        ({"Content-Length": "1234"}, "four", "4"),
        ({"Content-Length": "1234"}, iter(["not", "asked", "for"]), "1234"),
    ],
)
def test_the_length_that_head_is_told(serve, asynchronous, headers, content, length):
    def plain(request):
        return Response(200, headers, content)

    async def awaited(request):
        return Response(200, headers, content)

    with serve(awaited if asynchronous else plain).wire() as wire:
        # The connection is kept: no content follows, for any length.
        for _ in range(2):
            answer = wire.send(request_bytes("/", "HEAD")).receive_answer(head=True)
            assert (answer.status, answer.header("Content-Length")) == (200, length)


def test_a_head_route_says_its_own_length():
    server = OutsideHTTP(("127.0.0.1", 0))

    @server.route("/report", methods=["HEAD"])
    def measured(request):
        return Response(200, {"Content-Length": "31415"})

    with server.test_client() as client:
        assert client.head("/report").headers["Content-Length"] == "31415"


# ----------------------------------------------------------------------------------------------------------------------
# streams with a declared length


def pieces_of(*pieces):
    yield from pieces


async def async_pieces_of(*pieces):
    for piece in pieces:
        yield piece


def asked(version, **options):
    return request_bytes("/", **options).replace(b"HTTP/1.1", version.encode(), 1)


STREAMS = pytest.mark.parametrize("stream", [pieces_of, async_pieces_of])


@STREAMS
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_declared_length_is_kept(serve, stream, version):
    def handler(request):
        return Response(200, {"Content-Length": "8"}, stream(b"four", b"", b"more"))

    keep = {"Connection": "keep-alive"}
    with serve(handler).wire() as wire:
        for _ in range(2):
            answer = wire.send(asked(version, headers=keep)).receive_answer()
            assert (answer.header("Content-Length"), answer.body, answer.chunked) == ("8", b"fourmore", False)


@STREAMS
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize(
    ("pieces", "sent", "said"),
    [
        ([b"four"], b"four", "ends 4 bytes before its Content-Length"),
        ([], b"", "ends 8 bytes before its Content-Length"),
        ([b"four", b"five!"], b"four", "is longer than its Content-Length says"),
        ([b"four", b"more", b"!"], b"fourmore", "is longer than its Content-Length says"),
    ],
)
def test_a_declared_length_that_is_wrong_cuts_the_connection(serve, records, stream, version, pieces, sent, said):
    keep = {"Connection": "keep-alive"}
    running = serve(lambda request: Response(200, {"Content-Length": "8"}, stream(*pieces)))
    with running.wire() as wire:
        wire.send(asked(version, headers=keep) * 2)
        head, _, body = wire.receive_rest().partition(b"\r\n\r\n")
    # The head leaves with the first piece.
    assert not pieces or b"\r\nContent-Length: 8\r\n" in head + b"\r\n"
    assert body == sent
    records.wait_for(said)


@STREAMS
def test_a_length_that_is_none_is_left_out(serve, stream):
    running = serve(lambda request: Response(200, {"Content-Length": "a lot"}, stream(b"four")))
    answer = running.fetch("/")
    assert (answer.header("Content-Length"), answer.chunked, answer.body) == (None, True, b"four")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_to_http_1_0_that_fails_ends_by_a_reset(serve, asynchronous):
    def pieces():
        yield b"begun"
        raise RuntimeError("nothing more")

    async def async_pieces():
        yield b"begun"
        raise RuntimeError("nothing more")

    running = serve(lambda request: Response(200, {}, (async_pieces if asynchronous else pieces)()))
    with running.wire() as wire:
        wire.send(asked("HTTP/1.0"))
        with pytest.raises(ConnectionResetError):
            while wire.socket.recv(1 << 16):
                pass


def test_a_stream_to_http_1_0_that_succeeds_ends_in_order(serve):
    running = serve(lambda request: Response(200, {}, pieces_of(b"all ", b"of it")))
    with running.wire() as wire:
        wire.send(asked("HTTP/1.0"))
        assert wire.receive_rest().endswith(b"\r\n\r\nall of it")
