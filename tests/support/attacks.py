"""The attacks of `soak/test_attacks.py`: what a client of each sends, and what it may cost the server.

Clients of an attack run in a process of their own (`tests/programs/attackers.py`) as tasks of one asyncio loop. A client whose
connection ends attacks again. The sockets are plain, so that a client that reads nothing has no reader behind its back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache

from support.websocket_wire import OPENING, PING, TEXT, frame
from support.wire import request_bytes

MIB = 1 << 20
Conversation = Callable[[tuple], Awaitable[None]]


@dataclass(frozen=True)
class Attack:
    """One row of the table, and how much its clients may make the server grow."""

    converse: Conversation
    each: float
    """MiB for each client."""
    fixed: float = 16
    """MiB for the whole attack: threads, buffers that are kept, bounds of the process."""
    settings: dict[str, object] = field(default_factory=dict)
    descriptors: int | None = None
    fresh: bool = False
    """Whether the honest client opens a connection for each request."""
    secure: bool = False
    clients: int = 1
    """So many of these clients are the attack of the row: another client's time is judged beside them."""
    arrivals: int = 0
    """How many connections of each client arrive before the time counts (`arrived`)."""


class Arrivals:
    """Counts the connections that have sent what they send at once, or were refused."""

    count = 0


def arrived() -> None:
    Arrivals.count += 1


async def connect(address: tuple, opening: bytes, buffer: int | None = None) -> socket.socket:
    """A connection that has sent its opening. `buffer` is the size of the kernel's buffer for what arrives."""
    connection = socket.socket()
    connection.setblocking(False)
    try:
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, tuple(address))
        await loop.sock_sendall(connection, opening)
    except BaseException:
        connection.close()
        raise
    return connection


async def read_until_end(connection: socket.socket) -> None:
    """Takes what comes; what comes is not kept."""
    while await asyncio.get_running_loop().sock_recv(connection, 1 << 16):
        pass


async def send_for_ever(connection: socket.socket, data: bytes, pause: float = 0) -> None:
    """Sends the same again and again, and reads nothing."""
    while True:
        await asyncio.get_running_loop().sock_sendall(connection, data)
        await asyncio.sleep(pause)


@cache
def http2_requests(path: str, count: int, body: bytes = b"", coding: str = "identity") -> bytes:
    """The first bytes of an HTTP/2 connection: windows of 0 for what comes back, and so many requests."""
    from h2.connection import H2Connection
    from h2.settings import SettingCodes

    connection = H2Connection()
    connection.local_settings = type(connection.local_settings)(
        client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 0, SettingCodes.ENABLE_PUSH: 0}
    )
    connection.initiate_connection()
    fields = [(":method", "POST" if body else "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
    for stream in range(1, 2 * count, 2):
        connection.send_headers(stream, [*fields, ("accept-encoding", coding)], end_stream=not body)
        if body:
            connection.send_data(stream, body, end_stream=True)
    return connection.data_to_send()


def closed_windows(path: str, body: bytes = b"", coding: str = "identity") -> Conversation:
    """A1, A2: a hundred answers that the client gives no room."""

    async def converse(address: tuple) -> None:
        with await connect(address, http2_requests(path, 100, body, coding)) as connection:
            await read_until_end(connection)

    return converse


async def ask_and_leave(address: tuple) -> None:
    """A2: a text to compress, three times in a second, and nobody to read it."""
    with await connect(address, request_bytes("/text", headers={"Accept-Encoding": "br"})):
        await asyncio.sleep(1 / 3)


def websocket(path: str) -> bytes:
    return request_bytes(path, headers=OPENING)


async def open_websocket(address: tuple, path: str, buffer: int | None = None) -> socket.socket:
    connection = await connect(address, websocket(path), buffer)
    try:
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = await asyncio.get_running_loop().sock_recv(connection, 1024)
            if not data:
                raise ConnectionResetError
            answer += data
        if b" 101 " not in answer:
            raise ConnectionRefusedError(answer[:20])
    except BaseException:
        connection.close()
        raise
    return connection


async def pings(address: tuple) -> None:
    """A3: pings without content, and a client that reads nothing."""
    with await open_websocket(address, "/echo", 4096) as connection:
        await send_for_ever(connection, frame(PING) * 10_000)


def publish() -> Conversation:
    """A4: messages of one byte into a room; the first 20 clients have a reader each."""
    numbers = itertools.count()

    async def converse(address: tuple) -> None:
        readers = [await open_websocket(address, "/room") for _ in range(20 if next(numbers) == 0 else 0)]
        with contextlib.ExitStack() as stack:
            for reader in readers:
                stack.enter_context(reader)
            connection = stack.enter_context(await open_websocket(address, "/room"))
            sending = send_for_ever(connection, frame(TEXT, b"x") * 1000)
            await first_ended(sending, *map(read_until_end, [connection, *readers]))

    return converse


async def first_ended(*awaitables: Awaitable[None]) -> None:
    """Until one of them ends; then all of them end."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def many(count: int, converse: Conversation) -> Conversation:
    """So many connections of one client."""

    async def all_of_them(address: tuple) -> None:
        await asyncio.gather(*(again_and_again(converse, address) for _ in range(count)))

    return all_of_them


async def unread_echo(address: tuple) -> None:
    """A5: messages to a callback that answers each, and a client that reads nothing."""
    with await open_websocket(address, "/echo", 4096) as connection:
        arrived()
        await send_for_ever(connection, frame(TEXT, b"x" * 20_000), pause=0.001)


async def rest_in_a_websocket(address: tuple) -> None:
    """A6: a WebSocket that is held; a refused client comes again after a second."""
    try:
        connection = await open_websocket(address, "/echo")
    except OSError:
        arrived()
        await asyncio.sleep(1)
        return
    arrived()
    with connection:
        await read_until_end(connection)


def one_byte(pace: float) -> Conversation:
    """A6, A7: a connection every so many seconds that sends one byte; at most 10 s of them are open."""

    async def hold(address: tuple) -> None:
        with contextlib.suppress(OSError), await connect(address, b"\x16") as connection:
            await asyncio.wait_for(read_until_end(connection), 10)

    async def converse(address: tuple) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(hold(address))
                await asyncio.sleep(pace)

    return converse


async def places(address: tuple) -> None:
    """A6: a fiftieth of 900 WebSockets and of 60 connections a second."""
    await asyncio.gather(many(18, rest_in_a_websocket)(address), one_byte(50 / 60)(address))


def slow_upload(path: str, size: int, at_once: int) -> Conversation:
    """A8, A9: content of which so much comes at once, the rest at 260 bytes a second; a refused client comes again after a second."""

    async def converse(address: tuple) -> None:
        head = request_bytes(path, "POST", {"Content-Length": str(size)})
        with await connect(address, head + b"x" * at_once) as connection:
            arrived()
            await first_ended(send_for_ever(connection, b"x" * 26, pause=0.1), read_until_end(connection))
        await asyncio.sleep(1)

    return converse


async def leave_a_generator(address: tuple) -> None:
    """A10: a client that leaves when a stream has begun, once a second."""
    with await connect(address, request_bytes("/silent")) as connection:
        await asyncio.get_running_loop().sock_recv(connection, 4096)
    await asyncio.sleep(1)


@cache
def names_of_topics() -> bytes:
    """More than a connection may subscribe to by default."""
    return b"".join(frame(TEXT, b"topic %d" % number) for number in range(3000))


async def subscribe(address: tuple) -> None:
    """A18: names of topics, until the server ends the connection."""
    with await open_websocket(address, "/topics") as connection:
        await asyncio.get_running_loop().sock_sendall(connection, names_of_topics())
        await read_until_end(connection)


async def subscribe_and_leave(address: tuple) -> None:
    """Topics of a connection's own choosing, as many as it may have, and then it is gone."""
    with await open_websocket(address, "/topics") as connection:
        names = b"".join(frame(TEXT, os.urandom(8).hex().encode()) for _ in range(300))
        await asyncio.get_running_loop().sock_sendall(connection, names)
        await asyncio.sleep(0.05)


def event_streams() -> Conversation:
    """Readers of topics that take nothing; the first client publishes large messages."""
    numbers = itertools.count()

    async def publish(address: tuple) -> None:
        while True:
            with await connect(address, request_bytes("/news", headers={"Connection": "close"})) as connection:
                await read_until_end(connection)

    async def read_nothing(address: tuple) -> None:
        with await connect(address, request_bytes("/events"), 4096):
            await asyncio.sleep(60)

    async def converse(address: tuple) -> None:
        streams = [again_and_again(read_nothing, address) for _ in range(4)]
        if next(numbers) == 0:
            streams.append(again_and_again(publish, address))
        await asyncio.gather(*streams)

    return converse


@cache
def half_bodies(count: int, size: int) -> bytes:
    """So many uploads on one HTTP/2 connection, of each as much as the windows of a new connection allow."""
    from h2.connection import H2Connection

    connection = H2Connection()
    connection.initiate_connection()
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/length")]
    for stream in range(1, 2 * count, 2):
        connection.send_headers(stream, [*fields, ("content-length", "100000")])
        connection.send_data(stream, b"x" * size)
    return connection.data_to_send()


async def half_sent_bodies(address: tuple) -> None:
    """Uploads that stop in the middle, over both versions."""

    async def over_http2(address: tuple) -> None:
        with await connect(address, half_bodies(20, 3000)) as connection:
            await read_until_end(connection)

    one = slow_upload("/length", 900_000, 850_000)
    await asyncio.gather(again_and_again(over_http2, address), again_and_again(one, address))


async def wait_for_lock(address: tuple) -> None:
    """A handler that waits for a lock which another one holds, and for its message to be numbered."""
    with await connect(address, request_bytes("/lock")) as connection:
        await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection, 4096), 5)


@cache
def bomb() -> bytes:
    """16 KB that would be 16 MB."""
    content = gzip.compress(bytes(16 << 20))
    return request_bytes("/length", "POST", {"Content-Encoding": "gzip"}, content)


async def coded_content(address: tuple) -> None:
    with await connect(address, bomb()) as connection:
        await read_until_end(connection)


async def again_and_again(converse: Conversation, address: tuple) -> None:
    """Until it is cancelled."""
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            await converse(address)
        await asyncio.sleep(0.02)


HTTP2 = {"h2c": True}
FEW = 1024  # descriptors
ATTACKS = {
    "A1 async": Attack(closed_windows("/async"), 12, settings=HTTP2),
    "A1 parameter": Attack(closed_windows("/item/1"), 12, settings=HTTP2),
    "A1 content": Attack(closed_windows("/content", b"x" * 100), 12, settings=HTTP2),
    "A1 varying": Attack(closed_windows("/varying"), 12, settings=HTTP2),
    "A1 ASGI": Attack(closed_windows("/asgi/65536"), 12, settings=HTTP2),
    "A1 WSGI": Attack(closed_windows("/wsgi/65536"), 12, settings=HTTP2),
    "A2 windows": Attack(closed_windows("/text", coding="br"), 12, settings=HTTP2),
    "A2 leave": Attack(ask_and_leave, 2, clients=64),
    "A3": Attack(pings, 2),
    "A4": Attack(publish(), 2, fixed=32),
    "A5": Attack(many(4, unread_echo), 8, clients=40, arrivals=4),
    "A6": Attack(places, 1, descriptors=FEW, fresh=True, clients=50, arrivals=18),
    "A7": Attack(one_byte(1 / 20), 1, descriptors=FEW, fresh=True, secure=True, clients=50),
    "A8": Attack(many(4, slow_upload("/upload", 1_000_000, 100)), 1, clients=40),
    "A9": Attack(slow_upload("/length", 16 << 20, (16 << 20) - 100_000), 1, clients=40, arrivals=1),
    "A10": Attack(leave_a_generator, 1, clients=20),
    "A18": Attack(subscribe, 2),
    # Neighbours of these rows.
    "full spool": Attack(slow_upload("/length", 4 << 20, (4 << 20) - 100_000), 1, settings={"spool_max_mb": 100}, arrivals=1),
    "bodies": Attack(half_sent_bodies, 0.5, fixed=32, settings={**HTTP2, "max_body_memory_mb": 16}),
    "bombs": Attack(coded_content, 1),
    "events": Attack(event_streams(), 4, fixed=32),
    "locks": Attack(many(4, wait_for_lock), 1, fixed=48),
    "topics left": Attack(subscribe_and_leave, 1),
}
