"""The workers of a supervisor: a slot for each, with a listener that stays while workers come and go.

Starts workers that are due, hears them, takes note of their ends, and passes signals on. The supervisor decides when to end.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NoReturn

from . import worker as _worker
from .board import board_of
from .fork import described, exit_status, fork
from .hub import Hub, Poll
from .signals import TAKEN, Signals

_log = logging.getLogger("outside")

# A worker that served for less than this died young: the next one will probably die as it did.
YOUNG = 0.5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Event(Enum):
    """News for the supervisor, each told once."""

    ALL_SERVE = "each slot has a worker that serves"
    NONE_STARTS = "no worker has ever served, though each slot has tried"
    TERMINATION_ASKED = "a handler has called `server.terminate()`"


class Worker:
    """A worker process, as seen from outside."""

    def __init__(self, slot: int, pid: int, report: int, region: int | None) -> None:
        self.slot = slot
        self.region = region  # its place on the board
        self.pid = pid
        self.report = report
        self.ready_since: float | None = None
        self.is_ending = False  # it has heard SIGTERM
        self.is_relieved = True  # `False` while it waits for the one that takes its place
        self.kill_at: float | None = None

    def tell(self, signum: int) -> None:
        """It was not waited for yet, so the number is still its own."""
        os.kill(self.pid, signum)

    def __str__(self) -> str:
        return f"worker {self.slot} (process {self.pid})"


class Slot:
    """A place for a worker."""

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


class Workers:
    """All of them. `patience`: seconds that one which is replaced has to end; `belongings`: descriptors that a child has to
    close."""

    def __init__(
        self,
        server: Any,
        count: int,
        signals: Signals,
        poll: Hub | Poll,
        patience: Callable[[], float],
        belongings: Callable[[], list[int]],
    ) -> None:
        self._server = server
        self._signals = signals
        self._poll = poll
        self._patience = patience
        self._belongings = belongings
        self._board = board_of(server)
        self._slots = [Slot(number) for number in range(count)]
        # Have given their slot to another one, and finish their requests.
        self._outgoing: list[Worker] = []
        # Are to be replaced, and why, when the one that is being replaced now has a successor.
        self._worn: dict[Worker, str] = {}
        self._reports: dict[int, Worker] = {}
        self._replacing = True
        self._cutting = False
        self._served = False  # whether any has ever been ready
        self._told: set[Event] = set()
        self._termination_asked = False  # whether a handler has called `server.terminate()`
        # The kernel closes the second end when this process is gone, however that came about; then the workers end too.
        self._lifeline, self._alive = os.pipe()

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Worker]:
        yield from [slot.worker for slot in self._slots if slot.worker]
        yield from list(self._outgoing)

    def are_gone(self) -> bool:
        """Whether none is left."""
        return not any(True for _ in self)

    def step(self, now: float) -> list[Event]:
        """Does everything that is due: starts workers, takes note of ends, kills those that are late. The events since the last
        call."""
        self._start_due(now)
        self._reap()
        self._recycle_next()
        self._kill_due(now)
        holds = {
            Event.ALL_SERVE: all(slot.worker and slot.worker.ready_since for slot in self._slots),
            Event.NONE_STARTS: not self._served and all(slot.young_deaths for slot in self._slots),
            Event.TERMINATION_ASKED: self._termination_asked,
        }
        new = [event for event, is_so in holds.items() if is_so and event not in self._told]
        self._told.update(new)
        return new

    def due(self) -> list[float | None]:
        """The moments when there is something to do."""
        return [slot.start_at for slot in self._slots] + [worker.kill_at for worker in self]

    def close(self) -> None:
        os.close(self._lifeline)
        os.close(self._alive)

    def _start_due(self, now: float) -> None:
        for slot in self._slots:
            if slot.start_at is not None and slot.start_at <= now:
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        hearing, reporting = os.pipe()
        # A process that a worker forked may hold the other end for longer than the worker lives.
        os.set_blocking(hearing, False)
        seat, region = None, self._board.reserve()
        try:
            seat = self._poll.seat()
            pid, mask = fork(TAKEN)
            if pid == 0:
                self._be_worker(slot.number, hearing, reporting, seat, region, mask)
        except OSError as error:
            self._board.tell(logging.ERROR, f"worker {slot.number} cannot be started: {error}")
            self._board.give_back(region)
            os.close(hearing)
            slot.start_at = time.monotonic() + LONGEST_PAUSE
            return
        finally:
            os.close(reporting)
            if seat is not None:
                seat.close()
        slot.start_at = None
        slot.worker = self._reports[hearing] = Worker(slot.number, pid, hearing, region)
        self._poll.register(hearing, select.POLLIN)

    def _be_worker(self, slot: int, hearing: int, reporting: int, seat: Any, region: int | None, mask: set[int]) -> NoReturn:
        """In the child: lets go of the supervisor's descriptors, and works."""
        try:
            self._signals.forget_in_child(self._server)
            for descriptor in (self._alive, hearing, *self._reports, *self._belongings()):
                os.close(descriptor)
            self._poll.release()
            self._board.begin(region, slot)
            _worker.work(self._server, slot, reporting, self._lifeline, seat, mask)
        except BaseException:
            _log.exception("worker %d failed", slot)
        finally:
            os._exit(_worker.FAILED)

    def hear(self, descriptor: int) -> None:
        """Reads the words of a worker, if the descriptor is one of theirs."""
        worker = self._reports.get(descriptor)
        if worker is None:
            return
        try:
            words = os.read(descriptor, 64)
        except BlockingIOError:
            return
        if not words:
            self._forget(worker)
        if _worker.READY in words:
            worker.ready_since = time.monotonic()
            self._served = True
            self._relieve(worker)
        if _worker.ENDING in words:
            worker.is_ending = True
            if self._cutting:
                worker.tell(signal.SIGTERM)
        if _worker.STUCK in words:
            self._replace(worker)
        if _worker.RECYCLED in words:
            self._recycle(worker, "has had max_requests requests")
        if _worker.GROWN in words:
            self._recycle(worker, "has more memory than max_worker_memory_mb")
        if _worker.TERMINATED in words:
            self._termination_asked = True

    def _forget(self, worker: Worker) -> None:
        # Another worker may have the same descriptor by now.
        if self._reports.get(worker.report) is worker:
            del self._reports[worker.report]
            self._poll.unregister(worker.report)
            os.close(worker.report)

    def _replace(self, worker: Worker) -> None:
        """Another one takes its slot at once; this one may finish its other requests."""
        slot = self._slots[worker.slot]
        if slot.worker is worker and self._replacing:
            self._board.tell(logging.WARNING, f"{worker} has a handler that does not end; it is replaced")
            worker.kill_at = time.monotonic() + self._patience()
            self._outgoing.append(worker)
            slot.worker, slot.start_at = None, time.monotonic()

    def _recycle(self, worker: Worker, why: str) -> None:
        """Another one is started in its slot, beside it; this one serves until the other one does. If several are to be replaced,
        it is one after another: all at once would take twice the memory."""
        slot = self._slots[worker.slot]
        if slot.worker is not worker or not self._replacing:
            return
        if any(not other.is_relieved for other in self._outgoing):
            self._worn.setdefault(worker, why)
            return
        self._board.tell(logging.INFO, f"{worker} {why}; another one takes its place")
        worker.is_relieved = False
        self._outgoing.append(worker)
        slot.worker, slot.start_at = None, time.monotonic()

    def _recycle_next(self) -> None:
        while self._worn and all(other.is_relieved for other in self._outgoing):
            worker = next(iter(self._worn))
            self._recycle(worker, self._worn.pop(worker))

    def _relieve(self, by: Worker) -> None:
        """A worker serves: the one before it in its slot ends what it has begun."""
        for worker in self._outgoing:
            if worker.slot == by.slot and worker is not by and not worker.is_relieved:
                worker.is_relieved = True
                worker.kill_at = time.monotonic() + self._patience()
                worker.tell(signal.SIGUSR2)

    def _reap(self) -> None:
        """Takes note of those that have ended, and has them replaced."""
        for worker in self:
            status = exit_status(worker.pid)
            if status is None:
                continue
            self.hear(worker.report)  # its last words
            self._forget(worker)
            how = described(status)
            self._board.note_end(worker.region, status)
            if worker in self._outgoing:
                self._outgoing.remove(worker)
                continue
            slot = self._slots[worker.slot]
            slot.worker = None
            if self._replacing:
                pause = slot.pause_after(worker)
                slot.start_at = time.monotonic() + pause
                when = f"in {pause:.1f} s" if pause else "at once"
                self._board.tell(logging.WARNING, f"{worker} {how}; it is replaced {when}")
            elif status != 0:
                self._board.tell(logging.WARNING, f"{worker} {how}")

    def _kill_due(self, now: float) -> None:
        for worker in self:
            if worker.kill_at is not None and now >= worker.kill_at:
                self._board.tell(logging.ERROR, f"{worker} had not ended in time and is killed")
                worker.kill_at = None
                worker.tell(signal.SIGKILL)

    def end(self, signum: int, patience: float) -> None:
        """Passes the signal on; a worker that dies is not replaced any more, one that lives for longer than this is killed."""
        self._replacing = False
        for slot in self._slots:
            slot.start_at = None
        for worker in self:
            worker.tell(signum)
        self._limit(patience)

    def cut(self, patience: float) -> None:
        """Tells those that are ending already to cut their requests."""
        if not self._cutting:
            self._cutting = True
            # Two signals at once would be one. A worker that has not heard the first one yet gets the second one when it has.
            for worker in self:
                if worker.is_ending:
                    worker.tell(signal.SIGTERM)
            self._limit(patience)

    def _limit(self, patience: float) -> None:
        at = time.monotonic() + patience
        for worker in self:
            worker.kill_at = at if worker.kill_at is None else min(worker.kill_at, at)
