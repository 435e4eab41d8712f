"""Generations: how a program is started again with its listeners in hand, and how it says that it serves.

The listeners are handed on by the protocol of systemd's socket activation (LISTEN_PID, LISTEN_FDS, descriptors from 3 on);
OUTSIDE_LISTENERS says for which place each was bound, since the next generation may listen elsewhere, or in another order.
OUTSIDE_READY names the process meant and the descriptor of a pipe: a byte in it says that every worker serves. OUTSIDE_TICKETS
names a pipe out of which the secret of the session tickets comes: an environment can be read by others.
"""

import builtins
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn

from .._debug import token as _debug_token
from . import first_process as _first_process
from .fork import described, exit_status, fork

# Seconds for a new generation to serve, and then for ending it if it does not.
READY_WITHIN = 60.0
GRACE = 5.0

_READY = "OUTSIDE_READY"
_TICKETS = "OUTSIDE_TICKETS"
_FIRST_DESCRIPTOR = 3
# As they were when the program was started, if this was imported before they were changed.
_DIRECTORY = os.getcwd()
_ENVIRONMENT = dict(os.environ)
# What the next generation has to know of each listener: a JSON list.
LISTENERS = "OUTSIDE_LISTENERS"
_OURS = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", _READY, _TICKETS, LISTENERS, _first_process.NAME, _debug_token.NAME)


def is_first() -> bool:
    """Has no process of this program listened before it?"""
    return LISTENERS not in _ENVIRONMENT


class Command:
    """How this program was started, and by whom: made before anything is forked."""

    def __init__(self) -> None:
        self._ready = inherited_descriptor(_READY)
        for name in _OURS:
            os.environ.pop(name, None)

    def announce_ready(self) -> bool:
        """Tells the generation before that this one serves; `False` if there is none."""
        if self._ready is None:
            return False
        try:
            os.write(self._ready, b"r")
        except BrokenPipeError:
            pass  # it has ended meanwhile
        os.close(self._ready)
        self._ready = None
        return True

    def descriptors(self) -> list[int]:
        """What a worker has to close."""
        return [] if self._ready is None else [self._ready]

    def obstacle(self) -> str | None:
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

    def start(self, listeners: Iterable[tuple[int, str]], taken: Iterable[int], secret: bytes) -> "Successor":
        """Starts the program again with these listeners and what it has to know of each, in JSON; `taken` are the signals that
        this process handles, `secret` is that of the session tickets."""
        # Several slots may share a socket: it is handed on once.
        found = ((os.fstat(number), number, legacy) for number, legacy in listeners)
        distinct = {(status.st_dev, status.st_ino): (number, legacy) for status, number, legacy in found}
        hearing, telling = os.pipe()
        try:
            pid, mask = fork(taken)
            if pid == 0:
                self._become(list(distinct.values()), telling, taken, mask, secret)
        except OSError:
            os.close(hearing)
            raise
        finally:
            os.close(telling)
        return Successor(pid, hearing)

    def _become(
        self,
        listeners: list[tuple[int, str]],
        telling: int,
        taken: Iterable[int],
        mask: set[int],
        secret: bytes,
    ) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for signum in taken:
                signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            # A pipe holds it until it is read.
            secrets, writing = os.pipe()
            os.write(writing, secret)
            os.close(writing)
            handed = [*(number for number, _ in listeners), telling, secrets]
            environment = {name: value for name, value in _ENVIRONMENT.items() if name not in _OURS}
            environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(listeners)))
            environment[_READY] = f"{os.getpid()}:{_FIRST_DESCRIPTOR + len(listeners)}"
            environment[_TICKETS] = f"{os.getpid()}:{_FIRST_DESCRIPTOR + len(listeners) + 1}"
            environment.update(_debug_token.for_next_generation())
            environment[LISTENERS] = f"[{','.join(legacy for _, legacy in listeners)}]"
            if _first_process.descriptor is not None:
                handed.append(_first_process.descriptor)
                environment[_first_process.NAME] = f"{os.getpid()}:{_FIRST_DESCRIPTOR + len(listeners) + 2}"
            # Out of the way first: one of them may have the number that another one gets.
            above = _FIRST_DESCRIPTOR + len(handed)
            moved = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above) for number in handed]
            for target, number in enumerate(moved, _FIRST_DESCRIPTOR):
                os.dup2(number, target)
            os.chdir(_DIRECTORY)
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
        except BaseException as error:
            os.write(telling, f"cannot be started: {error}".encode())
        finally:
            os._exit(127)


class Successor:
    """A new generation that is not ready yet, as the one before sees it."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.descriptor = descriptor
        self.is_ready = False
        self.is_heard = True  # may more come from the descriptor?
        self.deadline = time.monotonic() + READY_WITHIN
        self._fault: str | None = None
        self._told = False

    def hear(self) -> None:
        """Reads what it says."""
        said = os.read(self.descriptor, 4096)
        self.is_heard = False
        if said == b"r":
            self.is_ready = True
        else:
            self._fault = self._fault or said.decode(errors="replace") or None
            self.deadline = min(self.deadline, time.monotonic() + GRACE)

    def fault(self) -> str | None:
        """Why it will not take over, once it is gone; `None` as long as it may. Ends it if it takes too long."""
        status = exit_status(self.pid)
        if status is not None:
            return self._fault or f"{described(status)} before it was ready"
        if not self.is_ready and time.monotonic() >= self.deadline:
            self.give_up(f"was not ready within {READY_WITHIN:.0f} s", GRACE)
        return None

    def give_up(self, why: str, patience: float) -> None:
        """Ends it gracefully; the second time, and so when this many seconds were not enough, at once."""
        self._fault = self._fault or why
        self.is_ready = False
        self.deadline = time.monotonic() + patience
        os.kill(self.pid, signal.SIGKILL if self._told else signal.SIGTERM)
        self._told = True

    def close(self) -> None:
        os.close(self.descriptor)


def inherited_descriptor(name: str) -> int | None:
    """The descriptor that an environment variable hands to this very process; the variable is removed."""
    pid, _, number = os.environ.pop(name, "").partition(":")
    if pid != str(os.getpid()) or not number.isdigit():
        return None
    try:
        os.set_inheritable(int(number), False)
    except OSError:
        return None
    return int(number)


def inherited_secret() -> bytes:
    """The secret of the session tickets of the generation before; nothing if there is none."""
    descriptor = inherited_descriptor(_TICKETS)
    if descriptor is None:
        return b""
    with open(descriptor, "rb") as secrets:
        return secrets.read(4096)


def _program(arguments: list[str]) -> tuple[str, str]:
    """What Python's command line runs: `("file", path)`, `("module", name)`, `("code", …)` or `("input", "")`."""
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
