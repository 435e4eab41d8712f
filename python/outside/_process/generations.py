"""The generations beneath the process that was started: the one that serves, the one that is starting, those that retire.

Starts them, hears them and takes note of their ends; the supervisor decides on the consequences.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .board import Board
from .generation import GRACE, HUB, Generation, start_again
from .handover import Listeners
from .hub import Hub, Poll

# A generation that served for less than this died young: another one would probably do the same.
YOUNG = 0.5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


@dataclass
class Ready:
    """A generation serves; the one before it was told to retire."""

    generation: Generation


@dataclass
class Failed:
    """A generation has ended without ever being ready."""

    why: str


@dataclass
class Ended:
    """The generation that served has ended by itself; `status` is its exit status, negative for a signal."""

    generation: Generation
    status: int


class Generations:
    """All of them. `listeners` are those that the next one gets; this object closes them."""

    def __init__(self, listeners: Listeners, poll: Hub | Poll, board: Board) -> None:
        self.listeners = listeners
        self.starting: Generation | None = None
        self.serving: Generation | None = None
        self._retiring: list[Generation] = []
        self._poll = poll
        self._board = board
        self._channels: dict[int, Generation] = {}
        self._young_deaths = 0

    def __iter__(self) -> Iterator[Generation]:
        yield from [generation for generation in (self.starting, self.serving) if generation is not None]
        yield from list(self._retiring)

    def descriptors(self) -> list[int]:
        """The descriptors that a worker has to close."""
        return [*self.listeners.descriptors(), *(generation.fileno() for generation in self)]

    def due(self) -> float | None:
        """The moment when there is something to do."""
        return self.starting.deadline if self.starting is not None else None

    def start(self, secret: bytes) -> None:
        """Starts another one; `OSError` if the system cannot."""
        channel = self._poll.open_channel()
        block, more = self._board.begin_generation()
        if channel is not None:
            more[HUB] = channel.fileno()
        try:
            self.starting = start_again(self.listeners, secret, more)
            self.starting.block = block
        finally:
            if channel is not None:
                channel.close()
        self._channels[self.starting.fileno()] = self.starting
        self._poll.register(self.starting.fileno(), select.POLLIN)

    def hear(self, descriptor: int) -> bool:
        """Reads the messages of a generation, if the descriptor is one of theirs."""
        generation = self._channels.get(descriptor)
        if generation is None:
            return False
        if not generation.hear():
            self._forget(generation)
        return True

    def _forget(self, generation: Generation) -> None:
        if self._channels.pop(generation.fileno(), None):
            self._poll.unregister(generation.fileno())

    def step(self) -> list[Ready | Failed | Ended]:
        """The events since the last call."""
        events: list[Ready | Failed | Ended] = []
        for generation in self:
            if generation is self.starting and generation.ready_since is not None:
                self._take_over(generation)
                events.append(Ready(generation))
            status = generation.status()
            if status is None:
                continue
            self._forget(generation)
            self._board.note_generation_end(generation.block)
            if generation is self.starting:
                self.starting = None
                self._young_deaths += 1
                events.append(Failed(generation.fault(status)))
            elif generation is self.serving:
                self.serving = None
                self._young_deaths = self._young_deaths + 1 if self._died_young(generation) else 0
                events.append(Ended(generation, status))
            else:
                self._retiring.remove(generation)
            generation.close()
        return events

    def _take_over(self, generation: Generation) -> None:
        before, self.listeners = self.listeners, generation.listeners
        before.close()
        before.remove_files(but=self.listeners)
        if self.serving is not None:
            self.serving.retire()
            self._retiring.append(self.serving)
        self.starting, self.serving = None, generation

    def _died_young(self, generation: Generation) -> bool:
        return generation.ready_since is None or time.monotonic() - generation.ready_since < YOUNG

    def pause(self) -> float:
        """Seconds until another one is started in place of one that has died: none at first, then ever more."""
        return 0.0 if self._young_deaths < 2 else min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(self._young_deaths - 2, 16))

    def terminate(self) -> None:
        """Ends all of them in order; a second time, at once."""
        if self.starting is not None:
            self.starting.give_up("is not wanted any more", GRACE)
        for generation in self:
            if generation is not self.starting:
                generation.terminate()
