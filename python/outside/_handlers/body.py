"""The content of a request piece by piece, for plain and for `async def` handlers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from . import loop as _loop

if TYPE_CHECKING:
    from .._outside import _Body


class BodyPieces:
    """The pieces of `Request.iter_body()`: iterated once, by `for` in a plain handler, by `async for` in an `async def` one.

    On a route that streams each piece is handed on as it comes in. `ContentError`: the rest will not come.
    """

    def __init__(self, body: "_Body") -> None:
        self._body = body
        self._waiter: asyncio.Future[None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._body.is_streamed:
            refuse_to_block("async for piece in request.iter_body()")
        piece = self._body.next()
        if piece is None:
            raise StopIteration
        return piece

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        if loop is _loop.current:
            piece = await self._next(loop)
        else:
            # Another loop, which the engine cannot wake.
            piece = await asyncio.to_thread(self._body.next)
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _next(self, loop: asyncio.AbstractEventLoop) -> bytes | None:
        ticket = self._body.ticket()
        while (piece := self._body.poll(ticket)) is False:
            self._waiter = loop.create_future()
            _loop.waiting[ticket] = self
            try:
                await self._waiter
            finally:
                del _loop.waiting[ticket]
        return piece or None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def refuse_to_block(instead: str) -> None:
    """An `async def` handler may not wait for its client on the thread that serves all of them."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(f"this would block every async handler until the client has sent more; write: {instead}")
