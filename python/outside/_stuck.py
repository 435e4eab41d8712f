"""Where a handler is that does not end long after it was told to."""

import logging
import sys
import traceback

_log = logging.getLogger("outside")


def log_stack(thread: int | None) -> None:
    """Called once for each such handler, on a thread that nobody waits for; `None` if its thread is not known."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    if frame is not None:
        _log.error("the handler that does not end is here:\n%s", "".join(traceback.format_stack(frame)).rstrip())
