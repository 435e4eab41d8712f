"""The application that `soak/test_attacks.py` attacks: each route is what one attack asks for.

`python tests/programs/attacked_app.py '{"max_workers": 2}' 1024` serves it with these settings, and may open so many descriptors.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

from outside import OutsideHTTP, Request, Response, WebSocket, event_stream

MIB = 1 << 20
TEXT = json.dumps([{"number": number, "name": f"item {number * 7919 % 10007}"} for number in range(28_000)])
LARGE = 10_000_000
LARGE_TEXT = json.dumps([f"{number * 0x9E3779B97F4A7C15 % 2**64:x}" for number in range(LARGE // 20)]).ljust(LARGE)
server = OutsideHTTP(("127.0.0.1", 0))
sizes = itertools.cycle(range(MIB // 2, MIB, 37_021))


def hello(request: Request) -> str:
    return "hello"


async def asynchronous(request: Request) -> bytes:
    return b"x" * MIB


@server.get("/item/<number>")
def parameter(number: str) -> bytes:
    return b"x" * MIB


def content(request: Request) -> bytes:
    return b"x" * (MIB + len(request.content))


def varying(request: Request) -> bytes:
    return b"x" * next(sizes)


def text(request: Request) -> Response:
    return Response(200, {"Content-Type": "application/json"}, TEXT)


def large_text(request: Request) -> Response:
    return Response(200, {"Content-Type": "application/json"}, LARGE_TEXT)


def upload(request: Request) -> str:
    return str(sum(len(piece) for piece in request.iter_body()))


def length(request: Request) -> str:
    return str(len(request.content))


def silent(request: Request) -> Response:
    """A stream that begins, and then has nothing to say for 5 s."""

    def pieces() -> Iterator[bytes]:
        yield b"begin"
        threading.Event().wait(5)
        yield b"end"

    return Response(200, {}, pieces())


def large(request: Request) -> bytes:
    return b"x" * LARGE


def plain_pieces(request: Request) -> Response:
    return Response(200, {}, (b"x" * 50_000 for _ in range(MIB // 50_000)))


async def pieces_of(length: int) -> AsyncIterator[bytes]:
    for _ in range(length // 50_000):
        await asyncio.sleep(0)
        yield b"x" * 50_000


async def large_pieces(request: Request) -> Response:
    return Response(200, {}, pieces_of(LARGE))


async def async_pieces(request: Request) -> Response:
    return Response(200, {}, pieces_of(MIB))


def wsgi_pieces(environ: dict, start_response: Callable) -> Iterator[bytes]:
    """A mebibyte in pieces of the size that the path names."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    size = int(environ["PATH_INFO"].strip("/"))
    return (b"x" * size for _ in range(MIB // size))


async def asgi_pieces(scope: dict, receive: Callable, send: Callable) -> None:
    """The same; below `/asgi_large` it is as long as the large answer."""
    if scope["type"] != "http":
        return
    whole = LARGE if "large" in scope["path"] else MIB
    await send({"type": "http.response.start", "status": 200, "headers": []})
    size = int(scope["path"].rpartition("/")[2])
    for _ in range(whole // size):
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
    await send({"type": "http.response.body"})


def events(request: Request) -> Response:
    return event_stream(topic="news")


def news(request: Request) -> None:
    server.publish("news", "x" * 100_000)


def lock(request: Request) -> str:
    try:
        with server.shared.lock("the only one", 5, wait=1):
            server.publish_and_wait("news", "x")
            time.sleep(0.1)
    except TimeoutError:
        return "it was not free"
    return "it was free"


echo = WebSocket(when_full="wait")
room = WebSocket(when_full="drop_oldest")
topics = WebSocket()


@echo.on_message
def answer(connection, message):
    connection.send(message.text)


@room.on_open
def join(connection):
    connection.subscribe("room")


@room.on_message
def say(connection, message):
    server.publish("room", message.text)


@topics.on_message
def subscribe(connection, message):
    connection.subscribe(message.text)


ROUTES = {
    "/": hello,
    "/async": asynchronous,
    "/content": content,
    "/varying": varying,
    "/text": text,
    "/length": length,
    "/silent": silent,
    "/large": large,
    "/large_pieces": large_pieces,
    "/async_pieces": async_pieces,
    "/large_text": large_text,
    "/plain_pieces": plain_pieces,
    "/events": events,
    "/news": news,
    "/echo": echo,
    "/room": room,
    "/topics": topics,
}

if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
    server.config.update({"access_log": "off", "termination_timeout": 1, **json.loads(sys.argv[1])})
    for route, handler in ROUTES.items():
        server.set_route(route, handler)
    server.set_route("/upload", upload, streaming=True)
    server.set_route("/lock", lock, blocking=True)
    server.mount("/wsgi", wsgi_pieces)
    server.mount("/asgi", asgi_pieces)
    server.mount("/asgi_large", asgi_pieces)
    server.run()
