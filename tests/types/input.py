"""Validated input as type checkers see it: the values that a handler is handed have the types of its annotations."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from typing_extensions import assert_type

from outside import (
    Body,
    Cookie,
    Depends,
    File,
    Form,
    FormFile,
    Header,
    InputError,
    OutsideHTTP,
    Path,
    Query,
    Request,
    Routes,
    WebSocketConnection,
)

server = OutsideHTTP("unix:/run/app.sock")
api = Routes("/api")


@dataclass
class Issue:
    title: str
    labels: list[str] = field(default_factory=list[str])


class Session:
    pass


def session() -> Iterator[Session]:
    yield Session()


async def later() -> AsyncIterator[Session]:
    yield Session()


def signed_in(authorization: Annotated[str | None, Header] = None) -> str:
    return authorization or ""


@server.post("/issues/<number>")
def create(
    number: Annotated[int, Path(ge=1)],
    issue: Issue,
    user: Annotated[str, Depends(signed_in)],
    db: Annotated[Session, Depends(session)],
    page: Annotated[int, Query(ge=1, le=100)] = 1,
    visitor: Annotated[str | None, Cookie(alias="v")] = None,
) -> dict[str, str]:
    assert_type(number, int)
    assert_type(issue.labels, list[str])
    assert_type(visitor, str | None)
    return {"title": issue.title}


@api.post("/photos")
async def upload(
    photo: FormFile,
    more: Annotated[list[FormFile], File],
    title: Annotated[str, Form(max_length=5)],
    db: Annotated[Session, Depends(later)],
) -> str:
    return f"{title} {photo.name} {len(more)}"


@server.put("/raw")
def raw(content: Annotated[bytes, Body]) -> bytes:
    return content


@server.websocket("/ws")
def connected(connection: WebSocketConnection, user: Annotated[str, Depends(signed_in)], room: str = "") -> None:
    connection.send(f"{user} in {room}")


@server.post("/by-hand")
def by_hand(request: Request) -> str:
    assert_type(request.json(Issue), Issue)
    assert_type(request.json(), Any)
    assert_type(request.json(strict=True), Any)
    return request.json(Issue).title


@server.errorhandler(InputError)
def unfit(error: InputError) -> dict[str, list[dict[str, Any]]]:
    return {"errors": error.errors}


@server.get("/number")  # type: ignore[type-var]
def number(x: int) -> int:
    return x


server.openapi("/docs", title="Issues", version="1.0")
server.openapi(None, description="No page.")
server.openapi(5)  # type: ignore[arg-type]
Query(ge=1, unknown=2)  # type: ignore[call-arg]
Depends(5)  # type: ignore[arg-type]

with server.test_client() as client, client.override(session, Session) as override:
    override.undo()
