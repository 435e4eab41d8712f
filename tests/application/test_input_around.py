"""Around validated input: error handlers, hooks, groups, handlers without it; and mistakes, refused with file and line."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import msgspec
import pytest

from outside import Form, Header, InputError, OutsideHTTP, Path, Query, Request, Routes


def answer_to(server: OutsideHTTP, method: str, path: str, **options: Any) -> Any:
    server.config["access_log"] = "off"
    with server.test_client() as client:
        return client.request(method, path, **options)


def echo(value: Any) -> str:
    return repr(value)


@dataclass
class OfDataclass:
    title: Annotated[str, msgspec.Meta(min_length=1)]
    labels: list[str] = field(default_factory=list)


class OfStruct(msgspec.Struct):
    title: str
    labels: list[str] = []


def test_error_handlers_come_first(server):
    @server.post("/")
    def handler(issue: OfDataclass) -> None: ...

    response = answer_to(server, "POST", "/", json={})
    assert response.status_code == 422

    @server.errorhandler(422)
    def unfit(error: InputError, message: str | None) -> tuple[int, str]:
        return 400, f"{error.errors[0]['at'][0]}: {message}"

    assert answer_to(server, "POST", "/", json={}).status_code == 400

    @server.errorhandler(InputError)
    def by_class(error: InputError) -> dict[str, Any]:
        return {"faults": error.errors}

    server.remove_errorhandler(422)
    assert answer_to(server, "POST", "/", json={}).json()["faults"][0]["at"] == ["title"]


def test_functions_around_a_handler_see_the_answer(server):
    @server.post("/")
    def handler(issue: OfDataclass) -> None: ...

    @server.after_request
    def after(response) -> None:
        response.headers["X-Status"] = str(response.status_code)

    response = answer_to(server, "POST", "/", json={})
    assert (response.status_code, response.headers["X-Status"]) == (422, "422")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_groups_and_real_connections(server, start):
    group = Routes("/<int:project>")

    @group.post("/issues/<id>")
    async def handler(request: Request, name: str, project: int, id: int, issue: OfStruct) -> str:
        return f"{request.method} {name} {project} {id} {issue.title}"

    @server.get("/later")
    def later(req: Request, q: str = "") -> str:
        return req.path + q

    server.mount(group, "/<name>")
    running = start()
    assert running.fetch("/later?q=1").text == "/later1"
    sent = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": b'{"title": "a"}'}
    assert running.fetch("/x/1/issues/2", **sent).text == "POST x 1 2 a"


def test_handlers_without_annotations_of_input_are_called_as_ever(server):
    calls = []

    def plain(req, page=1):
        calls.append((req.path, page))

    def typed(request: Request, id: int) -> None:
        calls.append((request.path, id))

    def other_name(id: int, req: Request) -> None:
        calls.append((req.path, id))

    server.get("/plain")(plain)
    server.get("/typed/<int:id>")(typed)
    server.get("/other/<int:id>")(other_name)
    for path in ("/plain?page=5", "/typed/5", "/other/5"):
        assert answer_to(server, "GET", path).status_code == 204
    assert calls == [("/plain", 1), ("/typed/5", 5), ("/other/5", 5)]


def test_handlers_of_all_kinds(server):
    class Controller:
        def method(self, issue: OfDataclass) -> str:
            return f"method {issue.title}"

        async def __call__(self, issue: OfDataclass, /, *, page: int = 1) -> str:
            return f"call {issue.title} {page}"

    def partly(first: str, issue: OfDataclass) -> str:
        return f"{first} {issue.title}"

    def whole(issue: OfDataclass, q: str) -> str:
        return f"{issue.title} {q}"

    @functools.wraps(whole)
    def wrapper(*arguments: Any, **named: Any) -> str:
        return f"wrapped {whole(*arguments, **named)}"

    server.post("/method")(Controller().method)
    server.post("/call")(Controller())
    server.post("/partly")(functools.partial(partly, "partly"))
    server.post("/wrapper")(wrapper)
    with server.test_client() as client:
        paths = ("/method", "/call?page=2", "/partly", "/wrapper?q=b")
        answers = [client.post(path, json={"title": "a"}).text for path in paths]
    assert answers == ["method a", "call a 2", "partly a", "wrapped a b"]


def test_a_marker_may_stand_in_the_place_of_the_default(server):
    @server.get("/")
    def handler(page: int = Query(1, ge=1), x_a: str = Header("none")) -> str:
        return echo((page, x_a))

    assert answer_to(server, "GET", "/").text == "(1, 'none')"
    assert answer_to(server, "GET", "/?page=0").status_code == 422


# Mistakes, refused where the handler is registered


class Neither:
    pass


def two_bodies(first: OfDataclass, second: OfStruct): ...


def no_model(thing: Neither): ...


def inside(thing: list[Neither]): ...


def of_path(id: Annotated[int, Path]): ...


def body_and_field(issue: OfDataclass, title: Annotated[str, Form]): ...


def model_in_header(issue: Annotated[OfDataclass, Header]): ...


def dictionary_in_query(sizes: Annotated[dict[str, int], Query]): ...


def unresolved(thing: Missing): ...  # type: ignore[name-defined]  # noqa: F821


def says_nothing(request, thing): ...


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (two_bodies, "asks for two bodies, 'first' (OfDataclass) and 'second' (OfStruct), but a request has one"),
        (no_model, "cannot take 'thing': Neither is neither a simple type nor a model. A model is a dataclass"),
        (inside, "cannot take 'thing': Neither is neither"),
        (of_path, "wants 'id' of the path, but the route '/' has no such parameter"),
        (body_and_field, "asks for the body 'issue' and for fields of a form, 'title'"),
        (model_in_header, "cannot take 'issue': OfDataclass has no form as text, which is all that a header has"),
        (dictionary_in_query, "cannot take 'sizes': dict[str, int] has no form as text, which is all that a query has"),
        (
            unresolved,
            "the annotation 'Missing' of 'thing' cannot be resolved when the program runs: name 'Missing' is not defined",
        ),
        (says_nothing, "wants 'thing', but the route '/' has no such parameter"),
    ],
)
def test_mistakes_are_refused_with_file_and_line(server, handler, message):
    with pytest.raises(TypeError) as refused:
        server.post("/")(handler)
    line = handler.__code__.co_firstlineno
    assert str(refused.value).startswith(f"{__file__}:{line}: ")
    assert message in str(refused.value)


def test_a_stream_of_content_is_no_body(server):
    with pytest.raises(TypeError, match="streaming=True hands its content over in pieces"):

        @server.post("/", streaming=True)
        def handler(issue: OfDataclass) -> None: ...


def test_the_json_of_a_problem_is_valid(server):
    @server.get("/")
    def handler(x: int) -> None: ...

    text = answer_to(server, "GET", '/?x="\\%0A%C3%A9').text
    assert json.loads(text)["errors"][0]["message"] == "Expected `int`, got '\"\\\\\\né'"


def test_it_is_the_same_over_http2(server, start):
    @server.post("/<id>")
    async def handler(id: int, issue: OfDataclass) -> str:
        return f"{id} {issue.title}"

    server.config["h2c"] = True
    address = start().address
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{address[1]}", trust_env=False) as client:
        answer = client.post("/5", json={"title": "a"})
        assert (answer.http_version, answer.text) == ("HTTP/2", "5 a")
        unfit = client.post("/5", json={})
        assert (unfit.status_code, unfit.headers["Content-Type"]) == (422, "application/problem+json")
