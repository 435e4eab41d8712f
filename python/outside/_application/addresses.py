"""Addresses of the program's own routes: `url_for("name", id=7)`, and those of static files with a hash of their content."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from .._handlers.current import CURRENT, SERVERS, wish
from .._handlers.routes import Registry
from .._outside import FilePath, Folder

if TYPE_CHECKING:
    from .._server import OutsideHTTP

# A parameter of a pattern, in either spelling.
_PARAMETER = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>|\{(?P<name2>\w+)(?::(?P<kind2>\w+))?\}")
# Characters that a segment may hold as they are (RFC 3986 section 3.3).
_SEGMENT = "!$&'()*+,;=:@~"

# With several servers in one process, that of the request is meant.
wish()


class Address(NamedTuple):
    """One route, as addresses are made of it."""

    name: str
    pattern: str
    handler: Any
    # Whether paths below the pattern belong to the route too: of `set_route`.
    has_below: bool


def url_for(endpoint: str | Callable[..., Any], /, *, external: bool = False, **values: Any) -> str:
    """The path of a route: by the name of its handler, or the handler itself, with a value for each of its parameters.

    Values that are no parameters become the query. A group has its name before its routes' (`"admin.users"`), where one name
    would stand for several routes. `filename` is the file of a folder. `external`: with scheme and host, as the client wrote them.
    """
    server = _server("url_for")
    address = _table(server).find(endpoint, values)
    path = _filled(address, values)
    if not external:
        return path
    request = CURRENT.get()
    if request is None:
        raise RuntimeError("url_for(external=True) is called while a request is handled: its host is the client's")
    return f"{request.scheme}://{request.host}{path}"


def _server(function: str) -> Any:
    request = CURRENT.get()
    server = request._server if request is not None else None
    if server is not None:
        return server
    servers = list(SERVERS)
    if len(servers) == 1:
        return servers[0]
    found = "there is no server" if not servers else f"there are {len(servers)} servers"
    raise RuntimeError(f"{function}() outside of a request does not know its server: {found} in this process")


class _Table:
    """The routes of a server by name and by handler."""

    def __init__(self, server: OutsideHTTP) -> None:
        self.addresses = list(_addresses(server))
        self.by_name: dict[str, list[Address]] = {}
        self.by_handler: dict[int, list[Address]] = {}
        for address in self.addresses:
            for name in {address.name, address.name.rpartition(".")[2]}:
                self.by_name.setdefault(name, []).append(address)
            self.by_handler.setdefault(id(address.handler), []).append(address)

    def find(self, endpoint: str | Callable[..., Any], values: dict[str, Any]) -> Address:
        if isinstance(endpoint, str):
            found = self.by_name.get(endpoint, [])
            exact = [address for address in found if address.name == endpoint]
            found = exact or found
        else:
            found = self.by_handler.get(id(endpoint), [])
        if not found:
            raise LookupError(self._unknown(endpoint))
        # Of several paths of one handler, the one that takes most of the values.
        fitting = [address for address in found if set(_parameters(address)) <= set(values)]
        if len({id(address.handler) for address in found}) > 1:
            names = ", ".join(sorted({f"{address.name!r} ({address.pattern})" for address in found}))
            raise LookupError(
                f"url_for({endpoint!r}) stands for several routes: {names}; name the group too, or pass the handler itself"
            )
        if not fitting:
            missing = [name for name in _parameters(found[0]) if name not in values]
            raise TypeError(
                f"url_for({_shown(endpoint)}) lacks {', '.join(map(repr, missing))}: the route is {found[0].pattern!r}"
            )
        return max(fitting, key=lambda address: len(_parameters(address)))

    def _unknown(self, endpoint: Any) -> str:
        names = sorted({address.name for address in self.addresses})
        if not isinstance(endpoint, str):
            return f"url_for({_shown(endpoint)}): this function answers no route"
        close = difflib.get_close_matches(endpoint, [*names, *self.by_name], 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"url_for({endpoint!r}): no route has this name{hint}; there are {', '.join(names) or 'none'}"


def _shown(endpoint: Any) -> str:
    return repr(endpoint) if isinstance(endpoint, str) else str(getattr(endpoint, "__qualname__", endpoint))


def _table(server: Any) -> _Table:
    plain = server._routes
    key = (server._version, tuple((path, id(handler)) for path, handler in plain.items()))
    cached: tuple[Any, _Table] | None = server.__dict__.get("_addresses")
    if cached is not None and cached[0] == key:
        return cached[1]
    made = _Table(server)
    server.__dict__["_addresses"] = (key, made)
    return made


def _addresses(server: OutsideHTTP) -> Iterator[Address]:
    for path, handler in server._routes.items():
        if path.startswith("/"):
            is_function = callable(handler)
            name = getattr(handler, "__name__", None) if is_function else None
            yield Address(name or path.strip("/").replace("/", ".") or "/", path, handler, True)
    yield from _of(server, "", "")


def _of(registry: Registry, prefix: str, group: str) -> Iterator[Address]:
    for record in registry._records:
        name = record.name or getattr(record.handler, "__name__", None) or record.path.strip("/").partition("/")[0] or "/"
        yield Address(f"{group}{name}", prefix + record.path, record.function or record.handler, False)
    for before, routes in registry._mounted:
        inner = f"{group}{routes.name}." if routes.name else group
        yield from _of(routes, prefix + before + routes.prefix, inner)


def _parameters(address: Address) -> list[str]:
    return [match["name"] or match["name2"] for match in _PARAMETER.finditer(address.pattern)]


def _filled(address: Address, values: dict[str, Any]) -> str:
    left = dict(values)

    def fill(match: re.Match[str]) -> str:
        name = match["name"] or match["name2"]
        return _segment(address, name, match["kind"] or match["kind2"] or "str", left.pop(name))

    end, parts = 0, []
    for match in _PARAMETER.finditer(address.pattern):
        parts += [quote(address.pattern[end : match.start()], safe="/" + _SEGMENT), fill(match)]
        end = match.end()
    path = "".join([*parts, quote(address.pattern[end:], safe="/" + _SEGMENT)])
    if address.has_below:
        below = left.pop("filename", left.pop("path", None))
        if below is not None:
            path = path.rstrip("/") + "/" + _segment(address, "filename", "path", below).lstrip("/")
    query = urlencode([pair for name, value in left.items() if value is not None for pair in _pairs(name, value)])
    return f"{path}?{query}" if query else path


def _pairs(name: str, value: Any) -> list[tuple[str, Any]]:
    return [(name, each) for each in value] if isinstance(value, (list, tuple)) else [(name, value)]


def _segment(address: Address, name: str, kind: str, value: Any) -> str:
    """One value, percent-encoded. A value that would not lead back to this route is refused."""
    text = str(value)
    if kind == "int":
        fits = (isinstance(value, int) and not isinstance(value, bool) and value >= 0) or (text.isascii() and text.isdigit())
    elif kind == "float":
        fits = re.fullmatch(r"\d+(\.\d+)?", text) is not None
    elif kind == "uuid":
        fits = (
            isinstance(value, uuid.UUID)
            or re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None
        )
    elif kind == "path":
        fits = text != "" and not {".", ".."} & set(text.split("/"))
    else:
        # An encoded slash would be none of this route's.
        fits = text not in ("", ".", "..") and "/" not in text and value is not None
    if not fits or "\0" in text:
        raise ValueError(
            f"url_for: {name}={value!r} does not fit the route {address.pattern!r}, where it is of the kind {kind!r}"
        )
    return quote(text, safe=_SEGMENT + ("/" if kind == "path" else ""))


# Hashes of files, each with the facts of the file when it was read.
_hashes: dict[str, tuple[tuple[int, int, int], str]] = {}
_lock = threading.Lock()
DIGITS = 16


def static_url(filename: str, folder: str | None = None) -> str:
    """The path of a file in a folder of the server, with a hash of its content: browsers keep it for a year, and ask anew when it
    has changed.

    `folder` is the name or path of its route, which is not needed if only one folder is served.
    """
    server = _server("static_url")
    table = _table(server)
    folders = [address for address in table.addresses if isinstance(address.handler, (Folder, FilePath))]
    if folder is not None:
        folders = [address for address in folders if folder in (address.name, address.pattern)]
    elif len(folders) > 1:
        folders = [address for address in folders if address.name == "static"]
    if len(folders) != 1:
        names = ", ".join(address.name for address in table.addresses if isinstance(address.handler, (Folder, FilePath)))
        raise LookupError(
            f"static_url({filename!r}) needs one folder, and the server has {names or 'none'}; static_url(name, folder) says which"
        )
    address = folders[0]
    values = {"filename": filename} if address.has_below else dict.fromkeys(_parameters(address), filename)
    path = _filled(address, values)
    file = os.path.join(os.fspath(address.handler.path), *filename.split("/"))
    return f"{path}?v={_hash(file)}"


def _hash(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError as error:
        raise FileNotFoundError(f"static_url: {path!r} cannot be read: {error.strerror}") from None
    facts = (found.st_mtime_ns, found.st_size, found.st_ino)
    known = _hashes.get(path)
    if known is not None and known[0] == facts:
        return known[1]
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    with _lock:
        _hashes[path] = (facts, digest)
    return digest
