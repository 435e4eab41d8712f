"""`Depends`: a parameter is the value of a function, called once for each request, whose end comes after the answer is made."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from outside import Depends, Header, OutsideHTTP, Request, Response, Routes, WebSocketConnection, abort, event_stream


def answer_to(server: OutsideHTTP, path: str = "/", method: str = "GET", **options: Any) -> Any:
    server.config["access_log"] = "off"
    with server.test_client() as client:
        return client.request(method, path, **options)


async def number() -> int:
    await asyncio.sleep(0)
    return 5


def plain_number() -> int:
    return 5


class Settings:
    """A class is called too, and its parameters are those of its `__init__`."""

    def __init__(self, q: str = "none") -> None:
        self.q = q


class Adder:
    """So is an object that can be called."""

    def __init__(self, more: int) -> None:
        self.more = more

    def __call__(self, page: int = 1) -> int:
        return page + self.more


@pytest.mark.parametrize("style", ["plain", "async"])
@pytest.mark.parametrize("function", [number, plain_number])
def test_a_parameter_is_the_value_of_a_function(server, style, function):
    def plain(value):
        return str(value)

    async def asynchronous(value):
        return str(value)

    handler = plain if style == "plain" else asynchronous
    handler.__annotations__ = {"value": Annotated[int, Depends(function)]}
    server.get("/")(handler)
    assert answer_to(server).text == "5"


def test_functions_have_parameters_of_the_same_kinds(server):
    def user(request: Request, x_user: Annotated[str, Header]) -> str:
        return f"{x_user} at {request.path}"

    @server.get("/<id>")
    def handler(
        id: int,
        name: Annotated[str, Depends(user)],
        settings: Annotated[Settings, Depends],
        also: Annotated[Settings, Depends()],
        total: Annotated[int, Depends(Adder(10))],
        late: str = Depends(lambda: "late"),
    ) -> str:
        assert settings is also
        return f"{id} {name} {settings.q} {total} {late}"

    assert answer_to(server, "/7?q=a&page=2", headers={"X-User": "Ada"}).text == "7 Ada at /7 a 12 late"
    faults = answer_to(server, "/x?page=a").json()["errors"]
    assert [(one["in"], one["at"]) for one in faults] == [("header", ["x-user"]), ("query", ["page"]), ("path", ["id"])]


def test_a_function_is_called_once_for_each_request(server):
    calls = []

    def session() -> int:
        calls.append("session")
        return len(calls)

    def user(session: Annotated[int, Depends(session)]) -> str:
        calls.append("user")
        return f"user of {session}"

    @server.get("/")
    async def handler(session: Annotated[int, Depends(session)], user: Annotated[str, Depends(user)]) -> str:
        return f"{session} {user}"

    assert answer_to(server).text == "1 user of 1"
    assert calls == ["session", "user"]
    assert answer_to(server).text == "3 user of 3"


def test_a_function_may_refuse_the_request(server):
    def signed_in(authorization: Annotated[str | None, Header] = None) -> str:
        if authorization is None:
            abort(401, "sign in first")
        return authorization

    @server.post("/")
    def handler(user: Annotated[str, Depends(signed_in)], amount: int) -> str:
        return f"{user} {amount}"

    # Before the rest of the input is looked at.
    assert answer_to(server, "/", "POST").status_code == 401
    assert answer_to(server, "/", "POST", headers={"Authorization": "a"}).status_code == 422


# Generators


def ends(seen: list[str], name: str = "db") -> Any:
    def session() -> Iterator[str]:
        seen.append(f"{name} begins")
        try:
            yield name
        except BaseException as error:
            seen.append(f"{name} rolls back: {type(error).__name__}")
            raise
        seen.append(f"{name} commits")

    return session


def async_ends(seen: list[str], name: str = "db") -> Any:
    async def session() -> AsyncIterator[str]:
        seen.append(f"{name} begins")
        try:
            yield name
        except BaseException as error:
            seen.append(f"{name} rolls back: {type(error).__name__}")
            raise
        await asyncio.sleep(0)
        seen.append(f"{name} commits")

    return session


def both(handler: Any, style: str) -> Any:
    """The same handler as a plain and as an `async def` function."""
    if style == "plain":
        return handler

    async def asynchronous(db):
        return handler(db)

    asynchronous.__annotations__ = handler.__annotations__
    return asynchronous


STYLES = [(style, kind) for style in ("plain", "async") for kind in (ends, async_ends)]


@pytest.mark.parametrize(("style", "kind"), STYLES)
def test_the_end_of_a_generator_comes_before_the_answer_is_sent(server, style, kind):
    seen: list[str] = []

    # As rows that a session has lent, and takes back when it is closed.
    rows = [1, 2]

    def lending() -> Iterator[list[int]]:
        yield rows
        rows.clear()
        seen.append("rows are gone")

    def handler(db, lent):
        return {"rows": lent}

    async def asynchronous(db, lent):
        return {"rows": lent}

    chosen = handler if style == "plain" else asynchronous
    chosen.__annotations__ = {"db": Annotated[str, Depends(kind(seen))], "lent": Annotated[Any, Depends(lending)]}
    server.get("/")(chosen)
    assert answer_to(server).json() == {"rows": [1, 2]}
    assert seen == ["db begins", "rows are gone", "db commits"]


@pytest.mark.parametrize(("style", "kind"), STYLES)
@pytest.mark.parametrize(
    ("raised", "status"), [(ValueError, 500), (lambda: __import__("outside").HTTPException(404), 404)], ids=["error", "abort"]
)
def test_a_generator_sees_the_exception(server, style, kind, raised, status):
    seen: list[str] = []

    def handler(db):
        raise raised()

    handler.__annotations__ = {"db": Annotated[str, Depends(kind(seen))]}
    server.get("/")(both(handler, style))
    assert answer_to(server).status_code == status
    assert seen == ["db begins", f"db rolls back: {'ValueError' if status == 500 else 'HTTPException'}"]


@pytest.mark.parametrize(("style", "kind"), STYLES)
def test_a_commit_that_fails_is_500(server, style, kind):
    if kind is ends:

        def session() -> Iterator[str]:
            yield "db"
            raise OSError("the disk is full")
    else:

        async def session() -> AsyncIterator[str]:
            yield "db"
            raise OSError("the disk is full")

    def handler(db):
        return "saved"

    handler.__annotations__ = {"db": Annotated[str, Depends(session)]}
    server.get("/")(both(handler, style))

    @server.errorhandler(OSError)
    def failed(error: OSError) -> tuple[int, str]:
        return 503, str(error)

    response = answer_to(server)
    assert (response.status_code, "the disk is full" in response.text) == (503, True)


def test_the_last_generator_ends_first(server):
    seen: list[str] = []
    outer = ends(seen, "outer")

    def inner(outer: Annotated[str, Depends(outer)]) -> Iterator[str]:
        seen.append("inner begins")
        yield "inner"
        seen.append("inner ends")

    @server.get("/")
    def handler(inner: Annotated[str, Depends(inner)], q: str) -> str:
        return inner

    assert answer_to(server, "/?q=").text == "inner"
    assert seen == ["outer begins", "inner begins", "inner ends", "outer commits"]
    # A request that does not fit ends them too.
    seen.clear()
    assert answer_to(server, "/").status_code == 422
    assert seen == ["outer begins", "inner begins", "outer rolls back: InputError"]


def test_a_generator_may_not_swallow_the_exception_or_yield_twice(server, records):
    def swallows() -> Iterator[int]:
        try:
            yield 1
        except ValueError:
            pass

    def twice() -> Iterator[int]:
        yield 1
        yield 2

    def never() -> Iterator[int]:
        yield from ()

    @server.get("/swallows")
    def one(value: Annotated[int, Depends(swallows)]) -> str:
        raise ValueError

    @server.get("/twice")
    def two(value: Annotated[int, Depends(twice)]) -> str:
        return "two"

    @server.get("/never")
    def three(value: Annotated[int, Depends(never)]) -> str:
        return "three"

    for path in ("/swallows", "/twice", "/never"):
        assert answer_to(server, path).status_code == 500
    logged = "\n".join(str(record.exc_info and record.exc_info[1]) for record in records.records)
    assert "twice() yields twice" in logged
    assert "never() has not yielded a value" in logged


@pytest.mark.parametrize(("style", "kind"), STYLES)
@pytest.mark.parametrize("form", ["stream", "async stream", "events", "async events"])
def test_of_a_stream_the_end_comes_after_the_last_piece(server, style, kind, form):
    seen: list[str] = []

    def pieces() -> Iterator[str]:
        seen.append("a piece")
        yield "a"
        seen.append("the last piece")

    async def async_pieces() -> AsyncIterator[str]:
        for piece in pieces():
            yield piece

    def handler(db):
        made = async_pieces() if "async" in form else pieces()
        return event_stream(made) if "events" in form else Response(content=made)

    async def later() -> None: ...

    handler.__annotations__ = {"db": Annotated[str, Depends(kind(seen))]}
    server.get("/")(both(handler, style))
    server.get("/later")(later)
    assert "a" in answer_to(server).text
    assert seen == ["db begins", "a piece", "the last piece", "db commits"]


@pytest.mark.parametrize(("style", "kind"), STYLES)
def test_a_stream_that_is_not_read_ends_it_too(server, style, kind):
    seen: list[str] = []

    def handler(db):
        return Response(content=iter(["a"]))

    async def later() -> None: ...

    handler.__annotations__ = {"db": Annotated[str, Depends(kind(seen))]}
    server.get("/")(both(handler, style))
    server.get("/later")(later)
    with server.test_client() as client:
        assert client.head("/").status_code == 200
    assert seen[0] == "db begins" and len(seen) == 2, seen


@pytest.mark.parametrize("style", ["plain", "async"])
def test_of_a_websocket_the_end_comes_after_its_end(server, style):
    seen: list[str] = []
    session = ends(seen)

    def user(token: str) -> str:
        return token if token != "no" else abort(401, "sign in first")

    if style == "plain":

        @server.websocket("/<room>")
        def connected(connection, room: str, db: Annotated[str, Depends(session)], user: Annotated[str, Depends(user)]) -> None:
            connection.send(f"{room} {db} {user}")
            for message in connection:
                connection.send(message)
    else:

        @server.websocket("/<room>")
        async def connected_later(
            connection: WebSocketConnection,
            room: str,
            db: Annotated[str, Depends(session)],
            user: Annotated[str, Depends(user)],
        ) -> None:
            await connection.send(f"{room} {db} {user}")  # type: ignore[func-returns-value]
            async for message in connection:  # type: ignore[attr-defined]
                await connection.send(message)  # type: ignore[func-returns-value]

    with server.test_client() as client:
        with client.websocket("/a?token=me") as websocket:
            assert websocket.recv() == "a db me"
            assert seen == ["db begins"]
        for query, reason in ("", "query.token: required, but missing"), ("?token=no", "sign in first"):
            with client.websocket(f"/a{query}") as websocket, pytest.raises(Exception) as closed:
                websocket.recv()
            assert (websocket.close_code, websocket.close_reason) == (1008, reason), closed
    assert seen[:2] == ["db begins", "db commits"]


def test_the_context_of_a_request_is_that_of_its_functions(server):
    current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="nothing")

    async def set_it() -> None:
        current.set("set")

    @server.get("/plain")
    def plain(done: Annotated[None, Depends(set_it)]) -> str:
        return current.get()

    @server.get("/async")
    async def asynchronous(done: Annotated[None, Depends(set_it)]) -> str:
        return current.get()

    assert answer_to(server, "/plain").text == answer_to(server, "/async").text == "set"


# Tests


def test_a_test_replaces_a_function(server):
    def database() -> str:
        return "the real one"

    def user(database: Annotated[str, Depends(database)]) -> str:
        return f"user in {database}"

    group = Routes("/group")

    @group.get("/")
    async def in_group(database: Annotated[str, Depends(database)]) -> str:
        return database

    @server.get("/")
    def handler(user: Annotated[str, Depends(user)]) -> str:
        return user

    @server.websocket("/ws")
    def connected(connection, database: Annotated[str, Depends(database)]) -> None:
        connection.send(database)

    server.mount(group)
    with server.test_client() as client:
        with client.override(database, lambda name="a": f"{name} of the test"):
            # A parameter without annotation keeps its default.
            assert client.get("/").text == "user in a of the test"
            assert client.get("/group/").text == "a of the test"
            with client.websocket("/ws") as websocket:
                assert websocket.recv() == "a of the test"
        assert client.get("/").text == "user in the real one"

        def other(q: str) -> Iterator[str]:
            yield q

        client.override(user, other)
        assert client.get("/?q=a").text == "a"
        assert client.get("/").status_code == 422
        with pytest.raises(ValueError, match=r"no handler depends on number\(\)"):
            client.override(number, plain_number)
    # The end of the client is the end of what it has replaced.
    assert answer_to(server).text == "user in the real one"


# Mistakes


def circle_a(b: Annotated[int, Depends(lambda: None)]) -> int: ...  # type: ignore[empty-body]
def circle_b(a: Annotated[int, Depends(circle_a)]) -> int: ...  # type: ignore[empty-body]


circle_a.__annotations__["b"] = Annotated[int, Depends(circle_b)]


def circular(a: Annotated[int, Depends(circle_a)]): ...
def of_nothing(value=Depends()): ...  # noqa: B008


def test_a_circle_is_refused(server):
    with pytest.raises(TypeError) as refused:
        server.get("/")(circular)
    text = str(refused.value)
    lines = [function.__code__.co_firstlineno for function in (circle_a, circle_b)]
    assert "these functions depend on one another in a circle: " in text
    assert f"circle_a() ({__file__}:{lines[0]}) → circle_b() ({__file__}:{lines[1]}) → circle_a()" in text


@pytest.mark.parametrize(
    ("handler", "message"),
    [(of_nothing, "Depends() of 'value' has no function to call")],
)
def test_mistakes_are_refused_with_file_and_line(server, handler, message):
    with pytest.raises(TypeError) as refused:
        server.get("/")(handler)
    assert str(refused.value).startswith(f"{__file__}:{handler.__code__.co_firstlineno}: ")
    assert message in str(refused.value)


def test_two_functions_share_one_body(server):
    @dataclass
    class Issue:
        title: str

    @dataclass
    class Other:
        title: str

    def titled(issue: Issue) -> str:
        return issue.title

    @server.post("/")
    def handler(issue: Issue, title: Annotated[str, Depends(titled)]) -> str:
        return f"{issue.title} {title}"

    assert answer_to(server, "/", "POST", json={"title": "a"}).text == "a a"
    with pytest.raises(TypeError, match="asks for two bodies"):

        @server.post("/two")
        def two(issue: Other, title: Annotated[str, Depends(titled)]) -> None: ...
