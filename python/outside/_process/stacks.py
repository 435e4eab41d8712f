"""Where the handlers of this process are, for the status page, which any process of the server answers.

The process that is asked by a browser opens two files of this one under /proc: a pipe, into which it writes the number of a
call, and a file in memory, where a thread of this process writes where that call is. The thread cannot run while a handler holds
Python's lock in C; then a signal has `faulthandler` write the stacks of all threads into a third file, without the lock. The
signal is SIGURG, which a process that has no handler for it ignores.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

from .. import _outside
from .._handlers import loop as _loop
from .._handlers.stuck import task_stack
from . import at_fork

# The names of the files, by which a process is known that has them.
_ANSWERS, _STACKS = "outside-answers", "outside-stacks"
_SIGNAL = getattr(signal, "SIGURG", None)
_MOST_BYTES = 1 << 20
# Seconds for which an answer stands before the next one replaces it.
_PAUSE = 0.02


class Stacks:
    """The files and the thread of a server, while it serves."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._hearing, self._asking = os.pipe()
        self._answers = os.memfd_create(_ANSWERS, os.MFD_CLOEXEC)
        self._stacks = os.memfd_create(_STACKS, os.MFD_CLOEXEC)
        self._has_signal = _is_free()
        if self._has_signal:
            faulthandler.register(_SIGNAL, self._stacks, all_threads=True, chain=False)  # type: ignore[arg-type]
        at_fork.pipes += self._files()
        _outside._set_stack_source((self._asking, self._answers, self._stacks, int(_SIGNAL) if self._has_signal else 0))  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self._answer, name="outside-stacks", daemon=True)
        self._thread.start()

    def _files(self) -> list[int]:
        return [self._hearing, self._asking, self._answers, self._stacks]

    def end(self) -> None:
        """Ends the thread and closes the files."""
        _outside._set_stack_source(None)
        if self._has_signal:
            faulthandler.unregister(_SIGNAL)  # type: ignore[arg-type]
        os.write(self._asking, b"\n")
        self._thread.join(1)
        for descriptor in self._files():
            at_fork.pipes.remove(descriptor)
            os.close(descriptor)

    def _answer(self) -> None:
        for line in _lines(self._hearing):
            question, _, call = line.partition(" ")
            if not call:
                return
            try:
                text = self._place(int(call, 16))
            except Exception as error:  # a frame that has ended meanwhile
                text = f"the stack could not be read: {error!r}"
            answer = f"{question}\0{text}\0".encode(errors="replace")
            os.pwrite(self._answers, answer, 0)
            if os.fstat(self._stacks).st_size > _MOST_BYTES:
                os.ftruncate(self._stacks, 0)
                os.lseek(self._stacks, 0, os.SEEK_SET)
            time.sleep(_PAUSE)

    def _place(self, call: int) -> str:
        thread, task = _outside._call_place(self._server, call)
        if thread is not None:
            frame = sys._current_frames().get(thread)
            return _shown(frame) if frame is not None else "the thread of this call has ended"
        task = task or _task_of(call)
        # A call that waits for nothing keeps the loop from all others.
        if (frame := _frame_on_loop(task, call)) is not None:
            return _shown(frame)
        if task is None:
            return "this call has ended"
        return task_stack(task) or "this call is about to go on"


def _is_free() -> bool:
    return _SIGNAL is not None and signal.getsignal(_SIGNAL) in (signal.SIG_DFL, signal.SIG_IGN, None)


def _lines(descriptor: int) -> Any:
    rest = b""
    while piece := os.read(descriptor, 4096):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


def _shown(frame: FrameType) -> str:
    return "".join(traceback.format_stack(frame)).rstrip()


def _task_of(call: int) -> Any | None:
    """The task of an `async def` handler."""
    return next((task for task in _loop.tasks() if _is_of(getattr(task.get_coro(), "cr_frame", None), call)), None)


def _is_of(frame: FrameType | None, call: int) -> bool:
    """Whether this is the outermost frame of a call, in `_handlers/loop.py`."""
    if frame is None or frame.f_code not in _OUTERMOST:
        return False
    known = frame.f_locals
    if "call" in known:
        return bool(known["call"].number() == call)
    return bool(_outside._request_number(known["connection"].request) == call)


# The coroutines that call handlers, and those of WebSockets.
_OUTERMOST = (_loop._Server._answer.__code__, _loop._Server._serve_session.__code__)


def _frame_on_loop(task: Any | None, call: int) -> FrameType | None:
    """The innermost frame of a call that runs on the thread of the loop now; `None` if it waits, or has ended."""
    if _loop.here is None:
        return None
    innermost = frame = sys._current_frames().get(_loop.here[0])
    outermost = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    while frame is not None:
        if frame is outermost or _is_of(frame, call):
            return innermost
        frame = frame.f_back
    return None


def begin(server: Any) -> None:
    """Begins to answer, if the server has a status page and the system has such files."""
    if server.config.get("status_page") and hasattr(os, "memfd_create") and "_stacks" not in server.__dict__:
        server.__dict__["_stacks"] = Stacks(server)


def end(server: Any) -> None:
    """The opposite."""
    stacks = server.__dict__.pop("_stacks", None)
    if stacks is not None:
        stacks.end()
