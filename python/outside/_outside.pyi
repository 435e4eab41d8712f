"""The compiled half of the package: the types of each name.

Written by hand and compared with the built module by `make test` (mypy.stubtest). Type aliases, which begin with an underscore,
exist for type checkers only.
"""

from asyncio import Task
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextvars import Context
from io import BufferedReader
from os import PathLike
from socket import socket
from types import FrameType
from typing import Any, BinaryIO, ClassVar, Generic, Literal, NoReturn, Protocol, TypeAlias, final, overload

from typing_extensions import TypeVar, Unpack

from ._application.auth import Authorization
from ._application.session import Session
from ._handlers.body import BodyPieces
from ._handlers.cookies import _CookieAttributes
from ._handlers.headers import Headers
from ._handlers.multi_dict import MultiDict
from ._handlers.websocket import BinaryMessage, TextMessage

_F = TypeVar("_F", bound=Callable[..., object])
_T = TypeVar("_T")
# The class of `request.state`.
_S = TypeVar("_S", default=Any)
_Json: TypeAlias = dict[Any, Any] | list[Any]
_Pieces: TypeAlias = Iterable[str | bytes] | AsyncIterable[str | bytes]
_Content: TypeAlias = "str | bytes | FilePath | _Json | _Model | _Pieces"
_Address: TypeAlias = tuple[str, int]

class _Writable(Protocol):
    """An open binary file, as far as it is needed."""

    def write(self, data: bytes, /) -> object: ...

class _TypedDict(Protocol):
    """Any class made by `TypedDict`, which is a dictionary when the program runs and none to type checkers."""

    __required_keys__: ClassVar[frozenset[str]]
    __optional_keys__: ClassVar[frozenset[str]]

# The values that a handler may return: `(code, message)` is answered by that code's error handler, `None` by 204.
class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]

class _Struct(Protocol):
    """Any `msgspec.Struct`."""

    __struct_fields__: ClassVar[tuple[str, ...]]

class _Pydantic(Protocol):
    __pydantic_serializer__: ClassVar[Any]

class _Attrs(Protocol):
    __attrs_attrs__: ClassVar[Any]

_Model: TypeAlias = _Dataclass | _Struct | _Pydantic | _Attrs
_AnswerBody: TypeAlias = Response | str | bytes | _Json | _TypedDict | _Model | None
_Fields: TypeAlias = dict[str, Any] | list[tuple[str, str]] | None
_Answer: TypeAlias = (
    _AnswerBody
    | tuple[int, str | None]
    | tuple[int, _Json | _TypedDict | _Model]
    | tuple[_AnswerBody, int]
    | tuple[_AnswerBody, int, _Fields]
)
_Handler: TypeAlias = (
    Callable[[Request[Any]], _Answer] | Callable[[Request[Any]], Awaitable[_Answer]] | FilePath | Folder | WebSocket
)
_ErrorHandler: TypeAlias = Callable[..., _Answer] | Callable[..., Awaitable[_Answer]]

__all__ = [
    "ASGIApplication",
    "Board",
    "ContentError",
    "Counter",
    "FilePath",
    "Folder",
    "FormFile",
    "Gauge",
    "HTTPException",
    "HandlerTimeout",
    "Histogram",
    "HubChannel",
    "HubLoop",
    "OutsideHTTP",
    "OutsideHTTP_Redirect",
    "Request",
    "Response",
    "ResponseCookie",
    "ResponseHeaders",
    "ScheduledResponse",
    "SeatPair",
    "TopicReader",
    "WSGIApplication",
    "WSGIFileWrapper",
    "WebSocket",
    "WebSocketConnection",
    "_Body",
    "_Connector",
    "_FormContent",
    "_LoopSource",
    "_Signer",
    "_ConnectionBytes",
    "__version__",
    "_add_route",
    "_belongings",
    "_call_place",
    "_check_cors",
    "_content_disposition",
    "_count_subscriber",
    "_counter",
    "_error_page",
    "_event",
    "_field",
    "_forgo_content",
    "_forked",
    "_gauge",
    "_histogram",
    "_json_content",
    "_json_size",
    "_json_text",
    "_log_failure",
    "_log_session_failure",
    "_media_type",
    "_own_descriptors",
    "_read_missed",
    "_read_topic",
    "_release_wakes",
    "_remove_pattern",
    "_report",
    "_request_number",
    "_route_parameters",
    "_run_on_loop",
    "_request_of_thread",
    "_running_servers",
    "_serve_in_memory",
    "_set_any_errorhandler",
    "_set_around",
    "_set_stack_source",
    "_settle",
    "_settle_response",
    "_shared_begin",
    "_shared_call",
    "_shares_nothing",
    "_status_of",
    "_stop_reading_topic",
    "_take_seat",
    "_take_state_seat",
    "_wants_content",
    "abort",
    "command",
    "get_description",
    "get_insensitive_header",
    "status_codes",
]

__version__: str

class OutsideHTTP:
    """An HTTP server with routes, error handlers and a configuration. Nothing is bound before `run()`.

    `config` is a dictionary, changed before `run()`, which refuses unknown keys and wrong types.
    """

    config: dict[str, Any]
    def __init__(self, host: _Address | str) -> None: ...
    @property
    def address(self) -> tuple[str, int] | None:
        """Where the server listens, the chosen port included; `None` while it does not. `"unix:PATH"` for a Unix socket."""
    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """All places where it listens: the constructor's, those of `listen()`, that of `https_redirect`; a host name may stand
        for several."""
    @property
    def _terminate_process(self) -> bool: ...
    @property
    def _active_requests(self) -> list[Request]: ...
    @property
    def _routes(self) -> dict[str, Any]: ...
    @property
    def _error_routes(self) -> dict[int, Any]: ...
    def set_route(
        self,
        route: str,
        handler: _Handler,
        blocking: bool | None = None,
        host: str | None = None,
        streaming: bool = False,
        cancel_on_disconnect: bool | None = None,
    ) -> None:
        """Answers the path `route` and everything below it; replaces the route that was there. Works while the server runs.

        With `host`, a name, an IP address or `"*.example.com"`, it answers requests for that host alone, and comes before
        the routes of all hosts. With `streaming` the function begins when the head of a request is there, and takes the
        content by `iter_body()`. `cancel_on_disconnect` is whether an `async def` function is cancelled, and a streamed
        answer ended, when the client leaves or closes its side of the connection; `None`: as the configuration says.
        """
    def set_cors(self, route: str, cors: Any) -> None:
        """Which pages of other origins may read the answers below this path; as `config["cors"]`, which it replaces there."""
    def remove_route(self, route: str, host: str | None = None) -> None:
        """Takes effect for the next request. An unknown route is a `KeyError`."""
    def publish(self, topic: str, data: str | bytes | bytearray | memoryview) -> None:
        """Sends to all WebSocket connections and event streams that have subscribed to the topic, in all processes of this
        server: to each at most once, in one order for all of them. Waits for none of them.

        While much waits to be handed out, the WebSocket connection whose handler publishes is read more slowly; what exceeds
        `config["max_published_mb"]` all the same is dropped, and the log says how many messages were.
        """
    def publish_and_wait(self, topic: str, data: str | bytes | bytearray | memoryview, timeout: float = 1.0) -> str:
        """The same, and waits for the id of the message, as `epoch-number`. `TimeoutError`: it may have been sent or not;
        `ConnectionError` says the same when the broker of `config["bus"]` was lost meanwhile."""
    def listeners(self, topic: str, timeout: float = 1.0) -> int:
        """How many connections have subscribed to the topic, in all processes of this server; `TimeoutError` after `timeout`."""

    def set_errorhandler(self, errorcode: int, handler: _ErrorHandler) -> None:
        """`handler(request, message=None)` makes every answer with this code that the server would make itself."""
    def remove_errorhandler(self, errorcode: int) -> None:
        """Back to the built-in page; nothing happens if no handler was set."""
    def listen(self, host: _Address | str, tls: bool | dict[str, Any] | list[dict[str, Any]] | None = None) -> None:
        """Listens here too, from the next `run()` on.

        `tls`: whether TLS is spoken there: `True`, with the certificates of the configuration, or `{"certfile": path,
        "keyfile": path}` or a list of such.
        """
    def run(self) -> None:
        """Binds, prints each URL, serves until terminated, then returns."""
    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Waits until the server listens; `False` if that took longer than `timeout` seconds."""
    def terminate(self, signum: int | None = None, stackframe: FrameType | None = None) -> None:
        """Stops accepting, answers requests in flight, cuts those that are left after `termination_timeout`."""

@final
class Counter:
    """A sum that grows, over all processes: `server.counter("orders")`."""

    def inc(self, amount: float | None = None, /, **labels: object) -> None:
        """Adds an amount, 0 or more (1 without one), to the series of these label values."""

@final
class Gauge:
    """A value that rises and falls: `server.gauge("jobs")`."""

    def set(self, value: float, /, **labels: object) -> None:
        """Sets the value of the series of these label values."""
    def inc(self, amount: float | None = None, /, **labels: object) -> None:
        """Adds an amount (1 without one)."""
    def dec(self, amount: float | None = None, /, **labels: object) -> None:
        """Takes an amount away (1 without one)."""

@final
class Histogram:
    """How often values were within which bounds: `server.histogram("size_bytes")`."""

    def observe(self, value: float, /, **labels: object) -> None:
        """Counts a value in the series of these label values."""

class OutsideHTTP_Redirect:
    """Redirects every request to the destination, joined with its path and query."""

    def __init__(self, host: _Address | str, destination: str) -> None: ...
    @property
    def config(self) -> dict[str, Any]:
        """The settings, as of `OutsideHTTP`."""
    @property
    def address(self) -> tuple[str, int] | None:
        """Where the server listens; `None` while it does not."""
    def run(self) -> None:
        """Binds, prints the URL, redirects until terminated, then returns."""
    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Waits until the server listens; `False` if that took longer than `timeout` seconds."""
    def terminate(self, signum: int | None = None, stackframe: FrameType | None = None) -> None:
        """Stops accepting, answers requests in flight, then ends `run()`."""

class HTTPException(Exception):
    """Ends a handler with the error page, or the error handler, of this code (400 to 599). May be subclassed."""

    code: int
    message: str | None
    def __init__(self, code: int, message: str | None = None) -> None: ...

def _content_disposition(is_attachment: bool, name: str | None) -> str: ...
def _field(request: Request, name: str) -> str | None: ...
def _json_content(request: Request) -> bytes | None: ...
def _media_type(request: Request) -> str: ...
def _json_size(value: Any, /) -> int: ...
def _json_text(value: Any, /) -> str: ...
def _event(data: str, event: str | None, id: str | None, retry: int | None) -> bytes: ...
def abort(code: int, message: str | None = None) -> NoReturn:
    """Raises `HTTPException`: the client gets the error page, or the answer of this code's error handler."""

@final
class ContentError(ValueError):
    """The content of a request cannot be taken, and the client is to blame: a malformed form, one past its limits, an upload
    that has stopped. If no handler catches it, the client gets `code`.
    """

    @property
    def code(self) -> int: ...
    @property
    def limit(self) -> str | None:
        """The key of the configuration that sets the limit, if it is one of those."""

@final
class FormFile:
    """One uploaded file: a binary file of Python, at its beginning. False if nothing was chosen in the form."""

    @property
    def name(self) -> str:
        """The last segment of the client's file name, which leads into no other folder; empty if there is none."""
    @property
    def filename(self) -> str:
        """The name as the client wrote it; never a path to write to."""
    @property
    def type(self) -> str:
        """The media type the client gave, empty if none: its word, no more."""
    @property
    def content_type(self) -> str:
        """The same as `type`."""
    @property
    def headers(self) -> Headers:
        """The header fields of its part of the form."""
    @property
    def size(self) -> int:
        """Its length in bytes."""
    @property
    def content(self) -> bytes:
        """Its bytes, read once and remembered, wherever the position is."""
    @property
    def file(self) -> BufferedReader:
        """The same file, with the same position, for libraries that ask for a class of `io`."""
    def save(self, destination: str | PathLike[str] | _Writable) -> int:
        """Writes all of it to this path without reading it into memory, or into an open binary file, and gives its size; a file
        that is there already is replaced."""
    def read(self, size: int | None = -1) -> bytes:
        """Bytes from the position on: `size` of them, or all that are left. Nothing is remembered."""
    def read1(self, size: int = -1) -> bytes: ...
    def readinto(self, buffer: Any) -> int: ...
    def readline(self, size: int | None = -1) -> bytes: ...
    def readlines(self, hint: int | None = -1) -> list[bytes]: ...
    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves the position, as in any file, and gives the new one."""
    def tell(self) -> int: ...
    def readable(self) -> bool: ...
    def seekable(self) -> bool: ...
    def writable(self) -> bool: ...
    def isatty(self) -> bool: ...
    def flush(self) -> None: ...
    def write(self, data: Any) -> NoReturn:
        """`io.UnsupportedOperation`, as are the other two: files that are read have these methods."""
    def truncate(self, size: int | None = None) -> NoReturn: ...
    def fileno(self) -> NoReturn: ...
    def close(self) -> None:
        """Ends reading with a position; `content` and `save` go on working."""
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> FormFile: ...
    def __exit__(self, *_error: object) -> None: ...
    def __iter__(self) -> FormFile:
        """Line by line."""
    def __next__(self) -> bytes: ...
    def __bool__(self) -> bool: ...
    def __len__(self) -> int: ...

@final
class _FormContent:
    """The bytes of an uploaded file, below `FormFile.file`."""

    @property
    def size(self) -> int: ...
    def read(self, start: int, count: int) -> bytes: ...
    def save(self, path: str | PathLike[str]) -> int: ...

class Request(Generic[_S]):
    """One request. Made by the server; by hand for tests and `ScheduledResponse`."""

    def __init__(
        self, method: str, headers: dict[str, Any], content: bytes, version: str, url: str, address: _Address
    ) -> None: ...
    @property
    def method(self) -> str:
        """As it was sent: methods are case-sensitive (RFC 9110 section 9.1), and `delete` is not `DELETE`."""
    @property
    def headers(self) -> Headers:
        """A dictionary whose look-ups ignore case."""
    @property
    def cookies(self) -> dict[str, str]:
        """Names and values of the Cookie field."""
    @property
    def content(self) -> bytes:
        """The body."""
    @property
    def content_file(self) -> BinaryIO:
        """The content as a binary file at its beginning; a large upload is not read into memory for it."""

    def iter_body(self) -> BodyPieces:
        """The content piece by piece, for `for` or `async for`: on a route with `streaming=True` as it comes in, once."""
    @property
    def version(self) -> str:
        """`"HTTP/1.1"` or `"HTTP/1.0"`."""
    @property
    def url(self) -> str:
        """The path, percent-decoded once, without the query."""
    @property
    def path(self) -> str:
        """The same as `url`."""
    @property
    def params(self) -> dict[str, str]:
        """The query: the first value of each name."""
    @property
    def args(self) -> MultiDict[str]:
        """The query: the first value of each name, and all of them by `get_all`."""
    @property
    def params_all(self) -> dict[str, list[str]]:
        """The query: every value of each name."""
    @property
    def query(self) -> str:
        """The query as received, without the question mark."""
    @property
    def route(self) -> str | None:
        """The route that answers, as it was written for a decorator; `None` for one of `set_route`."""
    @property
    def path_params(self) -> dict[str, Any]:
        """The parameters of the path by name; empty if the route has none."""
    @property
    def address(self) -> tuple[str, int]:
        """Address and port of the client, as far as `trusted_proxies` tell; `("", 0)` if it has none."""
    @property
    def client(self) -> tuple[str, int]:
        """The same as `address`."""
    @property
    def peer(self) -> tuple[str, int]:
        """Address and port at the other end of the connection: those of the client, or of a proxy."""
    @property
    def host(self) -> str:
        """The host, and perhaps port, that the request was sent to, as received, or as a trusted proxy says."""
    @property
    def scheme(self) -> str:
        """`"https"` if the client came by TLS, to this server or to a trusted proxy, else `"http"`."""
    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 become U+FFFD."""
    @property
    def form(self) -> MultiDict[str]:
        """The fields of an HTML form; a malformed or oversized one is a `ContentError`."""
    @property
    def files(self) -> MultiDict[FormFile]:
        """The files of an HTML form; a malformed or oversized one is a `ContentError`."""
    @overload
    def json(self, model: None = None, *, strict: bool = False) -> Any: ...
    @overload
    def json(self, model: type[_T], *, strict: bool = False) -> _T:
        """The value of the body as JSON, or `None` if it is not JSON; NaN and infinities are not. It is parsed once: each call
        returns the same object.

        With a model the value is one of it. Content that does not fit is an `InputError` (422, 400, 415); so with `strict` is
        content that is no JSON.
        """
    def _json_or_reason(self) -> tuple[Any, str | None]: ...
    def __class_getitem__(cls, args: Any, /) -> Any: ...
    @property
    def state(self) -> _S:
        """The program's own values of this request. `Request[State]` names a class for it, which type checkers follow."""
    @property
    def session(self) -> Session:
        """A dictionary of the browser, in a cookie that is signed with `config["secret"]`; written when it has changed."""
    @property
    def id(self) -> str:
        """An id that no other request has: `X-Request-ID` of a trusted proxy, else the id of the trace, of 32 hexadecimal digits. It is
        on the answer (`X-Request-ID`) and in the log."""
    @property
    def traceparent(self) -> str:
        """The field of this name for requests that are made on behalf of this one (W3C Trace Context)."""
    @property
    def tracestate(self) -> str:
        """The field of this name that goes with it; empty if there is none."""
    @property
    def content_type(self) -> str:
        """The media type of the content, with its parameters, as received; empty if there is none."""
    @property
    def is_json(self) -> bool:
        """Whether the Content-Type says that the content is JSON."""
    @property
    def user_agent(self) -> str:
        """The User-Agent field; empty if there is none."""
    @property
    def authorization(self) -> Authorization | None:
        """The Authorization field: scheme, credentials, and of Basic the user and the password; `None` without it."""
    @property
    def remote_addr(self) -> str:
        """The IP address of the client, as in `address`."""
    @property
    def raw_path(self) -> str:
        """The path as received, percent-encoded, without the query."""
    @property
    def base_url(self) -> str:
        """Scheme, host and path, as the client wrote them, without the query."""
    @property
    def full_url(self) -> str:
        """The same with the query."""
    def after(self, function: Callable[..., object], *arguments: Any) -> None:
        """Calls a function, plain or `async def`, with these arguments when the answer is out, in a pool of its own."""
    @property
    def _server(self) -> Any: ...
    @property
    def _session(self) -> Session | None: ...
    def _begin(self, server: Any) -> None: ...

@final
class ResponseHeaders(dict[str, Any]):
    """The header fields of a response: names stay as they were set, look-ups ignore case. The value of a repeated field is a
    list."""

    def get_all(self, name: str) -> list[Any]:
        """Every value of a field, in order; empty if there is none."""

class Response:
    """An answer: status, headers, content and cookies. All of it can be changed until it is sent.

    Without arguments: 200, no headers, no content, no cookies. `headers`: name to `str`, number, or a list of `str` for a
    repeated field. `cookies`: name to `ResponseCookie` or `str`. Objects that are handed over stay as they are: the response
    makes copies of the dictionaries (and of content that is a `dict`, `list` or `bytearray`) when they are first asked for. A
    `Content-Length` is sent where the server cannot know it: of a stream, which is cut off if it has another length, and of an
    answer to HEAD or a 304 without content.
    """

    status_code: int
    @property
    def headers(self) -> ResponseHeaders:
        """A dictionary whose look-ups ignore case. In `after_request` and the like it has the Content-Type that will be
        sent."""
    @headers.setter
    def headers(self, headers: dict[str, Any]) -> None: ...
    content: _Content
    cookies: dict[str, Any]
    def __init__(
        self,
        status_code: int = 200,
        headers: dict[str, Any] | None = None,
        content: _Content | None = "",
        cookies: dict[str, Any] | None = None,
    ) -> None: ...
    def set_cookie(self, name: str, value: str = "", **attributes: Unpack[_CookieAttributes]) -> None:
        """Sets a cookie. Unless told otherwise its path is `/`, scripts do not see it (`http_only`), and other sites do not make
        browsers send it (`same_site="Lax"`). `max_age` is seconds or a `timedelta`, `expires` a `datetime` or seconds since 1970.
        """
    def delete_cookie(self, name: str, **attributes: Unpack[_CookieAttributes]) -> None:
        """Makes the browser forget a cookie; path and domain are those it was set with."""
    def _show_type(self) -> None: ...
    def _is_stream(self) -> bool: ...

class ScheduledResponse:
    """Calls a route function outside the server and gives the finished `Response`."""

    def __init__(
        self, request: Request, route_function: Callable[[Request], _Answer], error_routes: dict[int, Any]
    ) -> None: ...
    def run(self) -> Response | None:
        """The response, the error handler's if the function failed, or `None` if that failed as well."""

class FilePath:
    """A file as content: the server sends it without reading it into Python.

    A name that is no UTF-8 is a `str` with surrogates, as `os.listdir` gives it.
    """

    path: str
    read_start: int
    read_end: int
    def __init__(self, path: str | PathLike[str]) -> None: ...
    def read(self, read_range: tuple[int, int] | None = None, twice: bool = False) -> bytes:
        """The bytes, or those from `read_range[0]` up to and without `read_range[1]`; remembered unless `twice`."""

class Folder:
    """A folder whose files are served below a route: `server.set_route("/static", Folder("public", listing=True))`.

    `spa` names the page that answers navigations to files that are not there: requests that a browser says are navigations
    (Sec-Fetch-Mode, Sec-Fetch-Dest), or of which Accept prefers text/html. `cache_control` maps patterns of paths below the
    folder (`*` anything, `?` one character) to values of Cache-Control.
    """

    @property
    def path(self) -> str: ...
    @property
    def listing(self) -> bool: ...
    @property
    def spa(self) -> str | None: ...
    @property
    def index(self) -> str: ...
    @property
    def cache_control(self) -> dict[str, str]: ...
    def __new__(
        cls,
        path: str | PathLike[str],
        *,
        listing: bool = False,
        spa: str | None = None,
        index: str = "index.html",
        cache_control: dict[str, str] | None = None,
    ) -> Folder: ...

class WebSocket:
    """A WebSocket on a route: `ws.on_connection(handler)`, then `server.set_route("/ws", ws)`.

    `origins` are those whose pages may connect, `"*"` all; `None`: the server's own. `max_message` is bytes,
    `max_queue` bytes of memory, of which a message that waits takes about 100 beside its payload; `ping_interval` (`None`: no
    pings) and `ping_timeout` are seconds. `when_full` decides on a message for a client that reads too slowly:
    "wait", "drop_oldest" or "close"; `when_gap` on a connection when messages of its topics were lost: "ignore" or "close".
    """

    connection_handler: Any
    def __init__(
        self,
        *,
        subprotocols: str | Iterable[str] | None = None,
        origins: str | Iterable[str] | None = None,
        max_message: int = 1048576,
        deflate: bool = False,
        ping_interval: float | None = 25.0,
        ping_timeout: float = 10.0,
        max_queue: int = 1048576,
        when_full: str = "wait",
        when_gap: str = "ignore",
    ) -> None: ...
    def on_connection(self, handler: _F) -> _F:
        """The function that has each connection for its whole life: a plain one on a thread of its own, an `async def` one on
        the asyncio loop."""

    def on_message(self, handler: _F) -> _F:
        """A function of (connection, message) for each message: no thread, no task."""

    def on_open(self, handler: _F) -> _F:
        """A function of (connection), called before the first message."""

    def on_gap(self, handler: _F) -> _F:
        """The function of (connection, topic) that is called when messages of a topic of the connection were lost, in order with
        neither its other functions nor its messages."""

    def on_exit(self, handler: _F) -> _F:
        """A function of (connection) or of nothing, called once when a connection has ended."""

class WebSocketConnection:
    """One WebSocket connection as plain functions hold it."""

    @property
    def request(self) -> Request: ...
    @property
    def subprotocol(self) -> str | None: ...
    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str | None: ...
    def __init__(
        self,
        request_class: Request,
        http_socket: socket,
        activity_queue: Any,
        terminate_function: Callable[[], object],
    ) -> None: ...
    def recv(self, timeout: float | None = None) -> TextMessage | BinaryMessage:
        """Waits for the next whole message; `TimeoutError` after `timeout` seconds, `WebSocketExit` at the end."""

    def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Sends `str` as text, `bytes` as binary, and a message of `recv` in its own kind."""

    def exit(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake."""

    def ping(self, payload: bytes | None = None) -> None: ...
    def subscribe(self, topic: str, *, after: str | int | None = None, ids: bool | None = None) -> None:
        """From now on it gets messages that are published to this topic. `after`: the id of a message, or 0; those after it
        that the history has come first. `ids`: each message comes behind its id and a space, as it does with `after`."""

    def unsubscribe(self, topic: str) -> None: ...
    def __iter__(self) -> WebSocketConnection: ...
    def __next__(self) -> TextMessage | BinaryMessage: ...
    def _receive(self) -> TextMessage | BinaryMessage | None: ...
    def _try_send(self, data: str | bytes | bytearray | memoryview) -> bool: ...
    def _listen_for_room(self) -> bool: ...

@final
class WSGIApplication:
    """A WSGI application as a handler; `outside.wsgi(app)` makes one."""

    root_path: str
    def __new__(cls, app: Any, root_path: str = ...) -> WSGIApplication: ...
    @property
    def app(self) -> Any: ...

@final
class ASGIApplication:
    """An ASGI application as a handler; `outside.asgi(app)` makes one."""

    root_path: str
    def __new__(cls, app: Any, root_path: str) -> ASGIApplication: ...
    @property
    def app(self) -> Any: ...
    def note_server(self, address: Any) -> None: ...
    def _begin(self, state: dict[str, Any] | None, context: Context | None) -> None: ...
    def _tasks(self) -> list[tuple[Task[Any], bool]]: ...

class WSGIFileWrapper:
    """`wsgi.file_wrapper`: a file that a WSGI application returns as its content."""

    def __new__(cls, filelike: Any, blksize: int = 8192) -> Any: ...
    @property
    def filelike(self) -> Any: ...
    @property
    def blksize(self) -> int: ...
    def close(self) -> None: ...
    def __iter__(self) -> Any: ...
    def __next__(self) -> bytes: ...

class HandlerTimeout(BaseException):
    """Raised in a handler that has run longer than `process_timeout`. `except Exception` does not catch it."""

class ResponseCookie:
    """A cookie to set, written as RFC 6265 asks."""

    value: str
    max_age: int | None
    domain: str | None
    http_only: bool
    secure: bool
    path: str | None
    same_site: str | None
    expires: int | None
    partitioned: bool
    def __init__(
        self,
        value: str,
        max_age: int | None = None,
        domain: str | None = None,
        http_only: bool = False,
        secure: bool = False,
        path: str | None = None,
        same_site: str | None = None,
        expires: int | None = None,
        partitioned: bool = False,
    ) -> None: ...

@final
class _Connector:
    """Connects to a server that has no port."""

    def connect(self, ip: str, port: int) -> int: ...

def _serve_in_memory(
    server: OutsideHTTP,
    ready: Callable[[_Connector], object],
    observer: Callable[[Request, BaseException], object],
) -> None: ...
def command(argv: list[str]) -> int:
    """Runs the command line, as the program `outside`; returns the exit status."""

def get_insensitive_header(headers: dict[str, Any], name: str) -> Any:
    """The value of a header for a name in any case, or `None`."""

def get_description(code: int) -> str:
    """The IANA reason phrase of a status code, `"Unknown"` for a code without one."""

def status_codes() -> list[tuple[int, str]]:
    """Every registered status code with its phrase."""

@final
class _ConnectionBytes:
    """The bytes of a `WebSocketConnection` that was made by hand."""

    def receive(self, data: bytes) -> bool: ...
    def outgoing(self) -> bytes: ...
    def end(self) -> None: ...

def _add_route(
    server: OutsideHTTP,
    pattern: str,
    methods: list[str],
    origin: str,
    handler: Any,
    by_place: list[int],
    by_name: list[tuple[str, int]],
    scope: Any,
    blocking: bool | None,
    streaming: bool,
    cancel_on_disconnect: bool | None,
) -> None: ...
def _check_cors(cors: Any) -> None: ...
def _remove_pattern(server: OutsideHTTP, pattern: str) -> bool: ...
def _set_any_errorhandler(server: OutsideHTTP, function: Callable[..., Any] | None) -> None: ...
def _route_parameters(pattern: str) -> list[str]: ...
def _set_around(
    server: OutsideHTTP, scope: Any, around: bool, gate: bool, after: bool, asynchronous: bool, finishing: bool
) -> None: ...
def _error_page(request: Request, code: int, message: str | None) -> Response: ...
def _forgo_content(request: Request) -> None: ...
def _wants_content(request: Request) -> bool: ...
def _status_of(server: OutsideHTTP, error: BaseException) -> tuple[int, str | None] | None: ...
def _report(server: OutsideHTTP, request: Request, error: BaseException) -> Response | None: ...
def _settle(answer: Any, status: int, function: Any) -> Response | tuple[int, str | None]: ...
def _settle_response(answer: Any, status: int, function: Any) -> Response: ...
def _log_failure(request: Request, what: str, error: BaseException) -> None: ...
def _log_session_failure(connection: WebSocketConnection, what: str, error: BaseException) -> None: ...
def _belongings(thread: int) -> tuple[list[int], list[_Address | str], list[int]]: ...
def _own_descriptors() -> list[int]: ...
def _forked() -> None: ...
def _run_on_loop(coroutine: Any, future: Any) -> bool: ...
def _running_servers() -> list[OutsideHTTP]: ...
def _request_of_thread(thread: int) -> Request[Any] | None: ...
def _take_seat(server: OutsideHTTP, pair: SeatPair) -> None: ...
def _take_state_seat(server: OutsideHTTP, pair: SeatPair) -> None: ...
def _read_topic(server: OutsideHTTP, topic: str, reader: TopicReader) -> None: ...
def _stop_reading_topic(server: OutsideHTTP, topic: str, reader: TopicReader) -> None: ...
def _count_subscriber(server: OutsideHTTP, topic: str, has_come: bool) -> None: ...
def _read_missed(server: OutsideHTTP, topic: str, after: str | int, reader: TopicReader, ticket: int) -> None: ...
def _counter(server: OutsideHTTP, name: str, help: str, labels: list[str]) -> Counter: ...
def _gauge(server: OutsideHTTP, name: str, help: str, labels: list[str], combine: str) -> Gauge: ...
def _histogram(server: OutsideHTTP, name: str, help: str, labels: list[str], bounds: list[float]) -> Histogram: ...
def _call_place(server: OutsideHTTP, number: int) -> tuple[int | None, Any]: ...
def _request_number(request: Request) -> int: ...
def _set_stack_source(numbers: tuple[int, int, int, int] | None) -> None: ...

@final
class Board:
    """The board of a server, for the processes that share it."""

    def __new__(cls, server: OutsideHTTP, inherited: int | None = None) -> Board: ...
    def fileno(self) -> int | None: ...
    def reserve(self) -> int | None: ...
    def begin(self, region: int, slot: int) -> None: ...
    def fold(self, region: int) -> None: ...
    def begin_generation(self) -> int | None: ...
    def fold_generation(self, block: int) -> None: ...
    def count_worker_end(self, how: str) -> None: ...
    def count_reload(self, result: str) -> None: ...
    def note_event(self, level: str, text: str) -> None: ...

@final
class TopicReader:
    """Published messages for a thread of Python."""

    def __new__(cls) -> TopicReader: ...
    def take(self, timeout: float | None = None) -> list[tuple[str, str, int, str, Any]] | None:
        """Waits for news, at most this number of seconds; `None` after `end()`."""

    def end(self) -> None: ...

@final
class HubLoop:
    """Waits for descriptors, and moves the messages of worker processes meanwhile."""

    def __new__(cls, server: OutsideHTTP | None = None) -> HubLoop: ...
    def fileno(self) -> int: ...
    def wait(self, timeout: float | None = None) -> tuple[list[int], list[str]]: ...
    def add_seat(self, pair: SeatPair) -> None: ...
    def open_channel(self) -> HubChannel: ...
    def release(self) -> None: ...

@final
class SeatPair:
    """A pair of sockets between the hub and a worker."""

    def __new__(cls) -> SeatPair: ...
    def filenos(self) -> tuple[int, int]: ...
    def close_near(self) -> None: ...
    def close(self) -> None: ...

@final
class HubChannel:
    """The end of a channel that a generation gets."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...

def _shared_call(
    target: OutsideHTTP | Request[Any],
    action: str,
    key: str,
    operands: tuple[Any, int, float | None],
    timeout: float,
    /,
) -> Any: ...
def _shared_begin(
    target: OutsideHTTP | Request[Any],
    action: str,
    key: str,
    operands: tuple[Any, int, float | None],
    future: Any,
    /,
) -> tuple[Any] | bool: ...
def _shares_nothing(target: OutsideHTTP | Request[Any], /) -> bool: ...
def _release_wakes() -> None: ...

@final
class _Signer:
    """Signs contents under the name of a cookie, and checks signatures; both know the time."""

    def __new__(cls, secret: str | list[str] | tuple[str, ...], days: float) -> _Signer: ...
    @property
    def seconds(self) -> float:
        """Seconds until a signature expires."""

    def sign(self, name: str, content: bytes, now: float | None = None) -> str:
        """The content with its time and signature, by the first secret."""

    def verify(self, name: str, value: str, now: float | None = None) -> bytes | None:
        """The content, if one of the secrets has signed it under this name and it has not expired; otherwise `None`."""

@final
class _Body:
    """The source of the pieces of `iter_body()`."""

    @property
    def is_streamed(self) -> bool: ...
    def next(self) -> bytes | None: ...
    def poll(self, ticket: int) -> bytes | Literal[False] | None: ...
    def ticket(self) -> int: ...

@final
class _Call:
    """A call of an `async def` handler that the event loop has taken; answered once."""

    def answer(self, value: Any) -> None: ...
    def fail(self, error: BaseException) -> None: ...
    def forget(self) -> None: ...
    def number(self) -> int: ...

@final
class _LoopSource:
    """The work of the event loop in `_handlers/loop.py`; made by the server only."""

    def fileno(self) -> int: ...
    def take(self) -> list[tuple[str, int, Any, Any] | tuple[str, int, Any, Any, _Call]]: ...
    def release(self) -> None: ...
    def fail(self, error: BaseException, ticket: int) -> tuple[Any, Request] | None: ...
    def instead(self, response: Response, ticket: int) -> None: ...
    def forget(self, ticket: int) -> None: ...
    def piece(self, value: Any, ticket: int) -> None: ...
    def end(self, ticket: int) -> None: ...
    def exit(self, ticket: int, code: int) -> None: ...
