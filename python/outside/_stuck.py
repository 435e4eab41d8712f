"""A handler that does not end long after it was told to: where it is goes to the log, and a worker process is replaced."""

import logging
import sys
import traceback

from . import _worker

_log = logging.getLogger("outside")


def give_up(thread: int | None) -> None:
    """Called once for each such handler, on a thread that nobody waits for; `None` if its thread is not known."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    if frame is not None:
        _log.error("the handler that does not end is here:\n%s", "".join(traceback.format_stack(frame)).rstrip())
    if _worker.replace():
        _log.error("this process is replaced by another one, for a handler of its that does not end")
