"""One behaviour as a handler of each style, so that a table of styles can ask the same of all of them."""

from __future__ import annotations

import queue
from collections.abc import Callable

from outside import WebSocket
from support.wire import DEADLINE

BLOCKING, ASYNC, CALLBACKS, ASYNC_CALLBACKS = "blocking", "async", "callbacks", "async callbacks"
STYLES = [BLOCKING, ASYNC, CALLBACKS, ASYNC_CALLBACKS]


def echo(connection: object, message: bytes) -> bytes:
    return message


def websocket(style: str, answer: Callable = echo, **options: object) -> WebSocket:
    """`answer(connection, message)` gives the message to send, or `None`; it may raise."""
    made = WebSocket(**options)
    if style == BLOCKING:

        @made.on_connection
        def serve(connection):
            while True:
                given = answer(connection, connection.recv())
                if given is not None:
                    connection.send(given)

    elif style == ASYNC:

        @made.on_connection
        async def serve(connection):
            while True:
                given = answer(connection, await connection.recv())
                if given is not None:
                    await connection.send(given)

    elif style == CALLBACKS:

        @made.on_message
        def message(connection, message):
            given = answer(connection, message)
            if given is not None:
                connection.send(given)

    else:

        @made.on_message
        async def message(connection, message):
            given = answer(connection, message)
            if given is not None:
                await connection.send(given)

    return made


class Ends:
    """The arguments of `on_exit`, in the order of the calls."""

    def __init__(self, websocket: WebSocket) -> None:
        self.told: queue.Queue = queue.Queue()
        websocket.on_exit(self.told.put)

    def next(self) -> object:
        """The connection whose end is told next."""
        return self.told.get(timeout=DEADLINE)

    @property
    def is_empty(self) -> bool:
        return self.told.empty()
