"""The first process of a server with several: keeps its workers alive, starts the next generation, ends them all.

It binds the listeners before any thread exists and keeps them, so that a worker that dies loses no connection that waits to
be accepted: its replacement finds it. It never touches HTTP and never runs a handler. Between events it sleeps in `poll`.
`workers.py` looks after the children, `worker.py` is what they do, `generation.py` is how the program is started again.
"""

import gc
import logging
import os
import select
import signal
import time
from typing import Any

from .._debug import token as _debug_token
from . import first_process as _first_process
from . import worker as _worker
from .fork import descriptors, refuse_other_threads, release
from .generation import Command, Successor, inherited_secret, is_first
from .notify import notify, reloading
from .signals import TAKEN, Signals
from .workers import Workers

_log = logging.getLogger("outside")

# Beyond the time that a worker has for its requests, for its threads and for `on_worker_stop`; then it is killed.
GRACE = 5.0
# In milliseconds: with TLS there is something to be forgotten from time to time.
HOUR = 3600e3


def supervise(server: Any) -> None:
    """Serves with as many processes as `config["processes"]` says until terminated, then returns.

    Raises what `run()` raises; `RuntimeError` if other threads are running; `SystemExit(3)` if no worker can start;
    `SystemExit(0)` after the next generation has taken over.
    """
    slots = _wanted(server)
    server._adopt_ticket_secret(inherited_secret())
    server._listen(slots)
    try:
        refuse_other_threads()
        listeners = descriptors(server)
        for descriptor in listeners:
            os.set_inheritable(descriptor, False)
        # One that was handed down and that nobody serves would keep its clients waiting.
        if server._slots() > slots:
            _log.warning("%d listeners were handed down: so many workers are started, not %d", server._slots(), slots)
        _first_process.stay_behind(listeners)
        if server.config.get("debug"):
            _debug_token.token()  # that of all workers
        supervisor = Supervisor(server, server._slots())
    except BaseException:
        server._close_listeners()
        raise
    supervisor.run()


def _wanted(server: Any) -> int:
    processes = server.config.get("processes", 1)
    if processes == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Anything else that is no number is refused by the server.
    return processes if isinstance(processes, int) else 1


class Supervisor:
    """The processes of one generation of a server."""

    def __init__(self, server: Any, slots: int) -> None:
        self._server = server
        self._command = Command()
        self._signals = Signals()
        self._poll = select.poll()
        self._workers = Workers(server, slots, self._signals, self._poll, self._patience, self._belongings)
        self._successor: Successor | None = None
        self._heir: int | None = None  # the process that has taken over
        self._reload_again = False
        self._announced = False
        self._speaks_tls = server._speaks_tls()
        self._ending = False
        self._retiring = False
        self._obeyed = 0  # of the terminations that signals have asked for
        self._status = 0
        self._failures: list[BaseException] = []

    def run(self) -> None:
        """Until all workers are gone."""
        self._poll.register(self._signals, select.POLLIN)
        # What exists now is shared with the workers as long as nobody writes to it; a collection would.
        gc.collect()
        gc.freeze()
        try:
            with self._signals.taken_for(self._server):
                while self._has_work():
                    self._turn_safely()
        finally:
            gc.unfreeze()
            self._signals.close()
            self._workers.close()
        if not self._retiring:
            self._server._close_listeners()
        cleanup = self._server.config.get("server_cleanup")
        if cleanup is not None:
            try:
                cleanup()
            except Exception:
                _log.exception("server_cleanup failed")
        if self._failures:
            raise self._failures[0]
        if self._status or self._retiring:
            raise SystemExit(self._status)

    def _has_work(self) -> bool:
        if not self._ending and not self._retiring:
            return True
        return any(True for _ in self._workers) or (self._ending and self._successor is not None)

    def _turn_safely(self) -> None:
        try:
            self._turn()
        except BaseException as error:
            # Of a signal handler of the user, for example: the workers must not be left alone.
            self._failures.append(error)
            if len(self._failures) > 2:
                self._workers.end(signal.SIGKILL, 0)
                raise self._failures[0] from None
            self._end()

    def _turn(self) -> None:
        """Waits for something to happen or to fall due, and does it."""
        self._server._ticket_secret()  # keys of times gone by are forgotten here as well
        self._workers.start_due()
        self._wait()
        self._obey_signals()
        self._workers.reap()
        self._workers.kill_due()
        self._look_after_workers()
        self._look_after_successor()

    def _wait(self) -> None:
        due = [*self._workers.due(), self._successor.deadline if self._successor else None]
        times = [at for at in due if at is not None]
        timeout = max(0.0, min(times) - time.monotonic()) * 1000 + 1 if times else None
        if self._speaks_tls:
            timeout = min(timeout or HOUR, HOUR)
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._signals.fileno():
                self._signals.clear()
            elif self._successor and descriptor == self._successor.descriptor:
                self._poll.unregister(descriptor)
                self._successor.hear()
            else:
                self._workers.hear(descriptor)

    def _obey_signals(self) -> None:
        asked = self._signals
        while self._obeyed < asked.terminations:
            self._obeyed += 1
            self._end()
        if asked.retirements:
            asked.retirements = 0
            self._retire()
        if asked.reloads:
            asked.reloads = 0
            self._reload()

    def _look_after_workers(self) -> None:
        if self._ending or self._retiring:
            return
        if not self._announced and self._workers.are_ready():
            self._announce()
        if self._workers.termination_asked:
            # It means the server and not only the worker whose handler has called it.
            self._end()
        elif self._workers.have_failed():
            _log.error("no worker can start")
            self._status = _worker.FAILED
            self._end()

    def _announce(self) -> None:
        self._announced = True
        processes = "1 process" if len(self._workers) == 1 else f"{len(self._workers)} processes"
        try:
            *urls, last = self._server._listening_on()
            for url in urls:
                print(f"outside is serving on {url}", flush=True)
            print(f"outside is serving on {last} with {processes} (Ctrl+C stops it)", flush=True)
            if self._server.config.get("debug") and is_first():
                _debug_token.announce([*urls, last][0])
        except (OSError, ValueError):
            pass  # a closed standard output does not keep a server from serving
        if not self._command.announce_ready():
            notify("READY=1")

    def _seconds(self, setting: str) -> float:
        return float(self._server.config.get(setting, 30))

    def _patience(self) -> float:
        """Seconds that a worker has to retire."""
        return self._seconds("drain_idle") + self._seconds("termination_timeout") + GRACE

    def _belongings(self) -> list[int]:
        return [*self._command.descriptors(), *([self._successor.descriptor] if self._successor else [])]

    def _end(self) -> None:
        """Ends all workers gracefully; when they have been told already, cuts what they are still at."""
        if self._ending:
            self._workers.cut(GRACE)
            return
        self._ending = True
        if not self._retiring:
            notify("STOPPING=1")
        if self._successor:
            self._successor.give_up("is not wanted any more", GRACE)
        release(descriptors(self._server))
        self._workers.end(signal.SIGTERM, self._seconds("termination_timeout") + GRACE)

    def _retire(self) -> None:
        """The next generation serves: ends the workers of this one as soon as their clients can spare them."""
        if not self._ending and not self._retiring:
            self._retiring = True
            release(descriptors(self._server))
            self._workers.end(signal.SIGUSR2, self._patience())

    def _reload(self) -> None:
        if self._heir is not None:
            os.kill(self._heir, signal.SIGHUP)  # it is a child of this process: its number is still its own
        if self._ending or self._retiring:
            return
        if self._successor:
            _log.info("SIGHUP: a new generation is being started already; another one will follow it")
            self._reload_again = True
            return
        obstacle = self._command.obstacle()
        if obstacle is not None:
            _log.warning("SIGHUP: the program cannot be started again: %s", obstacle)
            return
        _log.info("SIGHUP: a new generation is being started")
        reloading()
        try:
            secret = bytes(self._server._ticket_secret())
            legacies = [(descriptor, legacy) for descriptor, _, legacy in self._server._descriptors()]
            self._successor = self._command.start(legacies, TAKEN, secret)
        except OSError as error:
            _log.error("the new generation cannot be started: %s", error)
            notify("READY=1")
            return
        self._poll.register(self._successor.descriptor, select.POLLIN)

    def _look_after_successor(self) -> None:
        successor = self._successor
        if successor is None:
            return
        fault = successor.fault()
        if fault is None and (self._ending or not successor.is_ready):
            return
        if successor.is_heard:
            self._poll.unregister(successor.descriptor)
        successor.close()
        self._successor = None
        if fault is None:
            _log.info("the new generation (process %d) serves", successor.pid)
            notify(f"MAINPID={successor.pid}", "READY=1")
            _first_process.hand_over(successor.pid)
            self._heir = successor.pid
            self._retire()
        elif not self._ending:
            _log.error("the new generation %s; this one goes on serving", fault)
            notify("READY=1")
        if self._reload_again:
            self._reload_again = False
            self._reload()
