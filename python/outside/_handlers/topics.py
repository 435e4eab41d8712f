"""Topics for event streams and for functions that listen: all that `server.publish(topic, data)` sends, in every process.

The engine puts messages into a `TopicReader`; a thread of this process takes them and hands them to the event streams of their
topics, which are generators of the asyncio loop. Functions of `@server.on_message(topic)` have a reader and a thread of their
own, so that one that takes its time delays no event stream.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from .. import _outside
from . import loop as _loop
from .answers import Event

_ID = re.compile(r"[0-9a-f]{1,16}-[0-9]{1,19}", re.ASCII)
# Messages that wait for one stream, and bytes of memory that they take: as much as the queue of a WebSocket. A stream that is further
# behind is cut off, and comes back by itself.
MOST_WAITING = 1000
MOST_BYTES = 1 << 20
# Bytes that may wait for a stream within so many seconds of the first that waits: many messages at once do not make a slow reader.
MOST_AT_ONCE = 16 << 20
AT_ONCE = 0.25
# Bytes of missed messages that wait for all streams of a process: each stream has copies of its own, however few bytes its client has
# sent. A stream for which there is no room is told of a gap.
MOST_MISSED = 64 << 20


class _MissedBytes:
    """How many bytes of missed messages wait in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0
        # Sizes that are free again. No lock guards them: a stream may end while the garbage collector interrupts `lend`.
        self.returned: deque[int] = deque()

    def lend(self, stream: TopicStream, size: int) -> bool:
        """Counts what the stream is about to get; `False` if that is too much."""
        with self._lock:
            while self.returned:
                self._bytes -= self.returned.popleft()
            if self._bytes + size > MOST_MISSED:
                return False
            self._bytes += size
            stream.missed_until = stream.queued + size
            stream.lent.append(size)
            return True


_missed_bytes = _MissedBytes()


class TopicStream:
    """The messages of a topic, for one event stream: pairs of an id and a text. The id of a gap is `None`."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.waiting: deque[tuple[str | None, str]] = deque()
        # Bytes that were ever queued and taken: each number is written by one thread alone.
        self.queued = 0
        self.taken = 0
        # Bytes of missed messages that are counted for it, and the number of taken bytes with which it has taken them all.
        self.lent: deque[int] = deque()
        self.missed_until = 0
        # The time since which messages have waited without a pause.
        self.behind_since = 0.0
        self.is_late = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.wakes = asyncio.Event()
        self.owners: list[_Streams] = []

    def __aiter__(self) -> AsyncIterator[tuple[str | None, str]]:
        return self

    async def __anext__(self) -> tuple[str | None, str]:
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
        while not self.waiting:
            if self.is_late:
                raise StopAsyncIteration
            self.wakes.clear()
            if not self.waiting:
                await self.wakes.wait()
        return self._take()

    def take_waiting(self, most: int) -> list[tuple[str | None, str]]:
        """Takes messages that wait already, until they have `most` characters."""
        taken: list[tuple[str | None, str]] = []
        while most > 0 and self.waiting:
            taken.append(self._take())
            most -= len(taken[-1][1])
        return taken

    def _take(self) -> tuple[str | None, str]:
        told = self.waiting.popleft()
        self.taken += sys.getsizeof(told[1])
        if self.lent and self.taken >= self.missed_until:
            self._give_back()
        return told

    def _give_back(self) -> None:
        while self.lent:
            _missed_bytes.returned.append(self.lent.popleft())

    async def aclose(self) -> None:
        self.close()
        self.waiting.clear()
        self._give_back()

    def __del__(self) -> None:
        # A stream may end before a client reads of it.
        self._give_back()

    def close(self) -> None:
        owners, self.owners = self.owners, []
        for owner in owners:
            owner.remove(self)

    def take(self, id: str | None, text: str) -> bool:
        """Queues a message; `False` if the stream is too late for it."""
        cost = sys.getsizeof(text)
        now = time.monotonic()
        if not self.waiting:
            self.behind_since = now
        most = MOST_AT_ONCE if now - self.behind_since < AT_ONCE else MOST_BYTES
        is_full = len(self.waiting) >= MOST_WAITING or self.queued - self.taken + cost > most
        # A single message may be larger. Behind one that was left out there are no others.
        if self.is_late or (is_full and self.waiting):
            self.is_late = True
            return False
        self.queued += cost
        self.waiting.append((id, text))
        return True


class _Streams:
    """The event streams of one server."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._reader = _outside.TopicReader()
        self._lock = threading.Lock()
        self._by_topic: dict[str, set[TopicStream]] = {}
        # Streams that wait for what they have missed.
        self._joining: dict[int, TopicStream] = {}
        # What they have missed, as far as it has come.
        self._missed: dict[int, list[tuple[str | None, str]]] = {}
        self._last_ticket = 0
        threading.Thread(target=self._work, name="outside-topics", daemon=True).start()

    def add(self, stream: TopicStream, after: str | int | None) -> None:
        stream.owners.append(self)
        with self._lock:
            streams = self._by_topic.setdefault(stream.topic, set())
            _outside._count_subscriber(self._server, stream.topic, True)
            _outside._read_topic(self._server, stream.topic, self._reader)
            if after is None:
                streams.add(stream)
                return
            self._last_ticket += 1
            ticket = self._last_ticket
            self._joining[ticket] = stream
        _outside._read_missed(self._server, stream.topic, after, self._reader, ticket)

    def remove(self, stream: TopicStream) -> None:
        with self._lock:
            _outside._count_subscriber(self._server, stream.topic, False)
            streams = self._by_topic.get(stream.topic, set())
            streams.discard(stream)
            for ticket in [ticket for ticket, joining in self._joining.items() if joining is stream]:
                del self._joining[ticket]
            if not streams and not any(joining.topic == stream.topic for joining in self._joining.values()):
                self._by_topic.pop(stream.topic, None)
                _outside._stop_reading_topic(self._server, stream.topic, self._reader)

    def end(self) -> None:
        self._reader.end()

    def _work(self) -> None:
        while (news := self._reader.take()) is not None:
            woken: dict[asyncio.AbstractEventLoop, list[TopicStream]] = {}
            late: list[TopicStream] = []
            told: list[tuple[str | None, str]]
            for kind, topic, ticket, id, message in news:
                if kind == "message" and ticket:
                    self._missed.setdefault(ticket, []).append((id, _text(message)))
                    continue
                streams = self._receivers(kind, topic, ticket)
                if kind == "joined":
                    told = [(None, topic)] if message else []
                    told += self._missed.pop(ticket, [])
                    size = sum(sys.getsizeof(text) for _, text in told)
                    if not all(_missed_bytes.lend(stream, size) for stream in streams):
                        told = [(None, topic)]
                else:
                    told = [(id, _text(message)) if kind == "message" else (None, topic)]
                for stream in streams:
                    if not all(stream.take(*each) for each in told):
                        late.append(stream)
                    if stream.loop is not None:
                        woken.setdefault(stream.loop, []).append(stream)
            for stream in late:
                stream.close()
            for loop, of_loop in woken.items():
                # Once for all streams of a loop.
                try:
                    loop.call_soon_threadsafe(_wake, of_loop)
                except RuntimeError:
                    pass  # the loop has ended, and its streams with it

    def _receivers(self, kind: str, topic: str, ticket: int) -> list[TopicStream]:
        with self._lock:
            if kind == "joined":
                stream = self._joining.pop(ticket, None)
                if stream is None:
                    return []
                self._by_topic.setdefault(topic, set()).add(stream)
                return [stream]
            return list(self._by_topic.get(topic, ()))


def _text(message: bytes) -> str:
    return bytes(message).decode("utf-8", "replace")


def _wake(streams: list[TopicStream]) -> None:
    for stream in streams:
        stream.wakes.set()


def subscribed(topic: str, after: str | int | None = None) -> TopicStream:
    """The messages that are published to a topic from now on, by the servers of this process; after those since `after`."""
    if not isinstance(topic, str):
        raise TypeError(f"a topic is a str, not {topic!r}")
    stream = TopicStream(topic)
    for server in _outside._running_servers():
        streams = server.__dict__.get("_topic_streams")
        if streams is None:
            streams = server.__dict__.setdefault("_topic_streams", _Streams(server))
        streams.add(stream, after)
    return stream


# An id that no topic has had: all that is kept comes after it, and something before that is missing.
_UNKNOWN = "ffffffffffffffff-1"


def events_of(topic: str, after: Any) -> AsyncIterator[Event]:
    """The events of a topic, for `event_stream`."""
    if isinstance(after, _outside.Request):
        after = after.headers.get("Last-Event-ID") or None
        if after is not None and _ID.fullmatch(after) is None:
            # A client may send anything.
            after = _UNKNOWN
    elif after is not None and after != 0 and (not isinstance(after, str) or _ID.fullmatch(after) is None):
        raise ValueError(f"after is the id of a message, as epoch-number, or 0, or the request, not {after!r}")
    return _Events(subscribed(topic, after), any(server.config.get("history") for server in _outside._running_servers()))


class _Events:
    def __init__(self, stream: TopicStream, has_ids: bool) -> None:
        self._stream = stream
        self._has_ids = has_ids

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return self._event(*await anext(self._stream))

    def take_waiting(self, most: int) -> list[Event]:
        return [self._event(*told) for told in self._stream.take_waiting(most)]

    def _event(self, id: str | None, text: str) -> Event:
        return Event(text, "gap") if id is None else Event(text, id=id if self._has_ids else None)

    async def aclose(self) -> None:
        await self._stream.aclose()


class TopicMessage(bytes):
    """A message that was published to a topic, for a function that listens."""

    topic: str
    id: str
    is_text: bool

    @property
    def text(self) -> str:
        """The message as text."""
        return self.decode("utf-8", "replace")


class Listeners:
    """The functions of a server that listen to topics."""

    def __init__(self) -> None:
        self._functions: dict[str, list[Callable[[TopicMessage], Any]]] = {}
        self._reader: Any = None

    def add(self, server: Any, topic: str, function: Callable[[TopicMessage], Any]) -> None:
        self._functions.setdefault(topic, []).append(function)
        if self._reader is not None:
            _outside._read_topic(server, topic, self._reader)

    def begin(self, server: Any) -> None:
        """In a process that serves: takes messages from now on."""
        self._reader = reader = _outside.TopicReader()
        for topic in self._functions:
            _outside._read_topic(server, topic, reader)
        threading.Thread(target=self._work, args=(reader,), name="outside-messages", daemon=True).start()

    def end(self, server: Any) -> None:
        if self._reader is not None:
            for topic in self._functions:
                _outside._stop_reading_topic(server, topic, self._reader)
            self._reader.end()
            self._reader = None

    def _work(self, reader: Any) -> None:
        while (news := reader.take()) is not None:
            for kind, topic, _, id, message in news:
                if kind != "message":
                    continue
                made = TopicMessage(message)
                made.topic, made.id, made.is_text = topic, id, message.is_text
                for function in self._functions.get(topic, ()):
                    self._call(function, made)

    @staticmethod
    def _call(function: Callable[[TopicMessage], Any], message: TopicMessage) -> None:
        try:
            value = function(message)
            if hasattr(value, "__await__"):
                _loop.wait_for(value)
        except Exception as error:
            _loop.logger.error("on_message of %r failed", message.topic, exc_info=error)
