"""One process: it serves by itself until it is told to end, or until a generation has taken over after SIGHUP.

The main thread is the engine's as long as the process serves. So at the first SIGHUP a thread begins to look after the
generation that is started; when this process has drained, the main thread goes on with that as a supervisor without workers.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from .. import _outside
from . import at_fork
from .generation import RETIRE, TERMINATE, Parent, obstacle
from .handover import Listeners
from .hub import take_state_seat
from .notify import notify
from .signals import terminal_is_there

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("outside")


def serve(server: Any, parent: Parent | None, has_reloader: bool) -> None:
    """Serves on the listeners of the server until terminated, then returns; `SystemExit` if a generation has taken over."""
    listeners = Listeners.of(server)
    if parent is not None:
        _Generation(server, parent, listeners).run()
    elif has_reloader or threading.current_thread() is not threading.main_thread():
        # No signal comes here, or none that is for this process.
        listeners.close()
        _Started(server, None).run()
    else:
        _Started(server, listeners).run()


class _Generation:
    """A server in a process that another one has started."""

    def __init__(self, server: Any, parent: Parent, listeners: Listeners) -> None:
        self._server = server
        self._parent = parent
        self._listeners = listeners
        self._retires = False
        self._had_terminal = terminal_is_there()

    def run(self) -> None:
        at_fork.pipes[:] = [self._parent.fileno()]
        channel = self._parent.take_hub_channel()
        if channel is not None:
            take_state_seat(self._server, channel)
        self._server.__dict__["_hang_up"] = self._hang_up
        try:
            self._server._serve_alone(self._ready)
        finally:
            self._server.__dict__.pop("_hang_up", None)
            self._listeners.close()
        if self._retires:
            raise SystemExit(0)

    def _ready(self) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == self._server.terminate:
            # Ctrl+C comes to the whole group of processes, and the process that was started passes it on.
            signal.signal(signal.SIGINT, lambda *_: None)
        self._parent.announce(self._listeners)
        # With these left open, the ports would stay open while the server ends.
        self._listeners.close()
        threading.Thread(target=self._obey, name="outside-parent", daemon=True).start()

    def _obey(self) -> None:
        """On a thread of its own: obeys the process that was started; the end of that process is the end of this one."""
        while words := self._parent.hear():
            if RETIRE in words:
                self._retires = True
                self._server._retire()
            for _ in range(words.count(TERMINATE)):
                self._server.terminate(signal.SIGTERM, None)
        self._server.terminate(signal.SIGTERM, None)

    def _hang_up(self, signum: int | None = None, stackframe: FrameType | None = None) -> None:
        # When a terminal is closed, the process that was started has the same signal.
        if not self._had_terminal or terminal_is_there():
            self._parent.pass_up(signal.SIGHUP)


class _Started:
    """A server in the process that was started. `listeners` are handles for the next generation; `None`: there will be none."""

    def __init__(self, server: Any, listeners: Listeners | None) -> None:
        self._server = server
        self._listeners = listeners
        self._had_terminal = terminal_is_there()
        self._has_ended = False
        self._supervisor: Supervisor | None = None
        self._thread: threading.Thread | None = None
        self.is_running = True

    def run(self) -> None:
        server, fault, reaper = self._server, None, None
        if os.getpid() == 1:
            from .orphans import Reaper

            reaper = Reaper()
        server.__dict__.update(terminate=self._terminate, _hang_up=self._hang_up)
        try:
            server._serve_alone(self._ready)
        except BaseException as error:
            fault = error
        finally:
            self.is_running = False
            if reaper is not None:
                reaper.end()
        if self._supervisor is None or self._thread is None:
            self._forget()
            self._end()
            server._close_listeners()
            if fault is not None:
                raise fault
            return
        self._supervisor.signals.wake()
        self._thread.join()
        self._forget()
        for signum, (_, default) in self._handlers().items():
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, default)
        self._supervisor.go_on(fault)

    def _forget(self) -> None:
        for name in ("terminate", "_hang_up"):
            self._server.__dict__.pop(name, None)

    def _ready(self) -> None:
        notify("READY=1")

    def _end(self) -> None:
        """The end begins: the ports are closed, and the service manager is told, once."""
        if not self._has_ended:
            self._has_ended = True
            if self._listeners is not None and self._supervisor is None:
                self._listeners.close()
            notify("STOPPING=1")

    def _terminate(self, signum: int | None = None, stackframe: FrameType | None = None) -> None:
        """`server.terminate()` while it runs, and the handler of SIGTERM and SIGINT."""
        if self._supervisor is None:
            self._end()
        _outside.OutsideHTTP.terminate(self._server, signum, stackframe)
        if self._supervisor is not None:
            if signum is not None or not self._supervisor.signals.terminations:
                self._supervisor.signals.terminations += 1
            self._supervisor.signals.wake()

    def _handlers(self) -> dict[int, tuple[Callable[..., None], Any]]:
        """The handler of each signal while the server runs, and the one before."""
        return {
            signal.SIGTERM: (self._server.terminate, signal.SIG_DFL),
            signal.SIGINT: (self._server.terminate, signal.default_int_handler),
            signal.SIGHUP: (self._server._hang_up, signal.SIG_DFL),
        }

    def _handle(self, signum: int, stackframe: FrameType | None) -> None:
        # The engine takes its own handlers back when this process has drained. This one stays: signals are for the generation
        # then.
        (self._hang_up if signum == signal.SIGHUP else self._terminate)(signum, stackframe)

    def _hang_up(self, signum: int | None = None, stackframe: FrameType | None = None) -> None:
        """SIGHUP, on the main thread."""
        if self._had_terminal and not terminal_is_there():
            # The kernel sends it as well when a terminal is closed: that is the end and no reload.
            self._server.terminate()
            return
        if self._has_ended:
            return
        if self._supervisor is None:
            why = self._obstacle()
            if why is not None or self._listeners is None:
                if why is not None:
                    _log.warning("SIGHUP: the program cannot be started again: %s", why)
                _outside.OutsideHTTP._hang_up(self._server, signum, stackframe)  # type: ignore[attr-defined]
                return
            try:
                self._begin_to_supervise(self._listeners)
            except (OSError, RuntimeError) as error:
                # Out of descriptors or threads: raised here, it would end the server.
                _log.error("SIGHUP: the program cannot be started again: %s", error)
        if self._supervisor is None or self._thread is None:
            return
        self._supervisor.signals.reloads += 1
        self._supervisor.signals.wake()

    def _obstacle(self) -> str | None:
        if self._listeners is None:
            return None
        own = self._listeners.addresses()
        others = [address for address in _outside._belongings(threading.get_ident())[1] if address not in own]
        if others:
            return f"another server of this process listens at {others[0]}, where no second process can"
        return obstacle()

    def _begin_to_supervise(self, listeners: Listeners) -> None:
        from .supervisor import Supervisor

        for signum, (handler, _) in self._handlers().items():
            if signal.getsignal(signum) == handler:
                signal.signal(signum, self._handle)
        supervisor = Supervisor(self._server, None, listeners, OwnServer(self, self._server))
        thread = threading.Thread(
            target=supervisor.attend, args=(lambda: self.is_running,), name="outside-generations", daemon=True
        )
        thread.start()
        self._supervisor, self._thread = supervisor, thread


class OwnServer:
    """The server of this process in the place of workers, as a supervisor sees them."""

    def __init__(self, started: _Started, server: Any) -> None:
        self._started = started
        self._server = server

    def are_gone(self) -> bool:
        return not self._started.is_running

    def end(self, signum: int, patience: float) -> None:
        if signum == signal.SIGUSR2:
            self._server._retire()
        else:
            _outside.OutsideHTTP.terminate(self._server)

    def cut(self, patience: float) -> None:
        _outside.OutsideHTTP.terminate(self._server, signal.SIGTERM)
