"""The process that was started, where it has others beneath it: keeps workers alive, starts the next generation, ends them all.

It binds the listeners before any thread exists and keeps them, so that a worker or a generation that dies loses no connection
that waits to be accepted: its replacement finds it. It never touches HTTP and never runs a handler. Between events it sleeps in
`poll`.

At a reload it starts the program again as a child (`generation.py`), which has workers of its own. When that serves, the
workers of this process retire, and nothing but the generation is left beneath it; the next reload does the same with that one.
A generation of several processes is a supervisor too: it obeys the process that was started, and starts no generation itself.
"""

from __future__ import annotations

import gc
import logging
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .._debug import token as _debug_token
from . import hub as _hub
from . import worker as _worker
from .board import board_of
from .fork import described, descriptors, refuse_other_threads, release
from .generation import RETIRE, TERMINATE, Parent, is_first, obstacle
from .generations import Ended, Failed, Generations, Ready
from .handover import Listeners
from .notify import notify, reloading
from .orphans import orphans
from .signals import Signals
from .workers import Event, Workers

_log = logging.getLogger("outside")

# Seconds beyond the time that a worker has for its requests, for its threads and for `on_worker_stop`; then it is killed.
GRACE = 5.0
# In milliseconds: with TLS there is something to be forgotten from time to time.
HOUR = 3600e3


class Own(Protocol):
    """The serving half of a supervisor's own generation: workers, or the server of the process itself."""

    def are_gone(self) -> bool:
        """Whether nothing of it is left."""

    def end(self, signum: int, patience: float) -> None:
        """Ends it: SIGTERM at once in order, SIGUSR2 because another generation serves. It has this many seconds."""

    def cut(self, patience: float) -> None:
        """Cuts requests that are still in flight, while it is ending."""


def supervise(server: Any, parent: Parent | None, slots: int) -> None:
    """Serves with one process for each slot of the listeners until terminated, then returns.

    Raises `RuntimeError` if other threads are running; `SystemExit(3)` if no worker can start; `SystemExit` after another
    generation has taken over.
    """
    try:
        refuse_other_threads()
        # A listener that was handed down and that no process accepts from would keep its clients waiting.
        if server._slots() > slots:
            _log.warning("%d listeners were handed down: so many workers are started, not %d", server._slots(), slots)
        if server.config.get("debug"):
            _debug_token.token()  # that of all workers
        supervisor = Supervisor(server, parent, Listeners.of(server))
    except BaseException:
        server._close_listeners()
        raise
    supervisor.run()


class Supervisor:
    """Everything beneath one process: its own workers or its own server, and the generations after it."""

    def __init__(self, server: Any, parent: Parent | None, listeners: Listeners, own: Own | None = None) -> None:
        self._server = server
        self._parent = parent
        self._poll = _hub.make(parent, None if own is None else server)
        self.signals = Signals(is_generation=parent is not None)
        self._board = board_of(server)
        self._generations = Generations(listeners, self._poll, self._board)
        self._workers: Workers | None = None
        self._orphans = orphans()
        if own is None:
            own = self._workers = Workers(server, server._slots(), self.signals, self._poll, self._patience, self._belongings)
        self._own = own
        self._reload_again = False
        self._start_at: float | None = None  # another generation, in place of one that was killed
        self._has_cleaned_up = self._workers is None
        self._speaks_tls = server._speaks_tls()
        self._ending = False
        # The own generation was told to end because another one serves.
        self._retiring = False
        self._has_handed_over = False
        self._obeyed = 0  # of the terminations that signals have asked for
        self._status = 0
        self._failures: list[BaseException] = []
        self._poll.register(self.signals, select.POLLIN)
        if parent is not None:
            self._poll.register(parent.fileno(), select.POLLIN)

    def run(self) -> None:
        """Until all workers are gone, and all generations."""
        with self._frozen():
            self._loop(warns=True)

    def attend(self, is_serving: Callable[[], bool]) -> None:
        """Until the server of this process has ended: on a thread of its own."""
        while is_serving():
            self._turn_safely()

    def go_on(self, fault: BaseException | None) -> None:
        """Until all generations are gone: on the main thread, after the server of this process has ended, with this fault
        perhaps."""
        if fault is not None:
            self._failures.append(fault)
        if not self._ending and (not self._retiring or fault is not None):
            self._end()
        self._loop(warns=False)

    def _loop(self, warns: bool) -> None:
        try:
            with self.signals.taken_for(self._server, warns):
                while self._has_work():
                    self._turn_safely()
        finally:
            self.signals.close()
            if self._workers is not None:
                self._workers.close()
            self._poll.close()
        self._finish()

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Objects that exist now share their memory with the workers until they are written to, as a collection would."""
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            gc.unfreeze()

    def _finish(self) -> None:
        if self._has_handed_over:
            self._generations.listeners.close()
            self._generations.listeners.remove_files()
        elif not self._retiring:
            self._generations.listeners.close()
            self._server._close_listeners()
        self._clean_up()
        if self._failures:
            raise self._failures[0]
        if self._status or self._retiring:
            raise SystemExit(self._status)

    def _clean_up(self) -> None:
        """Calls `server_cleanup` once the own workers are gone; an own server has called it itself."""
        if self._has_cleaned_up:
            return
        self._has_cleaned_up = True
        cleanup = self._server.config.get("server_cleanup")
        if cleanup is not None:
            try:
                cleanup()
            except Exception:
                _log.exception("server_cleanup failed")

    def _has_work(self) -> bool:
        if not self._ending and not (self._retiring and self._parent is not None):
            return True
        return not self._own.are_gone() or any(True for _ in self._generations)

    def _turn_safely(self) -> None:
        try:
            self._turn()
        except BaseException as error:
            # Of a signal handler of the user, for example: the workers must not be left alone.
            self._failures.append(error)
            if len(self._failures) > 2:
                if self._workers is not None:
                    self._workers.end(signal.SIGKILL, 0)
                raise self._failures[0] from None
            self._end()

    def _turn(self) -> None:
        """Waits for something to happen or to fall due, and does it."""
        self._server._ticket_secret()  # keys of times gone by are forgotten here as well
        self._wait()
        self._obey_signals()
        if self._workers is not None:
            for event in self._workers.step(time.monotonic()):
                self._answer(event, len(self._workers))
            if self._retiring and self._workers.are_gone():
                self._clean_up()
        self._look_after_generations()
        # A process that runs no handlers has no other children.
        if self._orphans is not None and (self._workers is not None or self._own.are_gone()):
            self._orphans.reap({child.pid for child in [*self._generations, *(self._workers or ())]})

    def _wait(self) -> None:
        due = [*(self._workers.due() if self._workers is not None else []), self._generations.due(), self._start_at]
        times = [at for at in due if at is not None]
        timeout = max(0.0, min(times) - time.monotonic()) * 1000 + 1 if times else None
        if self._speaks_tls:
            timeout = HOUR if timeout is None else min(timeout, HOUR)
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self.signals.fileno():
                self.signals.clear()
            elif self._parent is not None and descriptor == self._parent.fileno():
                self._obey(self._parent)
            elif not self._generations.hear(descriptor) and self._workers is not None:
                self._workers.hear(descriptor)

    def _obey(self, parent: Parent) -> None:
        words = parent.hear()
        if RETIRE in words:
            self.signals.retirements += 1
        self.signals.terminations += words.count(TERMINATE)
        if not words:
            self._poll.unregister(parent.fileno())
            self.signals.terminations += 1

    def _obey_signals(self) -> None:
        asked = self.signals
        while self._obeyed < asked.terminations:
            self._obeyed += 1
            self._end()
        if asked.retirements:
            asked.retirements = 0
            self._retire()
        if asked.reloads:
            asked.reloads = 0
            self._reload()

    def _answer(self, event: Event, workers: int) -> None:
        if self._ending or self._retiring:
            return
        match event:
            case Event.ALL_SERVE:
                self._announce(workers)
            case Event.TERMINATION_ASKED:
                # It means the server and not only the worker whose handler has called it.
                self._end()
            case Event.NONE_STARTS:
                self._board.tell(logging.ERROR, "no worker can start")
                self._status = _worker.FAILED
                self._end()

    def _announce(self, workers: int) -> None:
        processes = "1 process" if workers == 1 else f"{workers} processes"
        try:
            *urls, last = self._server._listening_on()
            for url in urls:
                print(f"outside is serving on {url}", flush=True)
            print(f"outside is serving on {last} with {processes} (Ctrl+C stops it)", flush=True)
            if metrics := self._server._metrics_on():
                print(f"outside tells its metrics on {metrics}", flush=True)
            if self._server.config.get("debug") and is_first():
                _debug_token.announce([*urls, last][0])
        except (OSError, ValueError):
            pass  # a closed standard output does not keep a server from serving
        if self._parent is not None:
            self._parent.announce(self._generations.listeners)
        else:
            notify("READY=1")

    def _seconds(self, setting: str, usual: float = 30) -> float:
        return float(self._server.config.get(setting, usual))

    def _patience(self) -> float:
        """Seconds that a worker has to retire."""
        return self._seconds("drain_idle") + self._seconds("termination_timeout") + GRACE

    def _belongings(self) -> list[int]:
        """The descriptors that a worker has to close."""
        return [*self._generations.descriptors(), *([self._parent.fileno()] if self._parent is not None else [])]

    def _end(self) -> None:
        """Ends everything in order; when that has begun already, cuts requests in flight."""
        self._start_at = None
        self._generations.terminate()
        if self._ending:
            self._own.cut(GRACE)
            return
        self._ending = True
        if self._parent is None:
            notify("STOPPING=1")
        self._generations.listeners.close()
        release(descriptors(self._server))
        self._own.end(signal.SIGTERM, self._seconds("drain_delay", 0) + self._seconds("termination_timeout") + GRACE)

    def _retire(self) -> None:
        """Another generation serves: ends the own workers, or the own server, as soon as clients can spare them."""
        if not self._ending and not self._retiring:
            self._retiring = True
            if self._parent is not None:
                self._generations.listeners.close()
            release(descriptors(self._server))
            self._own.end(signal.SIGUSR2, self._patience())

    def _reload(self) -> None:
        if self._parent is not None:
            self._parent.pass_up(signal.SIGHUP)
            return
        if self._ending:
            return
        if self._generations.starting:
            _log.info("SIGHUP: a new generation is being started already; another one will follow it")
            self._reload_again = True
            return
        why = obstacle()
        if why is not None:
            self._board.tell(logging.WARNING, f"SIGHUP: the program cannot be started again: {why}")
            return
        self._board.tell(logging.INFO, "SIGHUP: a new generation is being started")
        self._server._retry_certificates()
        reloading()
        self._start()

    def _start(self) -> None:
        self._start_at = None
        try:
            self._generations.start(bytes(self._server._ticket_secret()))
        except OSError as error:
            self._go_on_without(f"the new generation cannot be started: {error}")

    def _go_on_without(self, why: str) -> None:
        """A generation will not serve: the one before it does so still, or else another one is started."""
        notify("READY=1")
        if not self._has_handed_over or self._generations.serving is not None:
            self._board.tell(logging.ERROR, f"{why}; the one before it goes on serving")
            return
        pause = self._generations.pause()
        when = f"in {pause:.1f} s" if pause else "at once"
        self._board.tell(logging.ERROR, f"{why}; none serves, and the program is started again {when}")
        self._start_at = time.monotonic() + pause

    def _look_after_generations(self) -> None:
        for event in self._generations.step():
            match event:
                case Ready(generation):
                    self._board.note_reload("served")
                    self._board.tell(logging.INFO, f"the new generation (process {generation.pid}) serves")
                    notify("READY=1")
                    self._has_handed_over = True
                    self._server._disown_files()
                    self._retire()
                case Failed(why) if not self._ending:
                    self._board.note_reload("failed")
                    self._go_on_without(f"the new generation {why}")
                case Ended(generation, status):
                    self._note_end(generation.pid, status)
        if self._ending or self._generations.starting is not None:
            return
        if self._reload_again:
            self._reload_again = False
            self._reload()
        elif self._start_at is not None and time.monotonic() >= self._start_at:
            self._start()

    def _note_end(self, pid: int, status: int) -> None:
        """The generation that served has ended, and no other one serves."""
        if self._ending or status >= 0:
            # It ends as the program would that has no other process.
            self._status = status if status >= 0 else 128 - status
            if not self._ending:
                self._end()
            return
        pause = self._generations.pause()
        when = f"in {pause:.1f} s" if pause else "at once"
        self._board.tell(
            logging.WARNING, f"the generation (process {pid}) {described(status)}; the program is started again {when}"
        )
        self._start_at = time.monotonic() + pause
