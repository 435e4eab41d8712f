"""The stack of a handler that does not end long after it was told to, or that keeps the event loop from all others."""

import logging
import sys
import traceback

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


def _stack(thread: int | None) -> str:
    frame = sys._current_frames().get(thread) if thread is not None else None
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else ""
