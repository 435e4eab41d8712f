"""`Depends`: a parameter is the value of a function, called once for each request, whose end comes after the answer is made."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from outside import Depends, Header, OutsideHTTP, Request, Routes, abort


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
