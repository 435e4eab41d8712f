"""The lifespans of ASGI applications: one for each, before its server serves and after its last request."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterable
from contextvars import Context, copy_context
from typing import Any

from .._handlers import loop as _loop

logger = logging.getLogger("outside")

# The exit status of a server whose application could not start.
FAILED = 3
# Seconds that a task has whose client got no complete answer, after the server has closed the connection.
_LAST_WORDS = 1.0
# The part of `termination_timeout` that is kept for `lifespan.shutdown`.
_KEPT = 0.25


class Lifespan:
    """The lifespan of one application: a task that waits between its two events."""

    def __init__(self, app: Any, mode: str) -> None:
        self._app = app
        self._mode = mode
        self.state: dict[str, Any] = {}
        self.context: Context = copy_context()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._started: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> str | None:
        """Waits for the start; the message of an application that could not start."""
        if self._mode == "off":
            return None
        self._events.put_nowait({"type": "lifespan.startup"})
        if sys.version_info >= (3, 11):
            # Variables that it sets before it has started are seen by every call.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=self.context)
        else:
            self._task = self.context.run(asyncio.ensure_future, self._run())
        return await self._started

    async def shutdown(self, patience: float) -> None:
        task = self._task
        if task is None or task.done():
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        waited: list[asyncio.Future[Any]] = [self._ended, task]
        done, _ = await asyncio.wait(waited, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            logger.error("lifespan.shutdown had not ended within termination_timeout")
        elif self._ended.done() and (message := self._ended.result()) is not None:
            logger.error("lifespan.shutdown failed: %s", message)
        task.cancel()
        await asyncio.wait([task], timeout=_LAST_WORDS)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        fault: BaseException | None = None
        try:
            await self._app(scope, self._events.get, self._send)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            fault = error
        if not self._started.done() and self._mode == "on":
            if fault is not None:
                logger.error("the lifespan of an application failed", exc_info=fault)
            self._started.set_result("it has no lifespan" if fault is None else f"{type(fault).__name__}: {fault}")
        elif not self._started.done():
            # As the specification has it: the application knows no lifespan, and is served without one.
            if fault is not None:
                logger.info("an application goes on without lifespan, which raised %s: %s", type(fault).__name__, fault)
            self._started.set_result(None)
        elif fault is not None:
            logger.error("the lifespan of an application failed", exc_info=fault)
        if not self._ended.done():
            self._ended.set_result(None)

    async def _send(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        future = self._started if kind.startswith("lifespan.startup.") else self._ended
        if kind not in _EVENTS or future.done():
            raise RuntimeError(f"the event is lifespan.startup.complete or .failed, then lifespan.shutdown…, not {kind!r}")
        future.set_result(str(event.get("message", "")) if kind.endswith(".failed") else None)


_EVENTS = {f"lifespan.{when}.{how}" for when in ("startup", "shutdown") for how in ("complete", "failed")}


class Lifespans:
    """Those of all applications of a server. Each application has one, however many routes it has."""

    def __init__(self, handlers: Iterable[Any]) -> None:
        self._handlers = list(handlers)
        self._running: list[Lifespan] = []

    def startup(self) -> None:
        """Starts all of them; `SystemExit` if one cannot start."""
        message = _loop.wait_for(self._startup())
        if message is not None:
            logger.error("the application could not start%s", f": {message}" if message else "")
            raise SystemExit(FAILED)

    async def _startup(self) -> str | None:
        known: dict[int, Lifespan] = {}
        for handler in self._handlers:
            lifespan = known.get(id(handler.app))
            if lifespan is None:
                mode = handler.__dict__.get("_lifespan", "auto")
                lifespan = known[id(handler.app)] = Lifespan(handler.app, mode)
                message = await lifespan.startup()
                if message is not None:
                    await self._end(0.0)
                    return message
                self._running.append(lifespan)
            handler._begin(lifespan.state, lifespan.context)
        return None

    def shutdown(self, patience: float) -> None:
        """Waits for the tasks of all calls, then ends the lifespans, the last one first."""
        try:
            _loop.wait_for(self._shutdown(patience))
        except Exception as error:
            logger.error("the lifespans could not be ended", exc_info=error)
        for handler in self._handlers:
            handler._begin(None, None)

    async def _shutdown(self, patience: float) -> None:
        end = time.monotonic() + patience
        kept = patience * _KEPT
        await self._settle(lambda is_complete: not is_complete, min(_LAST_WORDS, patience - kept))
        await self._settle(lambda is_complete: True, end - kept - time.monotonic())
        await self._end(max(end - time.monotonic(), 0.1))

    async def _settle(self, wanted: Any, patience: float) -> None:
        """Waits for the tasks of calls, and cancels those that are left."""
        tasks = [task for handler in self._handlers for task, is_complete in handler._tasks() if wanted(is_complete)]
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=max(patience, 0))
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_LAST_WORDS / 2)

    async def _end(self, patience: float) -> None:
        end = time.monotonic() + patience
        for lifespan in reversed(self._running):
            await lifespan.shutdown(max(end - time.monotonic(), 0.1))
        self._running.clear()
