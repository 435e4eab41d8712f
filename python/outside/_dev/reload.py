"""`outside run --reload`: the program runs in a child, which is started anew whenever one of its files changes.

This process holds the listening sockets, so that whoever connects in between waits instead of being refused, and never imports the
program. The child (`reloaded.py`) tells by a socket which files it has imported and on what it listens; when the socket is closed,
it ends. A program that cannot be imported is waited for; meanwhile the child answers with what is wrong.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any, NoReturn

from .._debug import token as _debug_token
from .._process.fork import described, exit_status, flush
from .._process.generation import LISTENERS, inherited_descriptor
from .._process.signals import terminal_is_there

# Names the child and its descriptor.
CHANNEL = "OUTSIDE_RELOADER"

# Seconds: files are looked at this often; changes that follow each other as quickly are one; a child that ends has this long before
# the next one starts beside it, then until it cuts what it is at, then until it is killed.
_LOOK = 0.15
_SETTLE = 0.05
_MOST_ROUNDS = 10
_QUICK_END = 0.3
_CUT_AFTER = 2.0
_KILL_AFTER = 6.0
_FIRST = 3

# What a file looked like: changed, if it looks different. `None`: it is not there.
_Look = tuple[int, int, int] | None


def run(target: str, typed: dict[str, Any]) -> int:
    """Serves until asked to end; the exit status."""
    channel = inherited_descriptor(CHANNEL)
    if channel is not None:
        from .reloaded import serve

        return serve(target, typed, socket.socket(fileno=channel))
    return _Reloader().run()


class _Child:
    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel: socket.socket | None = channel
        self.has_imported = False
        # What it says cannot be mended by a change.
        self.is_final = False
        self.said = b""
        self.ending_since: float | None = None
        self.signals_sent = 0
        self.status: int | None = None

    def end(self) -> None:
        """Asks it to end: what it is answering is finished."""
        self.ending_since = time.monotonic()
        if not self.has_imported:
            # Nothing listens to the channel yet.
            os.kill(self.pid, signal.SIGTERM)
        self.hang_up()

    def hang_up(self) -> None:
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def has_ended(self) -> bool:
        """Notes its end, and sees to it that it comes."""
        if self.status is None:
            self.status = exit_status(self.pid)
        if self.status is None and self.ending_since is not None:
            waited = time.monotonic() - self.ending_since
            due = 2 if waited > _KILL_AFTER else 1 if waited > _CUT_AFTER else 0
            if due > self.signals_sent:
                self.signals_sent = due
                os.kill(self.pid, signal.SIGKILL if due == 2 else signal.SIGTERM)
        return self.status is not None


class _Reloader:
    def __init__(self) -> None:
        # Made here, so that it is that of every child.
        _debug_token.token()
        # Each with what the next child has to know of it.
        self._listeners: list[tuple[socket.socket, str]] = []
        self._looks: dict[str, _Look] = {}
        self._child: _Child | None = None
        self._leaving: list[_Child] = []
        self._asked_to_end = False
        self._asked_to_restart = False
        self._had_terminal = terminal_is_there()
        # A signal interrupts the wait.
        self._bell, self._button = socket.socketpair()

    def run(self) -> int:
        self._bell.setblocking(False)
        self._button.setblocking(False)
        signal.set_wakeup_fd(self._button.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._note_signal)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self._note_hangup)
        self._start()
        status = 0
        while not self._asked_to_end:
            self._wait(_LOOK)
            self._leaving = [child for child in self._leaving if not child.has_ended()]
            child = self._child
            if child is not None and child.has_ended():
                self._hear(child)
                self._child = None
                status = child.status or 0
                if status == 0 or child.is_final or not any(self._looks.values()):
                    break
                self._say(f"the server {described(status)}; it is started again when a file changes")
            if changed := self._changed():
                self._say(f"{', '.join(changed[:3])}{' and more' if len(changed) > 3 else ''} changed")
                self._replace()
            elif self._asked_to_restart:
                self._say("SIGHUP: the program is started again")
                self._replace()
            self._asked_to_restart = False
        return self._end(0 if self._asked_to_end else status)

    def _note_signal(self, signum: int, frame: Any) -> None:
        self._asked_to_end = True

    def _note_hangup(self, signum: int, frame: Any) -> None:
        # The kernel sends it as well when a terminal is closed.
        if self._had_terminal and not terminal_is_there():
            self._asked_to_end = True
        else:
            self._asked_to_restart = True

    def _wait(self, seconds: float) -> None:
        """Until something happens, or this long."""
        channels = [child.channel for child in (self._child,) if child is not None and child.channel is not None]
        readable, _, _ = select.select([self._bell, *channels], [], [], seconds)
        if self._bell in readable:
            self._bell.recv(64)
        if self._child is not None and self._child.channel in readable:
            self._hear(self._child)

    def _hear(self, child: _Child) -> None:
        """Reads what a child says: JSON, a line for each message; sockets come with one of them."""
        while child.channel is not None and select.select([child.channel], [], [], 0)[0]:
            said, descriptors, _, _ = socket.recv_fds(child.channel, 65536, 16)
            handed = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            if not said:
                child.hang_up()
            *lines, child.said = (child.said + said).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if legacies := message.get("listeners"):
                    for listener, _ in self._listeners:
                        listener.close()
                    self._listeners = list(zip(handed, legacies, strict=True))
                child.has_imported = child.has_imported or message.get("imported", False)
                child.is_final = child.is_final or message.get("final", False)
                for path in message.get("files", ()):
                    self._looks.setdefault(path, _look(path))
                # Not looked at here: it may have come into being just now.
                self._looks.update(dict.fromkeys(message.get("missing", ())))

    def _changed(self) -> list[str]:
        """The files that look different, once no more of them do."""
        changed: dict[str, None] = {}
        for _ in range(_MOST_ROUNDS):
            found = [path for path, look in self._looks.items() if _look(path) not in (look, None)]
            if not found:
                break
            changed.update(dict.fromkeys(found))
            for path in found:
                self._looks[path] = _look(path)
            time.sleep(_SETTLE)
        return [os.path.relpath(path) for path in changed]

    def _replace(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.end()
            end = time.monotonic() + _QUICK_END
            while not child.has_ended() and time.monotonic() < end:
                time.sleep(0.005)
            if not child.has_ended():
                self._leaving.append(child)
        self._start()

    def _start(self) -> None:
        """Starts the program, with the sockets if there are any yet."""
        near, far = socket.socketpair()
        flush()
        pid = os.fork()
        if pid == 0:
            self._become_child([*(listener.fileno() for listener, _ in self._listeners), far.fileno()])
        far.close()
        self._child = _Child(pid, near)

    def _become_child(self, handed: list[int]) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            listeners = len(handed) - 1
            environment = {**os.environ, **_debug_token.for_next_generation(), CHANNEL: f"{os.getpid()}:{_FIRST + listeners}"}
            if listeners:
                environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(listeners))
                environment[LISTENERS] = f"[{','.join(legacy for _, legacy in self._listeners)}]"
            # Out of the way first: one of them may have the number that another one gets.
            moved = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST + len(handed)) for number in handed]
            for place, number in enumerate(moved, _FIRST):
                os.dup2(number, place)
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
        finally:
            os._exit(127)

    def _end(self, status: int) -> int:
        if self._child is not None:
            self._child.end()
            self._leaving.append(self._child)
        while self._leaving:
            self._wait(0.01)
            self._leaving = [child for child in self._leaving if not child.has_ended()]
        for listener, _ in self._listeners:
            if listener.family == socket.AF_UNIX:
                _remove(listener.getsockname())
        return status

    def _say(self, text: str) -> None:
        try:
            print(f"outside: {text}", file=sys.stderr, flush=True)
        except OSError:
            pass  # the terminal is gone


def _look(path: str) -> _Look:
    try:
        found = os.stat(path)
    except OSError:
        # An editor may be about to put a new one there.
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def send(channel: socket.socket, message: dict[str, Any], descriptors: Iterable[int] = ()) -> None:
    """Says something to the process that reloads; it may be gone."""
    try:
        socket.send_fds(channel, [json.dumps(message).encode() + b"\n"], list(descriptors))
    except OSError:
        pass
