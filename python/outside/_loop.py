"""The event loop of `async def` handlers and asynchronous iterators.

Runs in a thread of its own. Work comes from the engine in batches; the first step of each task is taken at once where
Python can (3.12 on), so that a handler that never waits is finished within the batch.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any

_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


def serve(source: Any) -> None:
    """Serves a `_LoopSource` until it says stop, then cancels what is left."""
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    server = _Server(loop, source)
    loop.add_reader(source.fileno(), server.take_work)
    try:
        loop.run_forever()
        loop.remove_reader(source.fileno())
        loop.run_until_complete(server.end())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    new_loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return new_loop


class _Server:
    def __init__(self, loop: asyncio.AbstractEventLoop, source: Any) -> None:
        self._loop = loop
        self._source = source
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()

    def take_work(self) -> None:
        for kind, ticket, what, request in self._source.take():
            if kind == "call":
                task = self._start(self._answer(ticket, what, request))
                if not task.done():
                    self._tasks[ticket] = task
            elif kind == "cancel":
                if running := self._tasks.get(ticket):
                    running.cancel()
            elif kind == "next":
                self._keep(self._start(self._next(ticket, what)))
            elif kind == "close":
                self._keep(self._start(_close(what)))
            elif kind == "stop":
                self._loop.stop()

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return asyncio.Task(coroutine, loop=self._loop, **_EAGER)

    def _keep(self, task: "asyncio.Task[None]") -> None:
        # The loop itself holds tasks weakly.
        if not task.done():
            self._others.add(task)
            task.add_done_callback(self._others.discard)

    async def _answer(self, ticket: int, function: Any, request: Any) -> None:
        try:
            value = await function(request)
        except asyncio.CancelledError:
            self._source.forget(ticket)
        except BaseException as error:
            self._source.fail(error, ticket)
        else:
            self._source.answer(value, ticket)
        finally:
            self._tasks.pop(ticket, None)

    async def _next(self, ticket: int, iterator: AsyncIterator[Any]) -> None:
        try:
            piece = await anext(iterator)
        except StopAsyncIteration:
            self._source.end(ticket)
        except BaseException as error:
            self._source.fail(error, ticket)
        else:
            self._source.piece(piece, ticket)

    async def end(self) -> None:
        """Cancels every task, waits for them, and closes asynchronous generators."""
        tasks = [*self._tasks.values(), *self._others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        try:
            await close()
        except BaseException:
            # A generator that is still being asked when its client leaves cannot be closed yet; it ends by itself.
            pass
