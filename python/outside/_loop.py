"""The event loop of `async def` handlers and asynchronous iterators.

Runs in a thread of its own. Work comes from the engine in batches; the first step of each task is taken at once where
Python can (3.12 on), so that a handler that never waits is finished within the batch. Nothing that a handler does ends
the loop: only the engine's word does.
"""

import asyncio
import concurrent.futures
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

from . import _outside
from ._websocket import AsyncWebSocketConnection, WebSocketExit
from ._websocket import serve as serve_session
from ._websocket import serve_exit

_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
logger = logging.getLogger("outside")

# The loop that the engine can tell of something, and who waits for that, by ticket.
current: asyncio.AbstractEventLoop | None = None
waiting: dict[int, Any] = {}


def serve(source: Any) -> None:
    """Serves a `_LoopSource` until it says stop, then cancels what is left."""
    global current
    loop = current = _new_loop()
    asyncio.set_event_loop(loop)
    server = _Server(loop, source)
    loop.add_reader(source.fileno(), server.take_work)
    while not server.stopping:
        try:
            loop.run_forever()
        except BaseException as error:
            # A SystemExit in some task, for example: it ends that task, not the loop of all others.
            logger.error("the event loop of async handlers goes on after an exception", exc_info=error)
    loop.remove_reader(source.fileno())
    try:
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
        self.stopping = False
        self._loop = loop
        self._source = source
        self._start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] = partial(asyncio.Task, loop=loop, **_EAGER)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, _Stream] = {}
        self._sessions: dict[int, AsyncWebSocketConnection] = {}
        self._others: set[asyncio.Task[None]] = set()

    def take_work(self) -> None:
        for work in self._source.take():
            if type(work) is int:
                if waiter := self._sessions.get(work) or waiting.get(work):
                    waiter._wake()
                continue
            if len(work) == 5:
                kind, ticket, what, request, call = work
                if kind == "apply":  # with parameters of the path
                    by_place, by_name = request
                    what, request = partial(what, *by_place, **(by_name or {})), None
                task = self._start(self._answer(ticket, call, what, request))
                if not task.done():
                    self._tasks[ticket] = task
                continue
            kind, ticket, what, request = work
            if kind == "cancel":
                if running := self._tasks.get(ticket):
                    running.cancel()
            elif kind == "session":
                connection = AsyncWebSocketConnection(request)
                self._sessions[ticket] = connection
                task = self._start(self._serve_session(ticket, what, connection))
                if not task.done():
                    self._tasks[ticket] = task
            elif kind == "next":
                self._stream_of(what).tickets.put_nowait(ticket)
            elif kind == "close":
                if stream := self._streams.get(id(what)):
                    stream.task.cancel()
            elif kind == "run":
                self._others.add(task := self._start(_tell(what, request)))
                task.add_done_callback(self._others.discard)
            elif kind == "stop":
                self.stopping = True
                self._loop.stop()

    async def _answer(self, ticket: int, call: Any, function: Any, request: Any) -> None:
        try:
            value = await (function() if request is None else function(request))
        except asyncio.CancelledError:
            call.forget()
        except BaseException as error:
            call.fail(error)
        else:
            call.answer(value)
        finally:
            self._tasks.pop(ticket, None)

    async def _serve_session(self, ticket: int, functions: Any, connection: AsyncWebSocketConnection) -> None:
        """A WebSocket's handlers; what they raise ends the connection with 1011."""
        code = 1011
        try:
            await serve_session(connection, functions)
            code = 1000
        except WebSocketExit:
            code = 1000
        except asyncio.CancelledError:
            code = 1001
        except BaseException as error:
            logger.error("WebSocket %s: the handler failed", connection.request.url, exc_info=error)
        self._source.exit(ticket, code)
        try:
            await serve_exit(connection, functions)
        except BaseException as error:
            logger.error("on_exit of a WebSocket failed", exc_info=error)
        finally:
            self._tasks.pop(ticket, None)
            self._sessions.pop(ticket, None)

    def _stream_of(self, iterator: AsyncIterator[Any]) -> "_Stream":
        stream = self._streams.get(id(iterator))
        if stream is None:
            stream = self._streams[id(iterator)] = _Stream(iterator)
            stream.task = asyncio.Task(self._serve_stream(stream), loop=self._loop)
        return stream

    async def _serve_stream(self, stream: "_Stream") -> None:
        """One task for all pieces of an iterator: its context and its time-outs last as long as it does."""
        ticket = -1
        try:
            while True:
                ticket = await stream.tickets.get()
                self._source.piece(await anext(stream.iterator), ticket)
        except StopAsyncIteration:
            self._source.end(ticket)
        except asyncio.CancelledError:
            # Its client has left.
            self._source.forget(ticket)
        except BaseException as error:
            self._source.fail(error, ticket)
        finally:
            del self._streams[id(stream.iterator)]
            await _close(stream.iterator)

    async def end(self) -> None:
        """Cancels every task, waits for them, and closes asynchronous generators."""
        tasks = [*self._tasks.values(), *self._others, *(stream.task for stream in self._streams.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


def wait_for(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What comes of a coroutine, for a thread that may wait: on the loop of this process, or on one of its own if there is none."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    if asyncio._get_running_loop() is not None or not _outside._run_on_loop(coroutine, future):
        return asyncio.run(coroutine)
    return future.result()


async def _tell(coroutine: Coroutine[Any, Any, Any], future: "concurrent.futures.Future[Any]") -> None:
    try:
        future.set_result(await coroutine)
    except BaseException as error:
        future.set_exception(error)
        if isinstance(error, asyncio.CancelledError):
            raise


class _Stream:
    """An iterator that is being sent, and the requests for its pieces."""

    task: "asyncio.Task[None]"

    def __init__(self, iterator: AsyncIterator[Any]) -> None:
        self.iterator = iterator
        self.tickets: asyncio.Queue[int] = asyncio.Queue()


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        try:
            await close()
        except BaseException as error:
            logger.error("closing a streamed response failed", exc_info=error)
