"""Event streams of a topic: what `server.publish(topic, data)` sends to WebSockets goes to `event_stream(topic=…)` too.

Of one process, as the topics of WebSockets are.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from .. import _outside

# Messages that wait for one reader; one that is further behind is cut off, and comes back by itself.
MOST_WAITING = 1000

_readers: dict[str, set[_Reader]] = {}
_lock = threading.Lock()


class _Reader:
    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.waiting: deque[Any] = deque()
        self.is_late = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.wakes = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
        while not self.waiting:
            if self.is_late:
                raise StopAsyncIteration
            self.wakes.clear()
            if not self.waiting:
                await self.wakes.wait()
        return self.waiting.popleft()

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        with _lock:
            readers = _readers.get(self.topic)
            if readers is not None:
                readers.discard(self)
                if not readers:
                    del _readers[self.topic]

    def take(self, data: Any) -> bool:
        """Queues a message; `False` if the reader is too late for it."""
        if len(self.waiting) >= MOST_WAITING:
            self.is_late = True
            return False
        self.waiting.append(data)
        return True


def subscribed(topic: str) -> AsyncIterator[Any]:
    """The messages that are published to a topic from now on."""
    if not isinstance(topic, str):
        raise TypeError(f"a topic is a str, not {topic!r}")
    _outside._watch_topics()
    reader = _Reader(topic)
    with _lock:
        _readers.setdefault(topic, set()).add(reader)
    return reader


def deliver(topic: str, data: Any) -> None:
    """Hands a published message to the event streams of its topic. Waits for none of them."""
    with _lock:
        readers = list(_readers.get(topic, ()))
    if not readers:
        return
    text = data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")
    loops: dict[asyncio.AbstractEventLoop, list[_Reader]] = {}
    for reader in readers:
        if not reader.take(text):
            reader.close()
        if reader.loop is not None:
            loops.setdefault(reader.loop, []).append(reader)
    for loop, woken in loops.items():
        # Once for all readers of a loop.
        loop.call_soon_threadsafe(_wake, woken)


def _wake(readers: list[_Reader]) -> None:
    for reader in readers:
        reader.wakes.set()
