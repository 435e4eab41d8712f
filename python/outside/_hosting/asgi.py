"""ASGI 3 applications as handlers: `asgi(app)`, the exception of a client that has left, and the task of each call."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextvars import Context
from typing import Any

from .. import _outside
from .._log import LOGGED
from .find import described, unwrapped


class ClientDisconnected(OSError):
    """Raised by `send` once the client has left."""

    def __init__(self) -> None:
        super().__init__("the client has left")


def asgi(app: Callable[..., Any], *, root_path: str = "", lifespan: str = "auto") -> _outside.ASGIApplication:
    """A handler that calls this ASGI 3 application: `server.set_route("/", asgi(app))`.

    `root_path` is the path below which clients see it, if that is not the one of its route. `lifespan` says whether it has
    one: `"on"`, `"off"`, or `"auto"`: an application that raises an exception instead goes on without.
    """
    if lifespan not in ("auto", "on", "off"):
        raise ValueError(f"lifespan is 'auto', 'on' or 'off', not {lifespan!r}")
    if not callable(app):
        raise TypeError(f"an ASGI application is called as app(scope, receive, send), not {described(app)}")
    made = _outside.ASGIApplication(unwrapped(app), root_path.rstrip("/"))
    made.__dict__["_lifespan"] = lifespan
    return made


def is_disconnect(error: BaseException | None) -> bool:
    """Whether an exception says that the client has left: frameworks raise others because of it."""
    for _ in range(_DEEPEST):
        if error is None or isinstance(error, ClientDisconnected):
            break
        if isinstance(inner := getattr(error, "exceptions", None), tuple):
            return all(is_disconnect(each) for each in inner)
        error = error.__cause__ or error.__context__
    return isinstance(error, ClientDisconnected)


# Exceptions behind one another that are looked at.
_DEEPEST = 10


async def send_file(send: Any, descriptor: int, offset: int | None, count: int | None, more: bool) -> None:
    """Sends a part of an open file piece by piece, where other content comes before or behind it."""
    moves = offset is None
    at = os.lseek(descriptor, 0, os.SEEK_CUR) if offset is None else offset
    end = None if count is None else at + count
    while end is None or at < end:
        piece = await asyncio.to_thread(os.pread, descriptor, _PIECE if end is None else min(_PIECE, end - at), at)
        if not piece:
            break
        at += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if moves:
        os.lseek(descriptor, at, os.SEEK_SET)
    await send({"type": "http.response.body", "body": b"", "more_body": more})


# Bytes that are read at a time.
_PIECE = 256 << 10


async def _wait(awaitable: Any) -> None:
    await awaitable


def task(app: Any, scope: dict[str, Any], receive: Any, send: Any, context: Context | None, logged: Any) -> asyncio.Task[None]:
    """The task of one call, in a copy of this context; its first step has been taken where Python can. `logged` has the ids of its
    request, for the log."""
    called = app(scope, receive, send)
    if not asyncio.iscoroutine(called):
        called = _wait(called)
    context = Context() if context is None else context.copy()
    context.run(LOGGED.set, logged)
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(called, loop=loop, eager_start=True, context=context)
    if sys.version_info >= (3, 11):
        return loop.create_task(called, context=context)
    return context.run(loop.create_task, called)
