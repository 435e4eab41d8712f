"""WebSockets: messages that keep their kind, the end of a connection, and connections for `async def` functions."""

import asyncio
import inspect
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._outside import Request, WebSocketConnection, _Wire


class TextMessage(bytes):
    """A message that came as text: its bytes are UTF-8."""

    is_text = True

    @property
    def text(self) -> str:
        return self.decode()


class BinaryMessage(bytes):
    """A message that came as bytes of any kind."""

    is_text = False

    @property
    def text(self) -> str:
        """The bytes as UTF-8; `UnicodeDecodeError` if they are not."""
        return self.decode()


class WebSocketExit(Exception):
    """The connection has ended, or is about to: `recv` has no more messages and `send` no way.

    `code` is the client's close code, or the server's if it ended the connection; 1005 if the client gave none, 1006 if the
    connection broke (RFC 6455 section 7.1.5). A handler that does not catch it ends quietly.
    """

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection has ended with {self.code}" + (f": {self.reason}" if self.reason else "")


class AsyncWebSocketConnection:
    """One WebSocket connection as `async def` functions hold it: the same names, to be awaited where they wait."""

    def __init__(self, connection: "WebSocketConnection") -> None:
        self._connection = connection
        self._waiters: list[asyncio.Future[None]] = []

    async def recv(self, timeout: float | None = None) -> TextMessage | BinaryMessage:
        """Waits for the next whole message; `TimeoutError` after `timeout` seconds, `WebSocketExit` at the end."""
        message = self._connection._try_recv()
        if message is not None:
            return message
        if timeout is not None:
            return await asyncio.wait_for(self.recv(), timeout)
        while message is None:
            if self._connection._listen():
                await self._happening()
            message = self._connection._try_recv()
        return message

    async def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Sends `str` as text, `bytes` as binary, and what `recv` gave as what it was; waits while the queue is full."""
        while not self._connection._try_send(data):
            if self._connection._listen_for_room():
                await self._happening()

    async def exit(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake. On a connection that has ended nothing happens."""
        self._connection.exit(code, reason)

    async def ping(self, payload: bytes | None = None) -> None:
        """Sends a ping with at most 125 bytes."""
        self._connection.ping(payload)

    def subscribe(self, topic: str) -> None:
        """From now on it gets what is published to this topic."""
        self._connection.subscribe(topic)

    def unsubscribe(self, topic: str) -> None:
        """From now on it gets no more of this topic."""
        self._connection.unsubscribe(topic)

    @property
    def request(self) -> "Request":
        return self._connection.request

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @property
    def close_code(self) -> int | None:
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        return self._connection.close_reason

    def __aiter__(self) -> AsyncIterator[TextMessage | BinaryMessage]:
        return self

    async def __anext__(self) -> TextMessage | BinaryMessage:
        try:
            return await self.recv()
        except WebSocketExit:
            raise StopAsyncIteration from None

    def __repr__(self) -> str:
        return f"Async{self._connection!r}"

    async def _happening(self) -> None:
        """Waits until the engine tells of something: a message, room in the queue, or the end."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


async def serve(connection: AsyncWebSocketConnection, functions: tuple[Any, Any, Any, Any, bool]) -> None:
    """Runs the handlers of a connection, whatever mixture of plain and `async def` functions they are."""
    on_connection, on_message, on_open, on_exit, takes_connection = functions
    try:
        if on_open is not None:
            await _awaited(on_open(connection))
        if on_connection is not None:
            await _awaited(on_connection(connection))
        elif on_message is not None:
            async for message in connection:
                await _awaited(on_message(connection, message))
        else:
            async for _ in connection:
                pass
    finally:
        if on_exit is not None:
            await _awaited(on_exit(connection) if takes_connection else on_exit())


async def _awaited(value: Any) -> None:
    if inspect.isawaitable(value):
        await value


def takes_connection(function: Callable[..., Any]) -> bool:
    """Does a function for `on_exit` take the connection, or nothing?"""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.kind is inspect.Parameter.VAR_POSITIONAL or parameter.kind in positional
        for parameter in signature.parameters.values()
    )


def drive(wire: "_Wire", sock: Any, activity: Any, terminate: Any) -> None:
    """Moves the bytes of a connection that was made by hand, in two threads, until it ends."""
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError("http_socket is a socket without TLS: an ssl.SSLSocket cannot be read and written at the same time")
    if not isinstance(sock, socket.socket):
        raise TypeError(f"http_socket is a socket.socket, not {type(sock).__name__}")
    if not callable(terminate):
        raise TypeError(f"terminate_function is a function, not {type(terminate).__name__}")
    own = sock.dup()
    own.setblocking(True)
    writer = threading.Thread(target=_write, args=(wire, own, activity), name="outside-websocket", daemon=True)
    reader = threading.Thread(target=_read, args=(wire, own, activity, terminate, writer), name="outside-websocket", daemon=True)
    writer.start()
    reader.start()


def _read(wire: "_Wire", sock: socket.socket, activity: Any, terminate: Any, writer: threading.Thread) -> None:
    try:
        while data := sock.recv(65536):
            activity.put(time.time())
            if not wire.receive(data):
                # What is to be said about the end is said; then there is nothing more to come.
                writer.join(5)
                break
    except OSError:
        pass
    finally:
        wire.end()
        writer.join()
        sock.close()
        terminate()


def _write(wire: "_Wire", sock: socket.socket, activity: Any) -> None:
    try:
        while data := wire.outgoing():
            sock.sendall(data)
            activity.put(time.time())
        # The other side has been told; it may hang up now.
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        wire.end()
