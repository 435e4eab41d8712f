"""The first process of a server with several: keeps its workers alive, starts the next generation, ends them all.

It binds the listeners before any thread exists and keeps them, so that a worker that dies loses no connection that waits to
be accepted: its replacement finds it. It never touches HTTP and never runs a handler. Between events it sleeps in `poll`.
`_worker.py` is what the children do, `_generation.py` is how the program is started again.
"""

import gc
import logging
import os
import select
import signal
import time
from typing import Any, NoReturn

from . import _first_process, _worker
from ._fork import described, exit_status, fork, refuse_other_threads, release
from ._generation import Command, Successor
from ._notify import notify, reloading
from ._signals import TAKEN, Signals
from ._worker import Worker

_log = logging.getLogger("outside")

# A worker that served for less than this died young: what killed it will probably kill the next one too.
YOUNG = 0.5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# Beyond the time that a worker has for its requests, for its threads and for `on_worker_stop`; then it is killed.
GRACE = 5.0


def supervise(server: Any) -> None:
    """Serves with as many processes as `config["processes"]` says until terminated, then returns.

    Raises what `run()` raises; `RuntimeError` if other threads are running; `SystemExit(3)` if no worker can start;
    `SystemExit(0)` after the next generation has taken over.
    """
    slots = _wanted(server)
    server._listen(slots)
    try:
        refuse_other_threads()
        listeners = server._listener_fds()
        for descriptor in listeners:
            os.set_inheritable(descriptor, False)
        # One that was handed down and that nobody serves would keep its clients waiting.
        if len(listeners) > slots:
            _log.warning("%d listeners were handed down: so many workers are started, not %d", len(listeners), slots)
    except BaseException:
        server._close_listeners()
        raise
    _first_process.stay_behind(listeners)
    Supervisor(server, len(listeners)).run()


def _wanted(server: Any) -> int:
    processes = server.config.get("processes", 1)
    if processes == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Anything else that is no number is refused by the server.
    return processes if isinstance(processes, int) else 1


class _Slot:
    """A place for a worker: its listener stays, workers come and go."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: Worker | None = None
        self.start_at: float | None = 0.0
        self.young_deaths = 0

    def pause_after(self, worker: Worker) -> float:
        """Seconds until the next one: none at first, then more and more while they die young."""
        lived = 0.0 if worker.ready_since is None else time.monotonic() - worker.ready_since
        self.young_deaths = self.young_deaths + 1 if lived < YOUNG else 0
        if self.young_deaths < 2:
            return 0.0
        return min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(self.young_deaths - 2, 16))


class Supervisor:
    """The processes of one generation of a server."""

    def __init__(self, server: Any, slots: int) -> None:
        self._server = server
        self._slots = [_Slot(number) for number in range(slots)]
        self._reports: dict[int, Worker] = {}
        self._successor: Successor | None = None
        self._heir: int | None = None  # the process that has taken over
        self._reload_again = False
        self._command = Command()
        self._signals = Signals()
        self._poll = select.poll()
        # The kernel closes the second end when this process is gone, however that came about; then the workers end too.
        self._lifeline, self._alive = os.pipe()
        self._served = False  # has any worker ever been ready?
        self._announced = False  # have all been?
        self._ending = False
        self._cutting = False
        self._retiring = False
        self._kill_at: float | None = None
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
            os.close(self._lifeline)
            os.close(self._alive)
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
        return any(slot.worker for slot in self._slots) or (self._ending and self._successor is not None)

    def _turn_safely(self) -> None:
        try:
            self._turn()
        except BaseException as error:
            # Of a signal handler of the user, for example: the workers must not be left alone.
            self._failures.append(error)
            if len(self._failures) > 2:
                self._tell_workers(signal.SIGKILL)
                raise self._failures[0] from None
            self._end()

    def _turn(self) -> None:
        """Waits for something to happen or to fall due, and does it."""
        self._start_due()
        self._wait()
        self._obey_signals()
        self._reap()
        self._look_after_successor()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = None
            self._kill()

    def _wait(self) -> None:
        due = [slot.start_at for slot in self._slots]
        due += [self._kill_at, self._successor.deadline if self._successor else None]
        times = [at for at in due if at is not None]
        timeout = max(0.0, min(times) - time.monotonic()) * 1000 + 1 if times else None
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._signals.fileno():
                self._signals.clear()
            elif descriptor in self._reports:
                self._hear(self._reports[descriptor])
            elif self._successor and descriptor == self._successor.descriptor:
                self._poll.unregister(descriptor)
                self._successor.hear()

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

    # workers

    def _start_due(self) -> None:
        for slot in self._slots:
            if slot.start_at is not None and slot.start_at <= time.monotonic():
                self._start(slot)

    def _start(self, slot: _Slot) -> None:
        hearing, reporting = os.pipe()
        # A process that a worker forked may hold the other end for longer than the worker lives.
        os.set_blocking(hearing, False)
        try:
            pid, mask = fork(TAKEN)
            if pid == 0:
                self._be_worker(slot, hearing, reporting, mask)
        except OSError as error:
            _log.error("worker %d cannot be started: %s", slot.number, error)
            os.close(hearing)
            slot.start_at = time.monotonic() + LONGEST_PAUSE
            return
        finally:
            os.close(reporting)
        slot.start_at = None
        slot.worker = self._reports[hearing] = Worker(pid, hearing)
        self._poll.register(hearing, select.POLLIN)

    def _be_worker(self, slot: _Slot, hearing: int, reporting: int, mask: set[int]) -> NoReturn:
        """In the child: lets go of what is the supervisor's, and works."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, self._signals.before[signal.SIGCHLD])
            self._signals.leave(self._server)
            self._signals.close()
            successor = [self._successor.descriptor] if self._successor else []
            for descriptor in (self._alive, hearing, *self._reports, *self._command.descriptors(), *successor):
                os.close(descriptor)
            _worker.work(self._server, slot.number, reporting, self._lifeline, mask)
        except BaseException:
            _log.exception("worker %d failed", slot.number)
        finally:
            os._exit(_worker.FAILED)

    def _hear(self, worker: Worker) -> None:
        try:
            words = os.read(worker.report, 64)
        except BlockingIOError:
            return
        if not words:
            self._forget(worker)
        if _worker.READY in words:
            worker.ready_since = time.monotonic()
            self._served = True
            if not self._announced and all(slot.worker and slot.worker.ready_since for slot in self._slots):
                self._announce()
        if _worker.ENDING in words:
            worker.is_ending = True
            if self._cutting:
                os.kill(worker.pid, signal.SIGTERM)
        if _worker.TERMINATED in words and not self._ending:
            # A handler has called `server.terminate()`, which means the server and not only its own worker.
            self._end()

    def _forget(self, worker: Worker) -> None:
        if self._reports.pop(worker.report, None):
            self._poll.unregister(worker.report)
            os.close(worker.report)

    def _announce(self) -> None:
        self._announced = True
        processes = "1 process" if len(self._slots) == 1 else f"{len(self._slots)} processes"
        try:
            print(f"outside is serving on {self._server._listening_on()} with {processes} (Ctrl+C stops it)", flush=True)
        except (OSError, ValueError):
            pass  # a closed standard output does not keep a server from serving
        if not self._command.announce_ready():
            notify("READY=1")

    def _reap(self) -> None:
        for slot in self._slots:
            worker = slot.worker
            status = exit_status(worker.pid) if worker else None
            if worker is None or status is None:
                continue
            if worker.report in self._reports:
                self._hear(worker)  # its last words
                self._forget(worker)
            slot.worker = None
            how = described(status)
            if self._ending or self._retiring:
                if status != 0:
                    _log.warning("worker %d (process %d) %s", slot.number, worker.pid, how)
                continue
            pause = slot.pause_after(worker)
            if not self._served and all(slot.young_deaths for slot in self._slots):
                _log.error("no worker can start; the last one %s", how)
                self._status = _worker.FAILED
                self._end()
                continue
            slot.start_at = time.monotonic() + pause
            when = f"in {pause:.1f} s" if pause else "at once"
            _log.warning("worker %d (process %d) %s; it is replaced %s", slot.number, worker.pid, how, when)

    def _tell_workers(self, signum: int) -> None:
        for slot in self._slots:
            slot.start_at = None
            if slot.worker:
                os.kill(slot.worker.pid, signum)

    def _kill(self) -> None:
        for slot in self._slots:
            if slot.worker:
                _log.error("worker %d (process %d) had not ended in time and is killed", slot.number, slot.worker.pid)
        self._tell_workers(signal.SIGKILL)
        if self._ending and self._successor:
            self._successor.kill()

    # ends and reloads

    def _end(self) -> None:
        """Ends all workers gracefully; when they have been told already, cuts what they are still at."""
        if self._ending:
            self._cut()
            return
        self._ending = True
        if not self._retiring:
            notify("STOPPING=1")
        if self._successor:
            self._successor.terminate()
        release(self._server._listener_fds())
        self._kill_within(self._seconds("termination_timeout") + GRACE)
        self._tell_workers(signal.SIGTERM)

    def _cut(self) -> None:
        if not self._cutting:
            self._cutting = True
            self._kill_within(GRACE)
            # Two signals at once would be one. Who has not heard the first one yet gets the second one when it has.
            for worker in self._reports.values():
                if worker.is_ending:
                    os.kill(worker.pid, signal.SIGTERM)

    def _kill_within(self, seconds: float) -> None:
        kill_at = time.monotonic() + seconds
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)

    def _retire(self) -> None:
        """The next generation serves: ends the workers of this one as soon as their clients can spare them."""
        if self._ending or self._retiring:
            return
        self._retiring = True
        self._kill_within(self._seconds("drain_idle") + self._seconds("termination_timeout") + GRACE)
        release(self._server._listener_fds())
        self._tell_workers(signal.SIGUSR2)

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
            self._successor = self._command.start(self._server._listener_fds(), TAKEN)
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
        if fault is None and not (successor.is_ready and not self._ending):
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

    def _seconds(self, setting: str) -> float:
        return float(self._server.config.get(setting, 30))
