"""The application layer as type checkers see it: `Request[State]`, sessions, uploaded files, models as answers. Never run."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import pydantic
from typing_extensions import assert_type

from outside import (
    FormFile,
    OutsideHTTP,
    Request,
    Response,
    Routes,
    Session,
    Templates,
    basic_auth,
    bearer,
    flash,
    flashes,
    static_url,
    url_for,
)

server = OutsideHTTP("unix:/run/app.sock")
api = Routes("/api", name="api", limit="100/m")
templates = Templates("templates")


class State:
    user: str
    attempts: int = 0


@dataclass
class Point:
    x: int


class Struct(msgspec.Struct):
    x: int


class Model(pydantic.BaseModel):
    x: int


class Row(NamedTuple):
    name: str
    city: str


# The class of `request.state`.


@server.before_request
def begin(request: Request[State]) -> None:
    request.state.user = "ann"
    request.state.user = 5  # type: ignore[assignment]
    request.state.usr = "ann"  # type: ignore[attr-defined]


@server.get("/state")
def stated(request: Request[State], number: int = 0) -> str:
    assert_type(request.state.attempts, int)
    return request.state.user


@server.get("/open-state")
async def open_state(request: Request) -> str:
    assert_type(request.state, Any)
    return str(request.state.anything)


# Models, and tuples of them.


@server.get("/point")
def point() -> Point:
    return Point(1)


@api.get("/struct")
async def struct() -> tuple[Struct, int]:
    return Struct(1), 201


@server.get("/model")
def model() -> tuple[int, Model]:
    return 409, Model(x=1)


@server.get("/fields")
def fields() -> tuple[dict[str, int], int, dict[str, str]]:
    return {"a": 1}, 201, {"Location": "/a"}


@server.get("/pairs")
def pairs() -> tuple[str, int, list[tuple[str, str]]]:
    return "a", 200, [("X-A", "1"), ("X-A", "2")]


@server.get("/row")  # type: ignore[type-var]
def row() -> Row:
    return Row("ann", "Bonn")


@server.get("/float")  # type: ignore[type-var]
def a_float() -> tuple[float, int]:
    return 0.5, 200


@server.get("/headers-first")  # type: ignore[type-var]
async def headers_first() -> tuple[dict[str, str], str]:
    return {}, "a"


# Sessions, pages, addresses.


@server.post("/sign-in")
@server.limit("5/m", burst=2, by=lambda request: request.remote_addr)
def sign_in(request: Request) -> Response:
    assert_type(request.session, Session)
    request.session["user"] = request.form["name"]
    flash(request, "welcome", "info")
    assert_type(flashes(request), list[Any])
    return templates("page.html", status_code=200, url=url_for(sign_in, external=True), style=static_url("app.css"))


server.before_request(basic_auth({"ann": "secret"}))
api.before_request(bearer(lambda token: token == "secret"))
server.limit(5)  # type: ignore[arg-type]
basic_auth("ann")  # type: ignore[arg-type]


def mail(to: str, text: str) -> None:
    pass


async def call(url: str) -> None:
    pass


@server.post("/later")
def later(request: Request) -> tuple[None, int]:
    request.after(mail, "ann", "hello")
    server.background(call, "https://example.com")
    request.after("mail")  # type: ignore[arg-type]
    return None, 202


# Uploaded files are files.


@server.post("/upload")  # type: ignore[type-var]
def upload(photo: FormFile) -> int | None:
    return photo.size


@server.post("/read")
def read(table: FormFile) -> list[str]:
    with table:
        assert_type(table.read(5), bytes)
        shutil.copyfileobj(table, io.BytesIO())
        table.save(io.BytesIO())
        table.seek(0)
        json.load(table)
        zipfile.ZipFile(table.file)
        return [name for name, *_ in csv.reader(io.TextIOWrapper(table, "utf-8"))]


# State that all processes share.


@server.get("/count")
def count() -> str:
    server.shared.set("a", {"b": 1}, ttl=60)
    server.shared.set(5, 1)  # type: ignore[arg-type]
    with server.shared.lock("l", ttl=30, wait=5) as lock:
        assert_type(lock.token, int)
    assert_type(server.shared.add("a", b"x"), bool)
    return str(server.shared.incr("visits"))


@server.get("/count/async")
async def count_async() -> str:
    async with server.shared.aio.lock("l", ttl=30) as lock:
        assert_type(lock.token, int)
    assert_type(await server.shared.aio.delete("a"), bool)
    return str(await server.shared.aio.incr("visits", by=5))


@server.every("1m")
def each_minute(tick: int) -> None: ...


@server.every(90, name="slow")
async def each_ninety_seconds() -> None: ...


server.limit("5/m", name="sign-in", fields=False, dry_run=True)
