"""The things that one process hands to another: listening sockets, the secret of the session tickets, and a channel between the
two.

Downwards everything comes with the start of a program. Listening sockets follow the protocol of systemd's socket activation
(LISTEN_PID, LISTEN_FDS, descriptors from 3 on); OUTSIDE_LISTENERS says for which place each one was bound, since the program
may listen elsewhere now, or in another order. Other descriptors are named by an environment variable each, as `pid:number`, so
that a program which inherits the variable by accident does not take them for its own.

Upwards a process sends its listening sockets through the channel, with the same words about each one.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import Any

# A JSON list with a text about each listener that a program is handed.
LISTENERS = "OUTSIDE_LISTENERS"
OF_SOCKET_ACTIVATION = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
# Descriptors in one message of a channel: the kernel takes 253 at most.
_MOST_AT_ONCE = 100
# Between fork and exec: gives each descriptor the number that the protocol wants, and names its own process, which stays the
# same when the program begins. It is a program of its own, because Python code of this process must not run after a fork with
# threads.
_BECOME = """\
import fcntl, os, sys
listeners, numbers, names, *command = sys.argv[1:]
handed = [int(number) for number in numbers.split(",")]
above = 3 + len(handed)
moved = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above) for number in handed]
for target, number in enumerate(moved, 3):
    os.dup2(number, target)
for number in handed:
    if number >= above:
        os.close(number)
own = str(os.getpid())
if listeners != "0":
    os.environ.update(LISTEN_PID=own, LISTEN_FDS=listeners)
for number, name in enumerate(names.split(","), 3 + int(listeners)):
    os.environ[name] = f"{own}:{number}"
os.execv(command[0], command)
"""


class Listeners:
    """Handles of listening sockets of this process, apart from those of the engine, each with a text of JSON: its place, and
    whether the file of a Unix socket is this server's own."""

    def __init__(self, handles: Iterable[tuple[int, str]] = ()) -> None:
        self.handles = list(handles)
        self._files = {path for number, legacy in self.handles if (path := _own_file(number, legacy))}

    @classmethod
    def of(cls, server: Any) -> Listeners:
        """Another handle of each socket of a server; several slots may share a socket."""
        found = ((os.fstat(number), number, legacy) for number, _, legacy in server._descriptors())
        distinct = {(status.st_dev, status.st_ino): (number, legacy) for status, number, legacy in found}
        return cls((os.dup(number), legacy) for number, legacy in distinct.values())

    def descriptors(self) -> list[int]:
        return [number for number, _ in self.handles]

    def addresses(self) -> list[Any]:
        """Where they listen: `(ip, port)`, or `unix:PATH`."""
        return [_address(number) for number in self.descriptors()]

    def close(self) -> None:
        """The sockets are open as long as another process has handles of them."""
        for number in self.descriptors():
            os.close(number)
        self.handles = []

    def remove_files(self, but: Listeners | None = None) -> None:
        """Removes the files of Unix sockets on which no process listens any more: those of the other listeners stay."""
        for path in self._files - (but._files if but else set()):
            try:
                os.unlink(path)
            except OSError:
                pass  # it was removed before


def _of_number(number: int) -> socket.socket:
    return socket.socket(fileno=number)


def _address(number: int) -> Any:
    sock = _of_number(number)
    try:
        name = sock.getsockname()
        if sock.family == socket.AF_UNIX:
            return f"unix:{os.fsdecode(name)}"
        # Without the scope of a link-local address, as the engine names it.
        return name[0].partition("%")[0], name[1]
    finally:
        sock.detach()


def _own_file(number: int, legacy: str) -> str | None:
    address = _address(number)
    return address.removeprefix("unix:") if isinstance(address, str) and json.loads(legacy)[1] else None


def start(
    command: list[str],
    folder: str,
    environment: Mapping[str, str],
    listeners: Listeners,
    named: Mapping[str, int],
) -> int:
    """Starts a program in this folder with these listeners, and a descriptor for each name. The process id of the new child."""
    # Most servers are never started again.
    import subprocess

    environment = dict(environment)
    if listeners.handles:
        environment[LISTENERS] = f"[{','.join(legacy for _, legacy in listeners.handles)}]"
    handed = [*listeners.descriptors(), *named.values()]
    words = [str(len(listeners.handles)), ",".join(map(str, handed)), ",".join(named)]
    become = [sys.executable, "-I", "-S", "-c", _BECOME, *words, *command]
    child = subprocess.Popen(become, cwd=folder, env=environment, pass_fds=handed)
    # The child is waited for by number.
    child.returncode = 0
    return child.pid


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


def send(channel: socket.socket, message: Mapping[str, Any], descriptors: Iterable[int] = ()) -> None:
    """Says something to the process at the other end of a channel, which may be gone."""
    try:
        socket.send_fds(channel, [json.dumps(message).encode() + b"\n"], list(descriptors))
    except OSError:
        pass


def send_listeners(channel: socket.socket, listeners: Listeners) -> None:
    """Hands all listeners to the process at the other end of a channel."""
    for first in range(0, len(listeners.handles), _MOST_AT_ONCE):
        some = listeners.handles[first : first + _MOST_AT_ONCE]
        send(channel, {"listeners": [legacy for _, legacy in some]}, [number for number, _ in some])


class Mouth:
    """The receiving end of a channel on which messages come as lines of JSON, with descriptors."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._channel.setblocking(False)
        self._said = b""
        self._numbers: list[int] = []
        self.has_ended = False

    def messages(self) -> list[tuple[dict[str, Any], list[tuple[int, str]]]]:
        """The messages since the last call, each with the handles of listeners that it brings."""
        found = []
        while not self.has_ended:
            try:
                said, numbers, _, _ = socket.recv_fds(self._channel, 65536, 253)
            except BlockingIOError:
                break
            except OSError:
                said, numbers = b"", []
            self.has_ended = not said
            self._numbers += numbers
            *lines, self._said = (self._said + said).split(b"\n")
            for line in lines:
                message = json.loads(line)
                legacies = message.get("listeners", [])
                found.append((message, list(zip(self._numbers, legacies, strict=False))))
                del self._numbers[: len(legacies)]
        return found
