"""The application behind the tests of load: it makes and takes as much as it is asked to.

`python tests/programs/greedy_app.py '{"max_workers": 2}' 64` serves it with these settings, and may open 64 descriptors. The
second argument may be left out.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from outside import FilePath, Folder, OutsideHTTP, Request, Response, event_stream

PIECE = b"x" * 65536


def hello(request: Request) -> str:
    return "hello"


def bytes_at_once(request: Request) -> bytes:
    """`/bytes?n=…`: so many bytes, all in memory."""
    return b"x" * int(request.params["n"])


def pieces(request: Request) -> Response:
    """`/pieces?n=…`: so many bytes, 64 KiB at a time."""
    count = int(request.params["n"]) // len(PIECE)
    return Response(200, {}, (PIECE for _ in range(count)))


def file(request: Request) -> FilePath:
    """`/file?path=…`: that file."""
    return Response(200, {}, FilePath(request.params["path"]))


def ignore(request: Request) -> str:
    """Answers without a look at the content."""
    return "ignored"


def count(request: Request) -> str:
    """How long the content is."""
    return str(len(request.content))


def save(request: Request) -> str:
    """Writes the content to a disk while it comes in."""
    with tempfile.TemporaryFile() as file:
        for piece in request.iter_body():
            file.write(piece)
        return str(file.tell())


async def take(request: Request) -> str:
    """How long the content is, without holding it."""
    length = 0
    async for piece in request.iter_body():
        length += len(piece)
    return str(length)


async def async_pieces(request: Request) -> Response:
    """The same as `/pieces`, from an async generator."""

    async def made() -> AsyncIterator[bytes]:
        for _ in range(int(request.params["n"]) // len(PIECE)):
            yield PIECE

    return Response(200, {}, made())


readers: set[asyncio.Queue[str]] = set()


async def events(request: Request) -> Response:
    """The texts that are sent to `/tell` from now on."""
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def told() -> AsyncIterator[str]:
        readers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            readers.discard(queue)

    return event_stream(told())


async def tell(request: Request) -> str:
    """How many readers of `/events` there are; a POST tells them something."""
    if request.method == "POST":
        for queue in readers:
            queue.put_nowait(request.text)
    return str(len(readers))


STREAMING = {"/save": save, "/take": take}
ROUTES = {
    "/": hello,
    "/bytes": bytes_at_once,
    "/pieces": pieces,
    "/async_pieces": async_pieces,
    "/file": file,
    "/folder": Folder(Path(__file__).parent),
    "/ignore": ignore,
    "/count": count,
    "/events": events,
    "/tell": tell,
}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update({"access_log": "off", "termination_timeout": 2, **json.loads(sys.argv[1])})
    for route, handler in ROUTES.items():
        server.set_route(route, handler)
    for route, handler in STREAMING.items():
        server.set_route(route, handler, streaming=True)
    server.run()
