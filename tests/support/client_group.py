"""Many connections at once, driven by one thread: the bytes that clients send and receive, and when each one ends.

Nothing here blocks: connections are opened a batch at a time, and every wait is for events, with a deadline.
"""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Callable, Iterable

import pytest

TOGETHER = 200  # connections that are being opened at the same moment: less than any backlog


def need_descriptors(count: int) -> None:
    """Raises this process's limit as far as it may be raised; skips the test where that is not enough."""
    if not hasattr(select, "epoll"):
        pytest.skip("needs epoll")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"needs {count} descriptors; the system allows {hard} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def descriptors() -> int:
    """How many this process may have, and those that it starts: as many as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 20 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


class GroupMember:
    """One connection of the group."""

    __slots__ = ("socket", "received", "opened", "ended")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.received = bytearray()
        self.opened = time.monotonic()  # when the connection stood
        self.ended: float | None = None  # when the server closed it

    def send(self, data: bytes) -> None:
        """A few bytes, which the socket takes at once; a connection that has ended meanwhile takes nothing."""
        try:
            self.socket.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass


class ClientGroup:
    """Connections to one server; each sends the opening at once. Works as a context manager, which closes them."""

    def __init__(self, address: tuple, count: int, opening: bytes = b"", deadline: float = 60) -> None:
        self.opening = opening
        need_descriptors(count + 200)
        self.clients: list[GroupMember] = []
        self.reading = select.epoll()
        self.by_number: dict[int, GroupMember] = {}
        self._open(address[:2], count, time.monotonic() + deadline)

    def __enter__(self) -> ClientGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.reading.close()
        for client in self.clients:
            client.socket.close()

    def _open(self, address: tuple, count: int, end: float) -> None:
        opening, pending = select.epoll(), {}
        while len(self.clients) < count:
            while len(pending) < TOGETHER and len(self.clients) + len(pending) < count:
                connection = socket.socket()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect_ex(address)
                pending[connection.fileno()] = connection
                opening.register(connection.fileno(), select.EPOLLOUT)
            assert time.monotonic() < end, f"only {len(self.clients)} connections in time"
            for number, _ in opening.poll(1):
                opening.unregister(number)
                connection = pending.pop(number)
                error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                assert error == 0, f"connection {len(self.clients)} failed: {error}"
                client = self.by_number[number] = GroupMember(connection)
                self.clients.append(client)
                if self.opening:
                    client.send(self.opening)
                self.reading.register(number, select.EPOLLIN)
        opening.close()

    def send(self, data: bytes) -> None:
        for client in self.clients:
            client.send(data)

    def receive(self, patience: float) -> None:
        """Takes the bytes that have arrived, or waits this long for some."""
        for number, _ in self.reading.poll(patience):
            client = self.by_number[number]
            try:
                data = client.socket.recv(65536)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                data = b""
            if data:
                client.received += data
            else:
                client.ended = time.monotonic()
                self.reading.unregister(number)

    def wait_until(self, each: Callable[[GroupMember], object], what: str, deadline: float = 60) -> None:
        """Receives until it is true of every client."""
        end = time.monotonic() + deadline
        while left := [client for client in self.clients if not each(client)]:
            assert time.monotonic() < end, f"{len(left)} of {len(self.clients)} clients are not {what}"
            # Looking at all of them costs more than receiving: many events go by before the next look.
            for _ in range(1 + len(left) // 100):
                self.receive(0.05)

    def ask(self, request: bytes, length: int, deadline: float = 60) -> None:
        """Each sends the request and receives exactly `length` bytes; batches overlap, and no connection waits for another."""
        for batch in batches(self.clients, TOGETHER):
            for client in batch:
                client.received.clear()
                client.send(request)
            self.receive(0)
        self.wait_until(lambda client: len(client.received) >= length or client.ended, "answered", deadline)
        wrong = [client for client in self.clients if len(client.received) != length or client.ended]
        assert not wrong, f"{len(wrong)} wrong answers, one is {bytes(wrong[0].received)!r}"

    def wait_until_ended(self, deadline: float = 60) -> None:
        self.wait_until(lambda client: client.ended, "closed", deadline)

    def ended(self) -> int:
        """How many the server has closed so far."""
        self.receive(0)
        return sum(client.ended is not None for client in self.clients)


def batches(items: list, size: int) -> Iterable[list]:
    return (items[start : start + size] for start in range(0, len(items), size))
