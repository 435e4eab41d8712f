"""The stack of a handler that does not end long after it was told to, or that keeps the event loop from all others."""

import logging
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

_log = logging.getLogger("outside")


def log_stack(thread: int | None) -> None:
    """Called once for each handler that does not end, on another thread; `None` if the handler's thread is not known."""
    if stack := _stack(thread):
        _log.error("the handler that does not end is here:\n%s", stack)


def log_blocked_loop(thread: int) -> None:
    """Called when the event loop of `async def` handlers has not gone on for a second while commands waited for it."""
    if stack := _stack(thread):
        _log.error(
            "a handler blocks the event loop of all async def handlers; it should be a plain one. It is here:\n%s", stack
        )


def log_hanging(name: str, thread: int | None, task: Any) -> None:
    """Called when a hosted application has not answered this request for `process_timeout`, which is no deadline there. Long
    polls take so long on purpose: the log is told once a minute."""
    global _next_hanging
    with _hanging_lock:
        now = time.monotonic()
        if now < _next_hanging:
            return
        _next_hanging = now + _HANGING_EVERY
    stack = _stack(thread) or task_stack(task)
    where = f"; it is here:\n{stack}" if stack else ""
    _log.warning("%s: the application has not answered within process_timeout, and is waited for%s", name, where)


_HANGING_EVERY = 60.0
_hanging_lock = threading.Lock()
_next_hanging = 0.0


def task_stack(task: Any) -> str:
    """The frames of the coroutines that wait for one another, the outermost first."""
    frames: list[tuple[FrameType, int]] = []
    waiting = task.get_coro() if task is not None else None
    while waiting is not None and len(frames) < _MOST_FRAMES:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return "".join(traceback.StackSummary.extract(iter(frames)).format()).rstrip()


_MOST_FRAMES = 100


def _stack(thread: int | None) -> str:
    frame = sys._current_frames().get(thread) if thread is not None else None
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else ""
