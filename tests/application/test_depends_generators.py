"""Generators behind `Depends`: their ends come when the answer is made and before it is sent, of streams after the last piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

from outside import Depends, OutsideHTTP, Response, WebSocketConnection, abort, event_stream
from support.harness import wait_until


def answer_to(server: OutsideHTTP, path: str = "/", method: str = "GET", **options: Any) -> Any:
    server.config["access_log"] = "off"
    with server.test_client() as client:
        return client.request(method, path, **options)


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
        # The client does not wait for the end of the handler.
        wait_until(lambda: len(seen) == 2, "the end of the handler")
        for query, reason in ("", "query.token: required, but missing"), ("?token=no", "sign in first"):
            with client.websocket(f"/a{query}") as websocket, pytest.raises(Exception) as closed:
                websocket.recv()
            assert (websocket.close_code, websocket.close_reason) == (1008, reason), closed
    assert seen[:2] == ["db begins", "db commits"]
