"""A server whose handlers fork while the content of their request is still coming in: `forking_uploads_app.py`.

A handler takes the first piece, and its child the rest in one of several ways; `/told` answers when the child has told how that went.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading

from outside import OutsideHTTP, json_response

context = multiprocessing.get_context("fork")
server = OutsideHTTP(("127.0.0.1", 0))
# Content of any size comes in while a WSGI application runs.
server.config.update({"access_log": "off", "spool_above_mb": 0, "termination_timeout": 5})
has_told = threading.Event()


async def collected(request):
    return b"".join([piece async for piece in request.iter_body()])


WAYS = {
    "pieces": lambda request: b"".join(request.iter_body()),
    "content": lambda request: request.content,
    "text": lambda request: request.text,
    "json": lambda request: request.json(),
    "loop": lambda request: asyncio.run(collected(request)),
}


def in_child(take):
    """What a child says about what it has taken."""
    told, tells = context.Pipe(duplex=False)

    def tell():
        try:
            tells.send(f"it has {take()!r}")
        except Exception as error:
            tells.send(f"{type(error).__name__}: {error}")

    child = context.Process(target=tell)
    child.start()
    result = told.recv()
    child.join()
    has_told.set()
    return result


@server.post("/plain/<way>", streaming=True)
def plain(request, way):
    pieces = request.iter_body()
    first = next(pieces)
    report = in_child(lambda: WAYS[way](request))
    return json_response([report, (first + b"".join(pieces)).decode()])


@server.post("/async/<way>", streaming=True)
async def later(request, way):
    pieces = request.iter_body()
    first = await anext(pieces)
    report = in_child(lambda: WAYS[way](request))
    return json_response([report, (first + b"".join([piece async for piece in pieces])).decode()])


def wsgi(environ, start_response):
    content = environ["wsgi.input"]
    first = content.read(3)
    report = in_child(lambda: content.read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [report.encode() + b"|" + first + content.read()]


@server.get("/told", blocking=True)
def told():
    answer = str(has_told.wait(30))
    has_told.clear()
    return answer


server.mount("/wsgi", wsgi)
server.run()
