"""Children that a program forks while it serves (`multiprocessing`, `os.fork`), and the things of the server that they must not
take over.

A child has copies of all descriptors, and of Python's signal handlers, but none of the threads behind them: SIGTERM would ask a
server to end that is not there, and connections would stay open as long as the child lives. So a child gets the default
handlers for signals that are still the server's, and none of its descriptors; handlers and descriptors of the program itself
stay. The server's own workers are forked by `fork.py`, which says so here.

Open files of the engine (`crates/outside/src/descriptors`) are no exception: files that are being sent, folders, content that is
still coming in, locks of certificates. Content that has come in belongs to its handler, whose child may go on with it; that of
requests which other threads handle at that time is taken away. Where no plain handler runs on the thread that forks (on the
asyncio loop, in a thread of the program's own), it is not known whose child it is, and such content stays.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from .. import _outside

# A fork of the server's own is being made: the child is a part of it.
is_own_fork = False
# Pipes and channels between this process and the others of its server.
pipes: list[int] = []
# Taken where no other thread can hold a lock of the engine: before the fork.
_descriptors: list[int] = []
_addresses: list[Any] = []
_loop_descriptors: list[int] = []
# Content of requests that are not of the forking thread: its number, device and inode.
_contents: list[tuple[int, int, int]] = []
# The signals that the forking thread lets in again afterwards.
_of_thread = threading.local()

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


def _before() -> None:
    if is_own_fork:
        return
    from .._handlers import loop as _loop

    _descriptors[:], _addresses[:], contents = _outside._belongings(threading.get_ident())
    _contents[:] = [known for descriptor in contents if (known := _identity(descriptor))]
    with _loop.making:
        _loop_descriptors[:] = [*_sockets_of(_loop.current), *_loop.rings] if _loop.current is not None else []
    # A signal that comes to the child before it has handlers of its own has to wait for them.
    _of_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _in_parent() -> None:
    if not is_own_fork:
        signal.pthread_sigmask(signal.SIG_SETMASK, _of_thread.mask)


def _in_child() -> None:
    if is_own_fork:
        return
    try:
        _outside._forked()
        _reset_signals()
        # Their numbers stay taken: the engine's objects, which the child has as well, would close them once more.
        _replace([*_outside._own_descriptors(), *(known[0] for known in _contents if known == _identity(known[0]))])
        _let_go()
    except Exception as error:
        # It cannot be raised: Python goes on with the code after the fork.
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, _of_thread.mask)


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


def leave(error: BaseException | None) -> None:
    """Ends a child that comes back from the handler in which it was forked: there is no server for which it could go on."""
    status = 0 if error is None else 1
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, or none
    os._exit(status)


def end_daemonic_children() -> None:
    """Ends those of `multiprocessing`, as the interpreter does at its end, which a worker process does not come to."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return
    # A worker has a copy of the list of its supervisor, whose children are none of its own.
    children = [child for child in multiprocessing.active_children() if child.daemon and child._parent_pid == os.getpid()]
    for child in children:
        child.terminate()
    for child in children:
        child.join(1)


def _reset_signals() -> None:
    for signum in _SIGNALS:
        if _is_ours(signal.getsignal(signum)):
            signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)
    wakeup = signal.set_wakeup_fd(-1)
    if wakeup != -1 and wakeup not in _descriptors:
        signal.set_wakeup_fd(wakeup)


def _is_ours(handler: Any) -> bool:
    """Whether it is a method of a server, or a function of this package."""
    if isinstance(getattr(handler, "__self__", None), (_outside.OutsideHTTP, _outside.OutsideHTTP_Redirect)):
        return True
    module = getattr(getattr(handler, "__func__", handler), "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] == "outside"


def _let_go() -> None:
    """Closes the descriptors of the engine's threads, which the child does not have: nothing else would ever close them."""
    if not os.path.isdir("/proc/self/fd"):
        _replace(_loop_descriptors)
        _close(_descriptors)
        return
    everything = [int(name) for name in os.listdir("/proc/self/fd")]
    known = {*_descriptors, *pipes}
    ours = {descriptor for descriptor in everything if descriptor in known or _is_at_our_address(descriptor)}
    ours |= _ends_of_pipes(everything)
    for descriptor in everything:
        # An event loop that watches a descriptor of ours is ours, with the descriptor that wakes it.
        watched = _watched_by(descriptor)
        if not ours.isdisjoint(watched):
            ours.add(descriptor)
            ours |= {number for number in watched if _kind(number) == "anon_inode:[eventfd]"}
    _replace(_loop_descriptors)
    _replace(descriptor for descriptor in ours if descriptor in pipes)
    _close(descriptor for descriptor in ours if descriptor not in _loop_descriptors and descriptor not in pipes)


def _is_at_our_address(descriptor: int) -> bool:
    """Whether it is a socket that listens where a server does, or was accepted there."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        return any(_is_at(sock.family, sock.getsockname(), address) for address in _addresses)
    except OSError:
        return False
    finally:
        sock.detach()


def _is_at(family: int, name: Any, address: Any) -> bool:
    if family == socket.AF_UNIX:
        path = name.decode(errors="surrogateescape") if isinstance(name, bytes) else name
        return bool(path) and isinstance(address, str) and address == f"unix:{path}"
    if not isinstance(address, tuple) or not isinstance(name, tuple):
        return False
    ip = str(name[0]).removeprefix("::ffff:")
    return bool(name[1] == address[1]) and (address[0] in ("0.0.0.0", "::") or address[0] == ip)


def _ends_of_pipes(everything: list[int]) -> set[int]:
    # Other handles of the same socket count too, as the other end of the same pipe does.
    known = {_pipe(descriptor) for descriptor in pipes} - {None}
    return {descriptor for descriptor in everything if _pipe(descriptor) in known} if known else set()


def _pipe(descriptor: int) -> tuple[int, int] | None:
    """What tells a pipe or a socket from all others; `None` for anything else."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None  # closed by now
    is_pipe = stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)
    return (status.st_dev, status.st_ino) if is_pipe else None


def _identity(descriptor: int) -> tuple[int, int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None  # closed by now
    return descriptor, status.st_dev, status.st_ino


def _kind(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def _watched_by(descriptor: int) -> set[int]:
    """The descriptors that an epoll instance watches; none for anything else."""
    if _kind(descriptor) != "anon_inode:[eventpoll]":
        return set()
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            return {int(line.split()[1]) for line in file if line.startswith("tfd:")}
    except OSError:
        return set()


def _sockets_of(loop: Any) -> Iterator[int]:
    """Of an event loop of the standard library, whose objects will close them once more: their numbers must stay taken."""
    selector = getattr(loop, "_selector", None)
    for owner in (selector, getattr(loop, "_ssock", None), getattr(loop, "_csock", None)):
        try:
            yield owner.fileno()  # type: ignore[union-attr]
        except (AttributeError, OSError, ValueError):
            pass  # uvloop has others


def _replace(descriptors: Iterable[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        for descriptor in descriptors:
            if descriptor >= 0:
                os.dup2(nothing, descriptor, inheritable=False)
    finally:
        os.close(nothing)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            pass
