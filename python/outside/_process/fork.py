"""Child processes: the conditions of a fork, the fork itself, and how a child ended."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from . import at_fork as _at_fork

_TASKS = "/proc/self/task"


def refuse_other_threads() -> None:
    """Raises a `RuntimeError` that names the threads beside this one: a child would lack them and find their locks held."""
    # A thread that was joined a moment ago may not quite have left the kernel's list.
    end = time.monotonic() + 0.5
    while names := _other_threads():
        if time.monotonic() >= end or any(thread.name in names for thread in threading.enumerate()):
            raise RuntimeError(
                "several processes are made by forking, which no other thread survives; running: "
                + ", ".join(names)
                + '. Start threads in config["on_worker_start"], or use processes=1.'
            )
        time.sleep(0.005)


def _other_threads() -> list[str]:
    known = {thread.native_id: thread for thread in threading.enumerate() if thread is not threading.current_thread()}
    if not os.path.isdir(_TASKS):
        return sorted(thread.name for thread in known.values())
    others = {int(task) for task in os.listdir(_TASKS)} - {threading.get_native_id()}
    names = [known[number].name if number in known else _command_name(number) for number in others]
    return sorted(name for name in names if name is not None)


def _command_name(thread: int) -> str | None:
    """The kernel's name of a thread that Python did not start; `None` if it has ended."""
    try:
        with open(f"{_TASKS}/{thread}/comm") as file:
            return file.read().strip()
    except OSError:
        return None


def flush() -> None:
    """Empties the buffers of standard output and error, which a child would write once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, or none


def fork(blocked: Iterable[int]) -> tuple[int, set[int]]:
    """Forks with these signals blocked in the child, which gets 0 and the mask to set when it is ready for them."""
    flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    pid = 0
    _at_fork.is_own_fork = True
    try:
        pid = os.fork()
    finally:
        _at_fork.is_own_fork = False
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid, before


def exit_status(pid: int) -> int | None:
    """The exit status of a child, negative for a signal; `None` while it lives. It can be asked for once."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # The program has waited for it, in a signal handler perhaps: its status is not known.
        return 0
    return os.waitstatus_to_exitcode(status) if found else None


def described(status: int) -> str:
    """In words: `ended with exit status 3`, `was killed by SIGKILL`."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def descriptors(server: Any) -> list[int]:
    """Those of all listeners of a server."""
    return [descriptor for descriptor, _, _ in server._descriptors()]


def release(listeners: Iterable[int]) -> None:
    """Lets go of sockets whose descriptors belong to the engine: the numbers stay taken, so that it may close them."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        for descriptor in listeners:
            os.dup2(nothing, descriptor, inheritable=False)
    finally:
        os.close(nothing)
