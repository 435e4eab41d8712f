"""The event loop of `async def` handlers and asynchronous iterators.

The loop runs in a thread of its own. Work comes from the engine in batches; the first step of each task is taken at once where
Python can (3.12 on), so that a handler that never waits is finished within the batch. No handler can end the loop: only the
engine's "stop" does.
"""

import asyncio
import concurrent.futures
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from .. import _outside
from .._log import LOGGED
from .._log import logger as logger
from .websocket import AsyncWebSocketConnection, WebSocketExit, serve_exit
from .websocket import serve as serve_session

_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}

# The loop that the engine can wake, and the futures that wait for that, by ticket.
current: asyncio.AbstractEventLoop | None = None
waiting: dict[int, Any] = {}
# The thread that drives the loop, and the loop's driver.
here: "tuple[int, _Server] | None" = None


def serve(source: Any) -> None:
    """Serves a `_LoopSource` until it says stop, then cancels the tasks that are left."""
    server = begin(source)
    server.run()
    server.close()


def begin(source: Any) -> "_Server":
    """A loop for a `_LoopSource`, to be driven by this thread: `run()`, until the source says stop, then `close()`."""
    global current, here
    with making:
        loop = current = _new_loop()
    loop.set_exception_handler(_report)
    asyncio.set_event_loop(loop)
    server = _Server(loop, source)
    loop.add_reader(source.fileno(), server.take_work)
    here = threading.get_ident(), server
    return server


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    before = _rings()
    new_loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    rings[:] = _rings() - before
    return new_loop


# The rings (io_uring) of the loop: nothing but their kind and the time of their making tells them from those of the program.
rings: list[int] = []
# Looked up once: the attribute of a context variable costs a call as much as the call itself does.
_set_logged = LOGGED.set
# Held while the loop is made: a fork waits, so that it knows all descriptors of the loop.
making = threading.Lock()


def _rings() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[io_uring]":
                found.add(int(name))
        except OSError:
            pass  # closed meanwhile
    return found


def _report(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    """Logs exceptions of tasks that are not awaited, even if a configuration of `logging` has silenced the library's own
    logger."""
    if logging.getLogger("asyncio").isEnabledFor(logging.ERROR):
        loop.default_exception_handler(told)
    else:
        logger.error("%s: %r", told.get("message"), told.get("task") or told.get("future"), exc_info=told.get("exception"))


# The words of asyncio and uvloop for a loop that is stopped by `loop.stop()`.
_STOPPED = "Event loop stopped before Future completed."


async def _wait_for(future: asyncio.Future[None]) -> None:
    await future


def tasks() -> list[asyncio.Task[None]]:
    """The tasks of the handlers that run now."""
    return list(here[1].running()) if here is not None else []


class _Server:
    def __init__(self, loop: asyncio.AbstractEventLoop, source: Any) -> None:
        self._loop = loop
        self._source = source
        self._release: Callable[[], None] = source.release
        self._start: Callable[..., asyncio.Task[None]] = partial(asyncio.Task, loop=loop, **_EAGER)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, _Stream] = {}
        self._sessions: dict[int, AsyncWebSocketConnection] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[Any] | None = None
        self._wakeup_of_loop = -1
        self._leave: asyncio.Future[None] = loop.create_future()

    def running(self) -> list[asyncio.Task[None]]:
        """The tasks of handlers that have not ended."""
        return list(self._tasks.values())

    def run(self, wakeup: int = -1, wakeup_before: int = -1) -> None:
        """Drives the loop until the source says stop. `wakeup` is the descriptor to which the handlers of signals write, and
        `wakeup_before` the one before, of `loop.add_signal_handler` perhaps."""
        self._leave = self._loop.create_future()
        if wakeup >= 0:
            self._wakeup_of_loop = wakeup_before
            self._loop.call_soon(self._take_wakeup, wakeup)
        # The task that `asyncio.run` would have: AnyIO keeps its threads for as long as that task lasts. Without one it would
        # start a thread for each call, and look through all tasks for that.
        root = self._loop.create_task(_wait_for(self._leave), name="outside")
        while not root.done():
            try:
                self._loop.run_until_complete(root)
            except BaseException as error:
                if isinstance(error, RuntimeError) and not self._loop.is_closed() and str(error) == _STOPPED:
                    continue  # by a handler
                # A SystemExit in some task, for example: it ends that task, not the loop of all others.
                logger.error("the event loop of async handlers goes on after an exception", exc_info=error)

    def _take_wakeup(self, wakeup: int) -> None:
        # uvloop has set a descriptor of its own when it began to run.
        before = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        if before not in (-1, wakeup):
            self._wakeup_of_loop = before

    def hear(self, signals: bytes) -> None:
        """Passes signals on to the loop, which may have handlers for them. Those of `signal.signal` run by now."""
        if self._wakeup_of_loop >= 0:
            try:
                os.write(self._wakeup_of_loop, signals)
            except OSError:
                self._wakeup_of_loop = -1

    def run_until(self, coroutine: Coroutine[Any, Any, Any], context: Context | None) -> Any:
        """The result of a coroutine, for the thread that drives the loop, while it does not."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._loop.run_until_complete(self._start_in(context, _tell(coroutine, future, context)))
        return future.result()

    def close(self, patience: float | None = None) -> None:
        """Cancels the tasks that are left, and ends the loop."""
        global current, here
        self._loop.remove_reader(self._source.fileno())
        try:
            ends = self.end() if patience is None else self._end_within(patience)
            self._loop.run_until_complete(ends)
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()
            if here is not None and here[1] is self:
                current, here = None, None

    async def _end_within(self, patience: float) -> None:
        self._ending = asyncio.current_task()
        ends = asyncio.ensure_future(self.end())
        done, _ = await asyncio.wait([ends], timeout=patience)
        if not done:
            logger.warning("tasks of async handlers had not ended and were left behind")

    def take_work(self) -> None:
        # Answers of one batch wake the reactor once, at its end.
        try:
            self._work_off(self._source.take())
        finally:
            self._release()

    def _work_off(self, batch: list[Any]) -> None:
        for work in batch:
            if type(work) is int:
                if waiter := self._sessions.get(work) or waiting.get(work):
                    waiter._wake()
                continue
            if len(work) == 5:
                kind, ticket, what, request, call = work
                if kind == "apply":  # with parameters of the path
                    by_place, by_name = request
                    what, request = partial(what, *by_place, **(by_name or {})), None
                if kind == "resume":  # in the context of the functions that were called before the content came
                    arguments, context = request
                    task = self._start_in(context, self._answer(ticket, call, partial(what, *arguments), None))
                else:
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
                functions, context = what
                task = self._start_in(context, self._serve_session(ticket, functions, connection))
                if not task.done():
                    self._tasks[ticket] = task
            elif kind == "next":
                self._stream_of(what, request).tickets.put_nowait(ticket)
            elif kind == "close":
                if stream := self._streams.get(id(what)):
                    stream.task.cancel()
            elif kind == "run":
                future, context = request
                self._others.add(task := self._start_in(context, _tell(what, future, context)))
                task.add_done_callback(self._others.discard)
            elif kind == "stop" and not self._leave.done():
                self._leave.set_result(None)

    def _start_in(self, context: Context | None, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task in this context, or in a copy of the loop's own."""
        if context is None:
            return self._start(coroutine)
        if sys.version_info >= (3, 11):
            return self._start(coroutine, context=context)
        return context.run(self._start, coroutine)

    async def _answer(self, ticket: int, call: Any, function: Any, request: Any) -> None:
        _set_logged(call.request if request is None else request)
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
        """A WebSocket's handlers; an exception of theirs ends the connection with 1011."""
        code = 1011
        LOGGED.set(connection.request)
        try:
            await serve_session(connection, functions)
            code = 1000
        except WebSocketExit:
            code = 1000
        except asyncio.CancelledError:
            code = 1001
        except BaseException as error:
            _outside._log_session_failure(connection._connection, "the handler failed", error)
        self._source.exit(ticket, code)
        try:
            await serve_exit(connection, functions)
        except BaseException as error:
            _outside._log_session_failure(connection._connection, "on_exit failed", error)
        finally:
            self._tasks.pop(ticket, None)
            self._sessions.pop(ticket, None)

    def _stream_of(self, iterator: AsyncIterator[Any], context: Context | None) -> "_Stream":
        stream = self._streams.get(id(iterator))
        if stream is None:
            stream = self._streams[id(iterator)] = _Stream(iterator)
            stream.task = self._start_in(context, self._serve_stream(stream))
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
            # The client of the stream has left.
            self._source.forget(ticket)
        except BaseException as error:
            if rescuers := self._source.fail(error, ticket):
                await self._rescue(rescuers, error, ticket)
        finally:
            del self._streams[id(stream.iterator)]
            await _close(stream.iterator)

    async def _rescue(self, rescuers: tuple[Any, Any], error: BaseException, ticket: int) -> None:
        """The functions around its handler answer in place of a stream that has failed before its first piece."""
        from . import around as _around

        try:
            response = await _around.rescue_async(*rescuers, error)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            self._source.forget(ticket)
            raise
        except BaseException as another:
            self._source.fail(another, ticket)
            raise
        self._source.instead(response, ticket)

    async def end(self) -> None:
        """Cancels every task, those that handlers have made included, waits for them, and closes asynchronous generators."""
        own = asyncio.current_task()
        ours = {*self._tasks.values(), *self._others, *(stream.task for stream in self._streams.values())}
        # A task that is cancelled may make others while it ends.
        while tasks := {task for task in asyncio.all_tasks() if task is not own and task is not self._ending}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in tasks - ours:
                if not task.cancelled() and (error := task.exception()) is not None:
                    told = {"message": "a task failed while the server ended", "exception": error, "task": task}
                    self._loop.call_exception_handler(told)
        await self._loop.shutdown_asyncgens()


def wait_for(coroutine: Coroutine[Any, Any, Any], context: Context | None = None) -> Any:
    """The result of a coroutine, for a thread that may wait: on the loop of this process, or on one of its own if there is
    none.

    It runs in this context, in which nothing else runs meanwhile.
    """
    if here is not None and here[0] == threading.get_ident() and asyncio._get_running_loop() is None:
        return here[1].run_until(coroutine, context)
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    if asyncio._get_running_loop() is None and _outside._run_on_loop(coroutine, (future, context)):
        return future.result()
    if context is None:
        return asyncio.run(coroutine)
    if sys.version_info >= (3, 11):
        with asyncio.Runner() as runner:
            return runner.run(coroutine, context=context)
    return context.run(asyncio.run, coroutine)


async def _tell(coroutine: Coroutine[Any, Any, Any], future: "concurrent.futures.Future[Any]", context: Context | None) -> None:
    try:
        value = await coroutine
    except BaseException as error:
        _hand_back(context)
        future.set_exception(error)
        if isinstance(error, asyncio.CancelledError):
            raise
    else:
        _hand_back(context)
        future.set_result(value)


def _hand_back(context: Context | None) -> None:
    """Copies the variables that a task has set back into its context: before 3.11 a task runs in a copy of it."""
    if sys.version_info < (3, 11) and context is not None:
        for variable, value in copy_context().items():
            if context.get(variable) is not value:
                context.run(variable.set, value)


def context_here() -> Context:
    """The context of the task that runs now (before 3.12 a copy of it), or a copy of this thread's."""
    if sys.version_info >= (3, 12) and asyncio._get_running_loop() is not None:
        task = asyncio.current_task()
        if task is not None:
            return task.get_context()
    return copy_context()


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
