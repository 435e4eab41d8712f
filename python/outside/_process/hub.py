"""The loop of a supervisor, in which the hub of topics moves messages between worker processes.

It has the interface of `select.poll`. Its wait is the engine's: messages run no Python. The hub itself is in the process that
was started; a generation makes the seats of its workers and sends the hub's ends up, through a channel that it is handed.
Without `epoll` there is no hub, and a message reaches the process of its publisher alone.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from typing import Any

from .. import _outside
from . import at_fork

_log = logging.getLogger("outside")

IS_THERE = hasattr(select, "epoll")


class Hub:
    """Waits for descriptors. `is_generation`: whether the hub is in another process, at the other end of `channel`. `server`: one that
    serves in this process, whose shared state is the hub's too."""

    def __init__(self, is_generation: bool, channel: socket.socket | None, server: Any | None) -> None:
        self._loop = _outside.HubLoop(server)
        # The engine waits on the same instance, for the descriptors of both.
        self._epoll = select.epoll.fromfd(os.dup(self._loop.fileno()))
        os.set_inheritable(self._epoll.fileno(), False)
        self._channel = channel
        self._has_hub = not is_generation

    def register(self, source: Any, mask: int) -> None:
        """Waits for this source too: for something to read."""
        self._epoll.register(source, select.EPOLLIN)

    def unregister(self, source: Any) -> None:
        self._epoll.unregister(source)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Waits for this number of milliseconds, or for ever. Returns the descriptors that are ready."""
        ready, complaints = self._loop.wait(timeout)
        for complaint in complaints:
            _log.error("%s", complaint)
        return [(descriptor, select.POLLIN) for descriptor in ready]

    def seat(self) -> Any | None:
        """A seat for a worker that is forked next; `None` if there is no hub for it."""
        if not self._has_hub and self._channel is None:
            return None
        pair = _outside.SeatPair()
        if self._channel is None:
            self._loop.add_seat(pair)
        else:
            socket.send_fds(self._channel, [b"s"], [pair.filenos()[0]])
            pair.close_near()
        return pair

    def open_channel(self) -> Any:
        """The end of a channel for the next generation."""
        return self._loop.open_channel()

    def release(self) -> None:
        """In a child: lets go of everything."""
        self._loop.release()
        self._epoll.close()
        if self._channel is not None:
            self._channel.close()

    close = release


class Poll:
    """The same without a hub, for systems without `epoll`."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.unregister = self._poll.unregister
        self.poll = self._poll.poll

    def seat(self) -> None:
        return None

    def open_channel(self) -> None:
        return None

    def release(self) -> None:
        pass

    close = release


def make(parent: Any | None, server: Any | None) -> Hub | Poll:
    """The loop of a supervisor. `parent`: the process that was started, in a generation; `server`: one that serves in this process."""
    if not IS_THERE:
        return Poll()
    return Hub(parent is not None, None if parent is None else parent.take_hub_channel(), server)


def take_seat(server: Any, pair: Any | None) -> bool:
    """In a worker: its topics go by the hub. `False` if it has no seat."""
    if pair is None:
        return False
    pair.close_near()
    at_fork.pipes.append(pair.filenos()[1])
    _outside._take_seat(server, pair)
    return True


def take_state_seat(server: Any, channel: socket.socket) -> None:
    """In a generation of one process: its shared state is the hub's, through the channel, which is closed here."""
    pair = _outside.SeatPair()
    with channel:
        try:
            socket.send_fds(channel, [b"s"], [pair.filenos()[0]])
        except OSError:
            return  # the process that was started is gone, and this one ends too
    pair.close_near()
    at_fork.pipes.append(pair.filenos()[1])
    _outside._take_state_seat(server, pair)
