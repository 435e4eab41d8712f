"""Process 1 of a container is the parent of every process whose own parent has ended, and has to take their exit statuses.

The kernel gives such orphans to the main thread. Children that the program has started itself are the program's to wait for: those
from before the server began, those of other threads, and those that an object of `subprocess` or `multiprocessing` stands for.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

from .fork import exit_status

# Seconds between two looks of a process that runs handlers, and for which it leaves the status of an ended child alone.
_EVERY = 1.0
_PATIENCE = 5.0


class Orphans:
    """The children of process 1 that are not its own."""

    def __init__(self) -> None:
        self._own = set(_children() or ())
        self._ended_at: dict[int, float] = {}

    def reap(self, known: set[int]) -> None:
        """Takes the statuses of all that have ended: in a process that runs no handlers. `known`: processes of the server, which are
        waited for elsewhere."""
        children = _children()
        if children is None:
            _reap_any(known)
            return
        self._own &= set(children)
        for pid in children:
            if pid not in known and pid not in self._own and _has_ended(pid):
                exit_status(pid)

    def reap_patiently(self) -> None:
        """The same beside handlers: the program has time for children of its own, and those with an object are left to it."""
        now, ended = time.monotonic(), {}
        children = _children() or []
        self._own &= set(children)
        for pid in children:
            if pid in self._own or not _has_ended(pid):
                continue
            since = ended[pid] = self._ended_at.get(pid, now)
            if now - since < _PATIENCE:
                continue
            if _is_awaited(pid):
                self._own.add(pid)
            else:
                exit_status(pid)
        self._ended_at = ended


class Reaper:
    """A thread that reaps beside handlers, until it is ended; in any other process than process 1 it does nothing."""

    def __init__(self) -> None:
        self._end = threading.Event()
        if (found := orphans()) is not None:
            threading.Thread(target=self._run, args=(found,), name="outside-orphans", daemon=True).start()

    def _run(self, found: Orphans) -> None:
        while not self._end.wait(_EVERY):
            found.reap_patiently()

    def end(self) -> None:
        self._end.set()


_found: Orphans | None = None


def orphans() -> Orphans | None:
    """The orphans of this process, from the first call on, if it is process 1."""
    global _found
    if _found is None and os.getpid() == 1:
        _found = Orphans()
    return _found if os.getpid() == 1 else None


def _children() -> list[int] | None:
    """The children of the main thread; `None` if the kernel does not list them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return None


def _has_ended(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


def _is_awaited(pid: int) -> bool:
    """Whether an object of the program stands for this child, and has not asked for its status."""
    modules = [sys.modules.get(name) for name in ("subprocess", "multiprocessing.popen_fork")]
    kinds = tuple(module.Popen for module in modules if module is not None)
    objects = (found for found in gc.get_objects() if issubclass(type(found), kinds))
    return any(found.pid == pid and found.returncode is None for found in objects)


def _reap_any(known: set[int]) -> None:
    """Without the list of the kernel: the children in the order in which they end."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        exit_status(ended.si_pid)
