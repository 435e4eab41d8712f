"""Tests without a port: `client = server.test_client()`, then `client.get("/path")`.

The server runs as `run()` runs it, with the same codec and limits, hooks, error handlers and log; only the network is left out.
No test framework is needed, and none is in the way.
"""

from __future__ import annotations

import json as _json
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPException, HTTPResponse
from socket import socket
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ._testing import in_memory as _in_memory
from ._testing.cookies import Cookies
from ._testing.form import multipart
from ._testing.response import TestResponse
from ._testing.websocket import TestWebSocket, WebSocketRefused, open_websocket

if TYPE_CHECKING:
    from ._input.override import Override
    from ._outside import OutsideHTTP
    from ._testing.session import ClientSession

__all__ = ["Cookies", "TestClient", "TestResponse", "TestWebSocket", "WebSocketRefused"]

_Pairs: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
# Longer ones are sent by a thread, so that a server that answers before it has read all is heard.
_SENT_AT_ONCE = 65536
_MOST_REDIRECTS = 20


class TestClient:
    """A client of one server that needs no network.

    `follow_redirects` holds for every request that does not say otherwise. `raise_exceptions` raises the exception of a handler
    in the test; without it the response is that of any client, and has the exception as its `exception`. `headers` are sent
    with every request, `address` is the IP address that the server sees, `timeout` is in seconds and for each wait.

    The server starts with the first request and ends with `close()`, at the end of a `with` block, or with the client itself.
    Cookies are kept. A client is for one thread at a time; several clients may share a server.
    """

    __test__ = False  # for pytest, which looks at names

    def __init__(
        self,
        server: OutsideHTTP,
        *,
        follow_redirects: bool = False,
        raise_exceptions: bool = False,
        headers: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
        host: str = "localhost",
        timeout: float = 30.0,
    ) -> None:
        self.server = server
        self.follow_redirects = follow_redirects
        self.raise_exceptions = raise_exceptions
        self.headers = dict(headers or {})
        self.cookies = Cookies()
        self.timeout = timeout
        self._address = address
        self._host = host
        self._run: _in_memory.Run | None = None
        self._socket: socket | None = None
        self._port = 0
        self._end: Any = None
        self._overrides: list[Any] = []

    def get(self, path: str, **options: Any) -> TestResponse:
        """GET; for the options see `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        """POST; for the options see `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> TestResponse:
        """PUT; for the options see `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> TestResponse:
        """PATCH; for the options see `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        """DELETE; for the options see `request`."""
        return self.request("DELETE", path, **options)

    def head(self, path: str, **options: Any) -> TestResponse:
        """HEAD; for the options see `request`."""
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> TestResponse:
        """OPTIONS; for the options see `request`."""
        return self.request("OPTIONS", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: _Pairs | None = None,
        headers: Mapping[str, str | list[str]] | None = None,
        json: Any = ...,
        data: str | bytes | _Pairs | Iterable[bytes] | None = None,
        files: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
        cookies: Mapping[str, str] | None = None,
        follow_redirects: bool | None = None,
        stream: bool = False,
    ) -> TestResponse:
        """Sends a request and reads the whole answer; with `stream` only its head, the rest as the test asks for it.

        `params` are added to the query. The content is `json`, or `data`: `str` and `bytes` as they are, a mapping as an HTML
        form, any other iterable of `bytes` in chunks. `files` makes the form a multipart one: each is `bytes`, `str`, an open
        file, or `(filename, content)` or `(filename, content, media_type)`. `cookies` are sent once, beside those that are
        kept.
        """
        content, media_type = _content(json, data, files)
        sent = {"Host": self._host, **self.headers}
        if media_type is not None:
            sent["Content-Type"] = media_type
        target = _target(path, params)
        history: list[TestResponse] = []
        follows = self.follow_redirects if follow_redirects is None else follow_redirects
        while True:
            host = _host_of(_merged(sent, headers))
            fields = _merged(sent, {"Cookie": self.cookies._field(host, target, cookies)}, headers)
            response = self._exchange(method, target, fields, content, stream)
            location = response.headers.get("Location")
            if not follows or location is None or response.status_code not in (301, 302, 303, 307, 308):
                response.history = history
                return response
            response.content
            history.append(response)
            if len(history) > _MOST_REDIRECTS:
                raise RuntimeError(f"more than {_MOST_REDIRECTS} redirects, the last one from {target} to {location}")
            target = self._redirected(host, target, location)
            if (response.status_code == 303 and method != "HEAD") or (response.status_code in (301, 302) and method == "POST"):
                # RFC 9110 section 15.4.
                method, content = "GET", None
                sent.pop("Content-Type", None)
                headers = {name: value for name, value in (headers or {}).items() if not name.lower().startswith("content-")}

    @property
    def session(self) -> ClientSession:
        """The session of this client, as `request.session` of its next request: to be read, and to be set."""
        from ._testing.session import ClientSession

        return ClientSession(self.server, self.cookies)

    def websocket(
        self,
        path: str,
        *,
        params: _Pairs | None = None,
        headers: Mapping[str, str] | None = None,
        subprotocols: Iterable[str] = (),
    ) -> TestWebSocket:
        """Opens a WebSocket: `with client.websocket("/ws") as ws: ws.send("hi"); ws.recv()`.

        `WebSocketRefused`, with the response, if the server answers anything but 101.
        """
        target = _target(path, params)
        sent = {"Host": self._host, **self.headers}
        host = _host_of(_merged(sent, headers))
        fields = _merged(sent, {"Cookie": self.cookies._field(host, target, None)}, headers)
        connection, port = self._connect()
        try:
            websocket = open_websocket(connection, target, fields, subprotocols)
        except WebSocketRefused as refusal:
            self._finish(refusal.response, port, host)
            raise
        self.cookies._receive(websocket.response.headers.get_all("Set-Cookie"), host, target)
        return websocket

    def override(self, function: Callable[..., Any], instead: Callable[..., Any]) -> Override:
        """Has `instead` called wherever a handler depends on `function` (`Depends`), until the client is closed, or to the end of
        the block: `with client.override(database, lambda: fake):`.

        It may have other parameters. A function on which no handler depends is a `ValueError`.
        """
        from ._input.override import Override

        override = Override(self.server, function, instead)
        self._overrides.append(override)
        return override

    def close(self) -> None:
        """Closes its connection, and ends the server if no other client uses it."""
        while self._overrides:
            self._overrides.pop().undo()
        self._drop_connection()
        if self._run is not None:
            self._run = None
            self._end()

    def __enter__(self) -> TestClient:
        self._running()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TestClient of {self.server!r}>"

    def _running(self) -> _in_memory.Run:
        if self._run is None:
            self._run = run = _in_memory.use(self.server)
            # Without waiting: a collection may come on any thread, those of the server included.
            self._end = weakref.finalize(self, _in_memory.leave, run, False)
            finalizer = self._end

            def end() -> None:
                if finalizer.detach() is not None:
                    _in_memory.leave(run)

            self._end = end
        return self._run

    def _connect(self) -> tuple[socket, int]:
        connection, port = self._running().connect(self._address)
        connection.settimeout(self.timeout)
        return connection, port

    def _drop_connection(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, method: str, target: str, fields: Mapping[str, Any], content: Any, stream: bool) -> TestResponse:
        """One request and its answer, on the connection that is there or on a new one."""
        is_new = self._socket is None
        if self._socket is None:
            self._socket, self._port = self._connect()
        connection, port = self._socket, self._port
        head, pieces = _written(method, target, fields, content)
        sending: threading.Thread | None = None
        try:
            sending = _send(connection, head, pieces)
            answer = HTTPResponse(connection, method=method)
            answer.begin()
        except TimeoutError:
            self._drop_connection()
            raise TimeoutError(f"{method} {target}: no answer within {self.timeout:g} s") from None
        except (HTTPException, OSError) as error:
            self._drop_connection()
            # The server may have closed the connection while it rested (RFC 9112 section 9.3.1).
            if not is_new and (isinstance(content, bytes) or content is None):
                return self._exchange(method, target, fields, content, stream)
            raise ConnectionError(f"{method} {target}: the server has closed the connection without an answer") from error
        response = TestResponse(answer, method, target, lambda: self._release(connection, sending, answer.will_close))
        if stream:
            # It has this connection for itself.
            self._socket = None
            response._owned = connection
        else:
            try:
                response.content
            except BaseException:
                self._drop_connection()
                raise
        self._finish(response, port, _host_of(fields))
        return response

    def _release(self, connection: socket, sending: threading.Thread | None, is_last: bool) -> None:
        """An answer was read to its end."""
        if is_last or (sending is not None and sending.is_alive()):
            connection.close()
            if self._socket is connection:
                self._socket = None

    def _finish(self, response: TestResponse, port: int, host: str) -> None:
        self.cookies._receive(response.headers.get_all("Set-Cookie"), host, response.url)
        response.exception = self._running().raised(port)
        if self.raise_exceptions and response.exception is not None:
            raise response.exception

    def _redirected(self, host: str, target: str, location: str) -> str:
        parts = urlsplit(urljoin(f"http://{host}{target}", location))
        if parts.netloc != host:
            raise RuntimeError(f"the redirect to {location} leads to another server, which a test client does not ask")
        return _target(parts.path + (f"?{parts.query}" if parts.query else ""), None)


def _target(path: str, params: _Pairs | None) -> str:
    """Path and query as they are sent: characters that may not stand in them are percent-encoded, encoded ones stay."""
    if not path.startswith("/") and path != "*":
        raise ValueError(f"a path begins with '/', not {path!r}")
    path = path.partition("#")[0]
    path, question, query = path.partition("?")
    target = quote(path, safe="/%:@!$&'()*+,;=~-._") + question + quote(query, safe="/%:@!$&'()*+,;=~-._?")
    if params is not None:
        added = urlencode(list(params.items()) if isinstance(params, Mapping) else list(params), doseq=True)
        target += ("&" if question else "?") + added if added else ""
    return target


def _host_of(fields: Mapping[str, Any]) -> str:
    return next((str(value) for name, value in fields.items() if name.lower() == "host"), "")


def _content(json: Any, data: Any, files: Any) -> tuple[Any, str | None]:
    """The bytes of a request, or an iterable of them, and their media type."""
    if json is not ...:
        if data is not None or files is not None:
            raise TypeError("json stands alone: it is the whole content")
        return _json.dumps(json, ensure_ascii=False).encode("utf-8", "backslashreplace"), "application/json"
    if files is not None:
        if isinstance(data, (str, bytes)):
            raise TypeError("beside files, data is a mapping of form fields")
        return multipart(data, files)
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=utf-8"
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), None
    if isinstance(data, Mapping) or (isinstance(data, list) and all(isinstance(pair, tuple) for pair in data)):
        pairs = list(data.items()) if isinstance(data, Mapping) else data
        return urlencode(pairs, doseq=True).encode(), "application/x-www-form-urlencoded"
    return data, None


def _merged(*several: Mapping[str, Any] | None) -> dict[str, Any]:
    """Header fields; later ones replace earlier ones, with names in any case, and `None` takes one away."""
    merged: dict[str, tuple[str, Any]] = {}
    for fields in several:
        for name, value in (fields or {}).items():
            merged[name.lower()] = (name, value)
    return {name: value for name, value in merged.values() if value is not None}


def _written(method: str, target: str, fields: Mapping[str, Any], content: Any) -> tuple[bytes, Iterable[bytes]]:
    lower = {name.lower() for name in fields}
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in fields.items():
        lines += [f"{name}: {one}" for one in (value if isinstance(value, list) else [value])]
    pieces: Iterable[bytes] = ()
    if isinstance(content, bytes):
        if not lower & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(content)}")
        pieces = (content,)
    elif content is not None:
        lines.append("Transfer-Encoding: chunked")
        pieces = _chunks(content)
    elif method in ("POST", "PUT", "PATCH") and "content-length" not in lower:
        lines.append("Content-Length: 0")
    for line in lines:
        if "\r" in line or "\n" in line:
            raise ValueError(f"a header field holds a line break: {line!r}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), pieces


def _chunks(pieces: Iterable[bytes]) -> Iterable[bytes]:
    for piece in pieces:
        data = piece.encode() if isinstance(piece, str) else bytes(piece)
        if data:
            yield b"%x\r\n%b\r\n" % (len(data), data)
    yield b"0\r\n\r\n"


def _send(connection: socket, head: bytes, pieces: Iterable[bytes]) -> threading.Thread | None:
    if isinstance(pieces, tuple) and sum(map(len, pieces)) <= _SENT_AT_ONCE:
        try:
            connection.sendall(head + b"".join(pieces))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer that was given before may be there
        return None

    def send() -> None:
        try:
            connection.sendall(head)
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass  # the server has answered and wants no more

    thread = threading.Thread(target=send, name="outside-test-upload", daemon=True)
    thread.start()
    return thread
