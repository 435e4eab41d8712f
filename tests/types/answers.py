"""Handlers as type checkers see them: right ones pass, wrong ones are errors. Read by mypy and pyright, never run.

Each comment that ignores an error is one that has to be there: `warn_unused_ignores`, and pyright's like.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict

from outside import HTTPException, OutsideHTTP, OutsideHTTP_Redirect, Request, Response, Routes, abort

server = OutsideHTTP("unix:/run/app.sock")
redirect = OutsideHTTP_Redirect("unix:/run/app.sock", "https://example.com")
api = Routes("/api")


class Book(TypedDict):
    title: str


class NotFound(HTTPException):
    def __init__(self, what: str) -> None:
        super().__init__(404, message=f"no {what}")


@server.get("/text")
def text() -> str:
    return "text"


@server.get("/book")
def book() -> Book:
    return {"title": "Dune"}


@api.get("/books")
async def books() -> list[Book]:
    return [{"title": "Dune"}]


@server.post("/many")
def many(request: Request) -> Response | tuple[int, str] | dict[str, int] | bytes | None:
    return (404, "none") if request.content else None


@server.get("/never")
def never() -> str:
    abort(404)


@server.get("/number")  # type: ignore[type-var]
def number() -> int:
    return 5


@api.get("/set")  # type: ignore[type-var]
async def a_set() -> set[str]:
    return {"a"}


@server.get("/flask")
def as_in_flask() -> tuple[str, int]:
    return "no", 404


@server.get("/generator")  # type: ignore[type-var]
def generator() -> Iterator[str]:
    yield "a"


@server.get("/asynchronous")  # type: ignore[type-var]
async def asynchronous() -> AsyncIterator[str]:
    yield "a"


@server.before_request
def before(request: Request) -> tuple[int, None] | None:
    return (401, None) if "Authorization" not in request.headers else None


@server.after_request
async def after(response: Response) -> None:
    response.headers["X-A"] = "1"
    response.headers = {"X-B": 2}
    response.headers.get_all("x-b")


@server.before_request  # type: ignore[type-var]
def wrong_before() -> bool:
    return True


@server.errorhandler(404)
async def nothing(code: int, message: str | None) -> tuple[int, str]:
    return code, message or "nothing"


@server.errorhandler(ValueError)  # type: ignore[type-var]
def wrong_error(error: ValueError) -> ValueError:
    return error


@server.websocket("/ws")
async def connected(connection: Any) -> None:
    await connection.recv()


def page(request: Request | None, message: str | None = None) -> str:
    return "page"


async def later(request: Request | None, message: str | None = None) -> tuple[int, str]:
    return 404, "later"


def number_page(request: Request | None, message: str | None = None) -> int:
    return 5


server.set_errorhandler(404, page)
server.set_errorhandler(405, later)
server.set_errorhandler(500, number_page)  # type: ignore[arg-type]
server.set_route("/a", lambda request: "a")
server.get("/b")(lambda: {"b": 1})
