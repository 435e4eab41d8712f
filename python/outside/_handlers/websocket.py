"""WebSockets: messages that keep their kind, the end of a connection, and connections for `async def` functions."""

import asyncio
import contextlib
import inspect
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._outside import Request, WebSocketConnection, _ConnectionBytes


# The connection whose handler runs in the current task: the server reads from it more slowly if it publishes too much.
publisher: "ContextVar[WebSocketConnection | None]" = ContextVar("publisher", default=None)
# Messages that are taken at most before other tasks have their turn.
_MOST_AT_ONCE = 64


class TextMessage(bytes):
    """A message that came as text: its bytes are UTF-8."""

    __slots__ = ()
    is_text = True

    @property
    def text(self) -> str:
        return self.decode()


class BinaryMessage(bytes):
    """A message that came as bytes of any kind."""

    __slots__ = ()
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
        # Clients choose the reason, and logs show this text.
        reason = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in self.reason)
        return f"the connection has ended with {self.code}" + (f": {reason}" if reason else "")


class AsyncWebSocketConnection:
    """One WebSocket connection as `async def` functions hold it: the same names, to be awaited where they wait."""

    def __init__(self, connection: "WebSocketConnection") -> None:
        self._connection = connection
        self._waiters: list[asyncio.Future[None]] = []
        self._at_once = 0

    async def recv(self, timeout: float | None = None) -> TextMessage | BinaryMessage:
        """Waits for the next whole message; `TimeoutError` after `timeout` seconds, `WebSocketExit` at the end."""
        if self._at_once >= _MOST_AT_ONCE:
            self._at_once = 0
            await asyncio.sleep(0)
        self._at_once += 1
        message = self._connection._receive()
        if message is None:
            self._at_once = 0
            until = None if timeout is None else _time_of(timeout)
            while message is None:
                await self._happening(until)
                message = self._connection._receive()
        return message

    async def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Sends `str` as text, `bytes` as binary, and a message of `recv` in its own kind; waits while the queue is full."""
        while not self._connection._try_send(data):
            if self._connection._listen_for_room():
                await self._happening()

    async def exit(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake. On a connection that has ended nothing happens."""
        self._connection.exit(code, reason)

    async def ping(self, payload: bytes | None = None) -> None:
        """Sends a ping with at most 125 bytes."""
        self._connection.ping(payload)

    def subscribe(self, topic: str, *, after: str | int | None = None, ids: bool | None = None) -> None:
        """From now on it gets messages that are published to this topic. `after`: the id of a message, or 0; those after it
        that the history has come first. `ids`: each message comes behind its id and a space, as it does with `after`."""
        self._connection.subscribe(topic, after=after, ids=ids)

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

    async def _happening(self, until: float | None = None) -> None:
        """Waits until the engine reports an event (a message, room in the queue, or the end), or until this time."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_at(until, _give_up, waiter) if until is not None else None
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if self._waiters and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _time_of(timeout: float) -> float | None:
    if not timeout >= 0:
        raise ValueError(f"timeout is a number of seconds from 0 on, or None, not {timeout}")
    # A timeout of a hundred years is none.
    return asyncio.get_running_loop().time() + timeout if timeout < 3e9 else None


def _give_up(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError("no message within the timeout"))


async def serve(connection: AsyncWebSocketConnection, functions: tuple[Any, ...]) -> None:
    """Runs the handlers of a connection, plain and `async def` functions in any mixture."""
    on_connection, on_message, on_open, _, _ = functions
    publisher.set(connection._connection)
    if on_open is not None:
        await _awaited(on_open(connection))
    if on_connection is not None:
        await _awaited(on_connection(connection))
    else:
        async for message in connection:
            if on_message is not None:
                await _awaited(on_message(connection, message))


async def serve_exit(connection: AsyncWebSocketConnection, functions: tuple[Any, ...]) -> None:
    """Calls the function for the end of the connection."""
    _, _, _, on_exit, takes_connection = functions
    if on_exit is not None:
        await _awaited(on_exit(connection) if takes_connection else on_exit())


def tell_gap(function: Callable[..., Any], connection: "WebSocketConnection", topic: str) -> Any:
    """Calls a function of `on_gap`, with the connection as its kind of function holds it."""
    return function(AsyncWebSocketConnection(connection) if inspect.iscoroutinefunction(function) else connection, topic)


async def _awaited(value: Any) -> None:
    if inspect.isawaitable(value):
        await value


def takes_connection(function: Callable[..., Any]) -> bool:
    """Whether a function for `on_exit` takes the connection."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.kind is inspect.Parameter.VAR_POSITIONAL or parameter.kind in positional
        for parameter in signature.parameters.values()
    )


# Seconds of silence after which a connection made by hand ends: three weeks.
_FOR_EVER = 21 * 24 * 3600


def drive(connection: "_ConnectionBytes", sock: Any, activity: Any, terminate: Any) -> None:
    """Moves the bytes of a connection that was made by hand, in two threads, until it ends."""
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError("http_socket is a socket without TLS: an ssl.SSLSocket cannot be read and written at the same time")
    if not isinstance(sock, socket.socket):
        raise TypeError(f"http_socket is a socket.socket, not {type(sock).__name__}")
    if not callable(getattr(activity, "put", None)):
        raise TypeError(f"activity_queue has a method put, {type(activity).__name__} has none")
    if not callable(terminate):
        raise TypeError(f"terminate_function is a function, not {type(terminate).__name__}")
    own = sock.dup()
    # The flag O_NONBLOCK is shared with the given socket, whose owner may change it: with a timeout Python waits by itself.
    own.settimeout(_FOR_EVER)
    writer = threading.Thread(target=_write, args=(connection, own, activity), name="outside-websocket", daemon=True)
    reader = threading.Thread(
        target=_read, args=(connection, own, activity, terminate, writer), name="outside-websocket", daemon=True
    )
    writer.start()
    reader.start()


def _read(connection: "_ConnectionBytes", sock: socket.socket, activity: Any, terminate: Any, writer: threading.Thread) -> None:
    try:
        while data := sock.recv(16384):
            _tell(activity)
            if not connection.receive(data):
                # No more bytes are wanted: the writer sends the rest, and the connection ends.
                writer.join(5)
                break
    except OSError:
        pass
    finally:
        connection.end()
        with contextlib.suppress(OSError):
            # The writer may wait for a client that has stopped reading.
            sock.shutdown(socket.SHUT_RDWR)
        writer.join()
        sock.close()
        terminate()


def _write(connection: "_ConnectionBytes", sock: socket.socket, activity: Any) -> None:
    try:
        while data := connection.outgoing():
            sock.sendall(data)
            _tell(activity)
        # All frames were sent, Close included: the client may hang up now.
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        connection.end()


def _tell(activity: Any) -> None:
    # A queue that is full or closed must not end the connection.
    with contextlib.suppress(Exception):
        activity.put(time.time())
