"""Generations: the program started again as a child of the process that was started, and how the two talk.

The process that was started stays as long as the server does. At a reload it starts the program once more, with its listeners,
the secret of the session tickets (through a pipe, since an environment can be read by others) and a channel. The new process, a
generation, hands the listeners up that it serves on, and says that it is ready; it is told through the channel to retire or to
terminate, and terminates when the channel ends, which the kernel sees to when the process at the other end is gone.
"""

from __future__ import annotations

import builtins
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping

from .._debug import token as _debug_token
from . import at_fork
from .board import BOARD
from .fork import described, exit_status
from .handover import LISTENERS, OF_SOCKET_ACTIVATION, Listeners, Mouth, inherited_descriptor, send, send_listeners, start

# Seconds for a new generation to be ready, and then for ending it if it is not.
READY_WITHIN = 60.0
GRACE = 5.0

_CHANNEL = "OUTSIDE_READY"
_TICKETS = "OUTSIDE_TICKETS"
# As they were when the program was started, if this was imported before they were changed.
_DIRECTORY = os.getcwd()
_ENVIRONMENT = dict(os.environ)
# The channel through which a generation sends seats of its workers to the hub.
HUB = "OUTSIDE_HUB"
_OURS = (*OF_SOCKET_ACTIVATION, _CHANNEL, _TICKETS, HUB, BOARD, LISTENERS, _debug_token.NAME)
# The words for a generation.
RETIRE, TERMINATE = b"r", b"t"


def is_first() -> bool:
    """Whether this process was started by no other one of the same server."""
    return LISTENERS not in _ENVIRONMENT


def forget_environment() -> None:
    """Removes the variables from the environment that are for this process alone. Its listeners have been taken over before."""
    for name in _OURS:
        os.environ.pop(name, None)


def obstacle() -> str | None:
    """Why this program cannot be started again; `None` if it can."""
    if hasattr(builtins, "get_ipython") or "ipykernel" in sys.modules:
        return "the program is a notebook"
    if hasattr(sys, "ps1"):
        return "the program was typed at Python's prompt"
    kind, program = _program(sys.orig_argv[1:])
    if kind == "code":
        return "the program was given with -c and stands in no file"
    if kind == "input":
        return "the program was read from standard input and stands in no file"
    if kind == "file" and not os.path.exists(os.path.join(_DIRECTORY, program)):
        return f"there is no {program} in {_DIRECTORY} any more"
    if not sys.executable:
        return "the path of the Python that runs it is not known"
    return None


def start_again(listeners: Listeners, secret: bytes, more: Mapping[str, int]) -> Generation:
    """Starts this program again as it was started, with these listeners, the secret of the session tickets, and `more`
    descriptors by their names."""
    environment = {name: value for name, value in _ENVIRONMENT.items() if name not in _OURS}
    environment.update(_debug_token.for_next_generation())
    near, far = socket.socketpair()
    secrets, writing = os.pipe()
    try:
        # The pipe holds it until it is read.
        os.write(writing, secret)
        command = [sys.executable, *sys.orig_argv[1:]]
        pid = start(command, _DIRECTORY, environment, listeners, {_CHANNEL: far.fileno(), _TICKETS: secrets, **more})
    except BaseException:
        near.close()
        raise
    finally:
        far.close()
        os.close(secrets)
        os.close(writing)
    return Generation(pid, near)


class Generation:
    """A generation, as the process sees it that was started."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.listeners = Listeners()
        self.block: int | None = None  # its place on the board
        self.ready_since: float | None = None
        self.deadline: float | None = time.monotonic() + READY_WITHIN
        self._channel = channel
        self._mouth = Mouth(channel)
        self._handed: list[tuple[int, str]] = []
        self._fault: str | None = None
        self._times_told = 0
        at_fork.pipes.append(channel.fileno())

    def fileno(self) -> int:
        """The channel, readable when the generation has said something."""
        return self._channel.fileno()

    def hear(self) -> bool:
        """Reads its messages; `False` if no more will come."""
        for message, handles in self._mouth.messages():
            self._handed += handles
            if message.get("ready") and self._fault is None:
                self.listeners, self._handed = Listeners(self._handed), []
                self.ready_since = time.monotonic()
                self.deadline = None
        if self._mouth.has_ended and self.ready_since is None and self.deadline is not None:
            self.deadline = min(self.deadline, time.monotonic() + GRACE)
        return not self._mouth.has_ended

    def retire(self) -> None:
        """Another one serves: it ends as soon as its clients can spare it."""
        self._tell(RETIRE)

    def terminate(self) -> None:
        """Has it end in order; a second time, at once."""
        self._tell(TERMINATE)

    def _tell(self, word: bytes) -> None:
        try:
            self._channel.send(word)
        except OSError:
            # Its server has ended, and the program goes on with something else.
            os.kill(self.pid, signal.SIGTERM)

    def give_up(self, why: str, patience: float) -> None:
        """Ends one that is not ready: in order first; the second time, and after this many seconds, at once."""
        self._fault = self._fault or why
        self.deadline = time.monotonic() + patience
        os.kill(self.pid, signal.SIGKILL if self._times_told else signal.SIGTERM)
        self._times_told += 1

    def status(self) -> int | None:
        """The exit status once it has ended. One that is not ready in time is given up."""
        status = exit_status(self.pid)
        if status is None and self.deadline is not None and time.monotonic() >= self.deadline:
            self.give_up(f"was not ready within {READY_WITHIN:.0f} s", GRACE)
        return status

    def fault(self, status: int) -> str:
        """Why it will never be ready, in words."""
        return self._fault or f"{described(status)} before it was ready"

    def close(self) -> None:
        at_fork.pipes.remove(self._channel.fileno())
        self._channel.close()
        Listeners(self._handed).close()


class Parent:
    """The process that was started, as a generation sees it."""

    def __init__(self, channel: socket.socket, hub: socket.socket | None) -> None:
        self._pid = os.getppid()
        self._channel = channel
        self._channel.setblocking(True)
        self._hub = hub

    @classmethod
    def inherited(cls) -> Parent | None:
        """`None` in the process that was started itself."""
        descriptor = inherited_descriptor(_CHANNEL)
        hub = inherited_descriptor(HUB)
        if descriptor is None:
            return None
        return cls(socket.socket(fileno=descriptor), None if hub is None else socket.socket(fileno=hub))

    def take_hub_channel(self) -> socket.socket | None:
        """The channel for seats at the hub; the caller closes it."""
        channel, self._hub = self._hub, None
        return channel

    def fileno(self) -> int:
        """The channel, readable when there is something to `hear`."""
        return self._channel.fileno()

    def announce(self, listeners: Listeners) -> None:
        """Says that this generation serves on these listeners."""
        send_listeners(self._channel, listeners)
        send(self._channel, {"ready": True})

    def hear(self) -> bytes:
        """Waits for words: any number of `RETIRE` and `TERMINATE`, or nothing if that process is gone."""
        try:
            return self._channel.recv(64)
        except OSError:
            return b""

    def pass_up(self, signum: int) -> None:
        """A signal that is for the process that was started."""
        try:
            is_gone = not self._channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            is_gone = False
        # Otherwise the parent is a process that has nothing to do with this server.
        if not is_gone and os.getppid() == self._pid:
            os.kill(self._pid, signum)

    def close(self) -> None:
        self._channel.close()
        if self._hub is not None:
            self._hub.close()


def inherited_secret() -> bytes:
    """The secret of the session tickets, if this is a generation."""
    descriptor = inherited_descriptor(_TICKETS)
    if descriptor is None:
        return b""
    with open(descriptor, "rb") as secrets:
        return secrets.read(4096)


def _program(arguments: list[str]) -> tuple[str, str]:
    """The program of Python's command line: `("file", path)`, `("module", name)`, `("code", …)` or `("input", "")`."""
    rest: Iterator[str] = iter(arguments)
    for argument in rest:
        if argument == "-":
            break
        if not argument.startswith("-"):
            return "file", argument
        if argument.startswith("--"):
            if argument == "--check-hash-based-pycs":
                next(rest, None)
            continue
        for place, letter in enumerate(argument[1:], 2):
            if letter in "cmWX":
                value = argument[place:] or next(rest, "")
                if letter in "cm":
                    return "code" if letter == "c" else "module", value
                break
    return "input", ""
