"""Answers that are made often, each by one call: redirects, JSON, HTML, files to be saved, server-sent events."""

import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import quote

from .._outside import FilePath, Request, Response, _content_disposition, _event
from . import json_text as _json_text

_Headers: TypeAlias = dict[str, Any] | None


def redirect(location: str, status_code: int = 302, headers: _Headers = None) -> Response:
    """Sends the client to another place: a URL, or a path of this server.

    302 and 303 make a GET of it, 307 and 308 repeat the request as it was; 301 and 308 are remembered. Characters that a URL
    cannot hold is percent-encoded; a control character is a `ValueError`.
    """
    if status_code not in (301, 302, 303, 307, 308):
        raise ValueError(f"the status of a redirect is 301, 302, 303, 307 or 308, not {status_code!r}")
    if not isinstance(location, str):
        raise TypeError(f"the location of a redirect is a str, not {type(location).__name__}")
    if bad := re.search(r"[\x00-\x1f\x7f]", location):
        raise ValueError(f"the location of a redirect may not hold {bad[0]!r}: {location!r}")
    # Characters that are encoded already stay as they are.
    return Response(status_code, {**(headers or {}), "Location": quote(location, safe="!#$%&'()*+,/:;=?@[]~")})


def json_response(data: Any, status_code: int = 200, headers: _Headers = None) -> Response:
    """Any value that JSON can hold, `None` and numbers included."""
    return Response(status_code, {"Content-Type": "application/json", **(headers or {})}, _json_text.text(data))


def html(content: str, status_code: int = 200, headers: _Headers = None) -> Response:
    """A page. Text of users has to be escaped (`html.escape` of the standard library, or a template engine)."""
    return Response(status_code, {"Content-Type": "text/html; charset=utf-8", **(headers or {})}, content)


def send_file(
    path: "str | os.PathLike[str]",
    download_name: str | None = None,
    as_attachment: bool | None = None,
    media_type: str | None = None,
    headers: _Headers = None,
) -> Response:
    """A file, with ranges and conditions, never read into Python. A missing one is a 404.

    With a `download_name`, or `as_attachment=True`, browsers save it, under that name or its own (RFC 6266);
    `as_attachment=False` lets them show it. The media type is that of the name. Never hand a path here that a client chose.
    """
    attached = download_name is not None if as_attachment is None else as_attachment
    fields = dict(headers or {})
    if attached or download_name is not None:
        # A name that is no UTF-8 has surrogates (PEP 383), which HTTP cannot carry.
        name = (download_name or Path(path).name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        fields["Content-Disposition"] = _content_disposition(attached, name)
    if media_type is not None:
        fields["Content-Type"] = media_type
    return Response(200, fields, FilePath(os.fspath(path)))


class Event:
    """One server-sent event. `data` is a `str`, or anything that JSON can hold."""

    __slots__ = ("data", "event", "id", "retry")

    def __init__(self, data: Any = "", event: str | None = None, id: str | int | None = None, retry: int | None = None) -> None:
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry

    def __repr__(self) -> str:
        given = {name: getattr(self, name) for name in self.__slots__}
        return f"Event({', '.join(f'{name}={value!r}' for name, value in given.items() if value is not None)})"


_Told: TypeAlias = Event | str | dict[Any, Any] | list[Any] | int | float | None


def event_stream(
    events: "Iterable[_Told] | AsyncIterable[_Told] | None" = None,
    retry: int | None = None,
    keep_alive: float | None = 15,
    headers: _Headers = None,
    *,
    topic: str | None = None,
    after: "Request | str | int | None" = None,
) -> Response:
    """Server-sent events (`EventSource` in a page) from a generator or an async generator, or of a topic: all that
    `server.publish(topic, data)` sends from now on, in any process of this server.

    Where `config["history"]` keeps topics, events of a topic have ids. `after` is one of them, or 0 for all that is kept, or the
    request, whose `Last-Event-ID` counts: the events after it come first. An event named `gap` says that some are missing.

    Each item is an `Event`, a `str`, or a value that JSON can hold. `retry`: milliseconds after which a client that was cut off
    comes back; it sends the last id as `Last-Event-ID`. While no event comes, a comment every `keep_alive` seconds keeps the
    connection alive, and shows whether the client is still there; `None`: none, and `process_timeout` bounds the wait.

    A generator that waits takes a thread of `max_workers`, and learns at its next event that its reader has left; an async one
    takes a task, of which there may be tens of thousands, and is closed at once.
    """
    if keep_alive is not None and not keep_alive > 0:
        raise ValueError(f"keep_alive is a number of seconds above 0, or None, not {keep_alive!r}")
    if topic is not None:
        if events is not None:
            raise TypeError("event_stream() takes events or a topic, not both")
        from .topics import events_of

        events = events_of(topic, after)
    elif after is not None:
        raise TypeError("event_stream() takes after=… only with a topic")
    if events is None:
        raise TypeError("event_stream() takes a generator of events, or topic=…")
    is_async = hasattr(events, "__aiter__")
    kind: Any = _TopicEvents if topic is not None else _AsyncEvents if is_async else _Events
    fields = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    content = cast("Iterable[bytes]", kind(events, retry, keep_alive))
    return Response(200, {**fields, **(headers or {})}, content)


def _wire(told: _Told) -> bytes:
    if not isinstance(told, Event):
        told = Event(told)
    data = told.data if isinstance(told.data, str) else _json_text.text(told.data)
    return _event(data, told.event, None if told.id is None else str(told.id), told.retry)


class _Stream:
    """The common part of both kinds of streams. The engine asks for `_keep_alive`."""

    def __init__(self, retry: int | None, keep_alive: float | None) -> None:
        self._first = b"" if retry is None else b"retry: %d\n\n" % retry
        self._keep_alive = keep_alive

    def _take_first(self) -> bytes:
        first, self._first = self._first, b""
        return first


class _Events(_Stream):
    def __init__(self, events: Iterable[_Told], retry: int | None, keep_alive: float | None) -> None:
        super().__init__(retry, keep_alive)
        self._events = iter(events)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._take_first() or _wire(next(self._events))


# Bytes of events that one piece of a stream brings, if more wait.
_TOGETHER = 1 << 16


class _AsyncEvents(_Stream):
    def __init__(self, events: AsyncIterable[_Told], retry: int | None, keep_alive: float | None) -> None:
        super().__init__(retry, keep_alive)
        self._events = aiter(events)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return self._take_first() or _wire(await anext(self._events))

    async def aclose(self) -> None:
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


class _TopicEvents(_AsyncEvents):
    """Events of a topic. All that wait leave in one piece, since each piece goes from asyncio's thread to the event loop and back."""

    async def __anext__(self) -> bytes:
        if first := self._take_first():
            return first
        told = _wire(await anext(self._events))
        waiting = cast(Any, self._events).take_waiting(_TOGETHER - len(told))
        return b"".join([told, *map(_wire, waiting)]) if waiting else told
