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
# These two are needed, even where the program has handlers for them.
_ALWAYS = (signal.SIGUSR2, signal.SIGCHLD)


class Signals:
    """Requests by signals that have not been met yet."""

    def __init__(self, is_generation: bool = False) -> None:
        self._is_generation = is_generation
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

    def wake(self) -> None:
        """Has the loop look at the requests."""
        try:
            self._bell.send(b"!")
        except OSError:
            pass  # it has been woken often enough, or has ended

    @contextmanager
    def taken_for(self, server: Any, warns: bool = True) -> Iterator[None]:
        """Takes SIGTERM, SIGINT and SIGHUP where the program does not handle them, and puts the handlers from before back.

        Meanwhile `server.terminate()` counts as a termination: a signal handler of the user may call it.
        """
        nobodys = (signal.SIG_DFL, signal.default_int_handler, server.terminate)
        if warns:
            warn_of_others(server.terminate)
        wanted: dict[int, _Handler] = {
            signal.SIGTERM: self._count_termination,
            # Ctrl+C comes to the whole group of processes, and the process that was started passes it on.
            signal.SIGINT: self._ignore if self._is_generation else self._count_termination,
            signal.SIGHUP: self._count_reload,
            signal.SIGUSR2: self._count_retirement,
            signal.SIGCHLD: self._ignore,
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
        """In a worker: a signal to the whole group of processes (Ctrl+C) is for the supervisor, which passes it on."""
        signal.set_wakeup_fd(-1)
        server.__dict__.pop("terminate", None)
        for signum in (signal.SIGINT, *self.before):
            # No SIG_IGN: programs that a handler starts would inherit it.
            signal.signal(signum, lambda *_: None)
        signal.signal(signal.SIGCHLD, self.before[signal.SIGCHLD])
        self.close()

    def _ignore(self, *_: object) -> None:
        # No SIG_IGN: programs that are started would inherit it.
        pass

    def _count_termination(self, *_: object) -> None:
        self.terminations += 1

    def _count_call(self, signum: int | None = None, stackframe: FrameType | None = None) -> None:
        # A call without a number changes nothing when it is repeated.
        if signum is not None or not self.terminations:
            self.terminations += 1

    def _count_reload(self, *_: object) -> None:
        # The kernel sends it as well when a terminal is closed: that is the end and no reload.
        if not self._had_terminal or terminal_is_there():
            self.reloads += 1
        elif not self._is_generation:
            # A shell sends it once more; only a second SIGTERM or SIGINT cuts.
            self._count_call()

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
            # An ignored SIGINT is usual: a shell starts its background jobs so.
            _log.warning(
                "SIGTERM is ignored, since the process that started this one ignored it: only server.terminate() ends the server"
            )


def _calls_terminate(handler: Any) -> bool:
    handler = inspect.unwrap(getattr(handler, "func", handler))
    code = getattr(handler, "__code__", None) or getattr(getattr(type(handler), "__call__", None), "__code__", None)
    return getattr(handler, "__name__", "") == "terminate" or (code is not None and "terminate" in code.co_names)


def terminal_is_there() -> bool:
    """Whether this process has a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def sigterm_is_ours() -> bool:
    """Whether the handler of SIGTERM is one of this package, which ends the server."""
    module = getattr(signal.getsignal(signal.SIGTERM), "__module__", None) or ""
    return module.partition(".")[0] == "outside"
