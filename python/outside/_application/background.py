"""Functions that run beside requests: `request.after(function, …)` when the answer is out, `server.background(function, …)` at once.

Plain ones run on threads of their own, `async def` ones on the asyncio loop; `max_background` of both at one moment.
`process_timeout` does not apply to them. They live as long as the process: what must not be lost belongs into a queue outside of it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, NamedTuple

from .. import _outside
from .._handlers import loop as _loop
from .._handlers.current import SERVERS
from .._handlers.routes import is_async
from .._handlers.signature import where
from .._outside import HandlerTimeout, Request

MOST_WAITING = 1000
# Seconds that a thread without work is kept.
_IDLE = 10.0


class _Task(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    context: Context

    def log(self, error: BaseException) -> None:
        text = "%s: a background function failed"
        self.context.copy().run(functools.partial(_loop.logger.error, text, where(self.function), exc_info=error))


class Background:
    """The background functions of one server in one process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[_Task] = deque()
        self._running = 0
        self._idle = 0
        self._threads: set[int] = set()
        # The tasks of the asyncio loop, each with the loop.
        self._tasks: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}
        self._handed: deque[_Task] = deque()
        self._changed = threading.Condition()

    def add(self, function: Callable[..., Any], arguments: tuple[Any, ...], context: Context) -> None:
        """Runs the function, now or when one of those that run has ended."""
        task = _Task(function, arguments, context)
        with self._changed:
            if self._running >= self._most:
                if len(self._waiting) >= MOST_WAITING:
                    raise RuntimeError(
                        f"{where(function)}: {MOST_WAITING:,} background functions wait already, behind the {self._most} that run "
                        '(config["max_background"])'
                    )
                self._waiting.append(task)
                return
            self._running += 1
        self._begin(task)

    def _begin(self, task: _Task) -> None:
        if is_async(task.function):
            future: concurrent.futures.Future[Any] = concurrent.futures.Future()
            coroutine = self._run_on_loop(task)
            if _outside._run_on_loop(coroutine, (future, task.context)):
                future.add_done_callback(functools.partial(self._ended_on_loop, task))
                return
            coroutine.close()
            task = task._replace(function=functools.partial(_run_alone, task.function))
        with self._changed:
            self._handed.append(task)
            if self._idle >= len(self._handed):
                self._changed.notify()
                return
        threading.Thread(target=self._work, name="outside background", daemon=True).start()

    async def _run_on_loop(self, task: _Task) -> None:
        running = asyncio.current_task()
        assert running is not None
        self._tasks[running] = asyncio.get_running_loop()
        try:
            await task.function(*task.arguments)
        finally:
            self._tasks.pop(running, None)

    def _ended_on_loop(self, task: _Task, future: concurrent.futures.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            task.log(error)
        if (next_task := self._next()) is not None:
            self._begin(next_task)

    def _next(self) -> _Task | None:
        """Ends one function; the next one takes its place."""
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            self._changed.notify_all()
            return None

    def _work(self) -> None:
        while (task := self._handed_over()) is not None:
            ident = threading.get_ident()
            self._threads.add(ident)
            try:
                task.context.run(task.function, *task.arguments)
            except BaseException as error:
                task.log(error)
            finally:
                self._threads.discard(ident)
            if (next_task := self._next()) is not None:
                self._begin(next_task)

    def _handed_over(self) -> _Task | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._handed, _IDLE)
            self._idle -= 1
            return self._handed.popleft() if self._handed else None

    def end(self, patience: float) -> None:
        """Waits for all functions, for this number of seconds at most, then cancels those that are left."""
        deadline = time.monotonic() + patience
        with self._changed:
            if self._changed.wait_for(lambda: self._running == 0, max(0.0, deadline - time.monotonic())):
                return
            left, self._waiting = list(self._waiting), deque()
            tasks, threads = dict(self._tasks), list(self._threads)
        for task in left:
            _loop.logger.error("%s: a background function was not begun before the server ended", where(task.function))
        _loop.logger.error(
            "%d background functions are cancelled: they took longer than termination_timeout", len(tasks) + len(threads)
        )
        for running, loop in tasks.items():
            loop.call_soon_threadsafe(running.cancel)
        for ident in threads:
            # The only way to end a thread that does not ask whether it should.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(HandlerTimeout))
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, 0.5)


def _run_alone(function: Callable[..., Any], *arguments: Any) -> Any:
    return asyncio.run(function(*arguments))


_lock = threading.Lock()


def of(server: Any) -> Background:
    """The background functions of a server in this process."""
    with _lock:
        found: Background | None = server.__dict__.get("_background")
        if found is None:
            found = server.__dict__["_background"] = Background(server.config["max_background"])
        return found


def add(server: Any, function: Any, arguments: tuple[Any, ...]) -> None:
    """Runs a function beside the requests of a server, in a copy of this context."""
    check(function, "server.background()")
    if is_async(function):
        server._arrange(function)
    of(server).add(function, arguments, copy_context())


def check(function: Any, what: str) -> None:
    if not callable(function):
        hint = ": a coroutine, which is the function called already" if hasattr(function, "__await__") else ""
        raise TypeError(f"{what} takes a function and its arguments, not {function!r}{hint}")


def prepared(request: Request, function: Any, arguments: tuple[Any, ...]) -> Callable[[], None]:
    """The call that begins a function of `request.after`, made by the engine when the answer is out."""
    check(function, "request.after()")
    context, server = copy_context(), request._server

    def begin() -> None:
        # A request that no function around a handler has seen does not know its server; nearly always there is one.
        owner = server if server is not None else next(iter(SERVERS))
        if is_async(function):
            owner._arrange(function)
        of(owner).add(function, arguments, context)

    return begin
