"""The signals of a supervisor: counted when they come, obeyed between two turns of its loop, which they wake."""

import inspect
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .._handlers.signature import where

_log = logging.getLogger("outside")

_Handler = Callable[[int, FrameType | None], None]

TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
# These two are needed, whatever the user did with them.
_ALWAYS = (signal.SIGUSR2, signal.SIGCHLD)


class Signals:
    """What has been asked for and not been done yet."""

    def __init__(self) -> None:
        self.terminations = 0
        self.reloads = 0
        self.retirements = 0
        self.before: dict[int, Any] = {}
        self._wake, self._bell = socket.socketpair()
        self._wake.setblocking(False)
        self._bell.setblocking(False)
        self._had_terminal = terminal_is_there()

    def fileno(self) -> int:
        """Readable when a signal has come."""
        return self._wake.fileno()

    def clear(self) -> None:
        """Until the next one comes."""
        try:
            self._wake.recv(4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._wake.close()
        self._bell.close()

    @contextmanager
    def taken_for(self, server: Any) -> Iterator[None]:
        """Takes SIGTERM, SIGINT and SIGHUP where nobody else handles them, and puts back what was there before.

        Meanwhile `server.terminate()` counts as a termination: a signal handler of the user may call it.
        """
        nobodys = (signal.SIG_DFL, signal.default_int_handler, server.terminate)
        warn_of_others(server.terminate)
        wanted: dict[int, _Handler] = {
            signal.SIGTERM: self._count_termination,
            signal.SIGINT: self._count_termination,
            signal.SIGHUP: self._count_reload,
            signal.SIGUSR2: self._count_retirement,
            signal.SIGCHLD: lambda *_: None,
        }
        wakeup = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        try:
            for signum, handler in wanted.items():
                old = signal.getsignal(signum)
                if signum in _ALWAYS or old in nobodys:
                    # `None`: it was not set by Python, and only the default can be put back.
                    self.before[signum] = signal.SIG_DFL if old is None else old
                    signal.signal(signum, handler)
            server.__dict__["terminate"] = self._count_call
            yield
        finally:
            server.__dict__.pop("terminate", None)
            signal.set_wakeup_fd(wakeup)
            for signum, old in self.before.items():
                signal.signal(signum, old)

    def forget_in_child(self, server: Any) -> None:
        """In a worker: what comes to the whole group of processes (Ctrl+C) is for the supervisor, which passes it on."""
        signal.set_wakeup_fd(-1)
        server.__dict__.pop("terminate", None)
        for signum in (signal.SIGINT, *self.before):
            # No SIG_IGN: programs that a handler starts would inherit it.
            signal.signal(signum, lambda *_: None)
        signal.signal(signal.SIGCHLD, self.before[signal.SIGCHLD])
        self.close()

    def _count_termination(self, *_: object) -> None:
        self.terminations += 1

    def _count_call(self, signum: int | None = None, stackframe: FrameType | None = None) -> None:
        # A call without a number changes nothing when it is repeated.
        if signum is not None or not self.terminations:
            self.terminations += 1

    def _count_reload(self, *_: object) -> None:
        # The kernel sends it as well when a terminal is closed, and then nobody is there who wants a reload.
        if self._had_terminal and not terminal_is_there():
            self.terminations += 1
        else:
            self.reloads += 1

    def _count_retirement(self, *_: object) -> None:
        self.retirements += 1


def warn_of_others(terminate: Callable[..., None]) -> None:
    """Says in the log which signals do not end the server: those that are ignored, or that the program handles itself without
    calling `terminate`."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        name, handler = signal.Signals(signum).name, signal.getsignal(signum)
        if handler in (signal.SIG_DFL, signal.default_int_handler, terminate) or _calls_terminate(handler):
            continue
        if handler != signal.SIG_IGN:
            place = where(handler) if callable(handler) else "not set by Python"
            _log.warning(
                "%s has a handler of the program's own (%s): it ends the server only by calling server.terminate()", name, place
            )
        elif signum == signal.SIGTERM:
            # An ignored SIGINT is usual: a shell starts what runs in its background so.
            _log.warning(
                "SIGTERM is ignored, since whoever started this process ignored it: only server.terminate() ends the server"
            )


def _calls_terminate(handler: Any) -> bool:
    handler = inspect.unwrap(getattr(handler, "func", handler))
    code = getattr(handler, "__code__", None) or getattr(getattr(type(handler), "__call__", None), "__code__", None)
    return getattr(handler, "__name__", "") == "terminate" or (code is not None and "terminate" in code.co_names)


def terminal_is_there() -> bool:
    """Has this process a terminal?"""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
