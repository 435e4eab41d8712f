"""Validated input: the annotations of a handler say where its values come from, and values that do not fit are 422."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from annotated_types import Len, Predicate

from outside import Body, InputError, OutsideHTTP, Query, Request

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=10)]


@dataclass
class OfDataclass:
    title: Title
    labels: list[str] = field(default_factory=list)


class OfTypedDict(TypedDict, total=False):
    title: Title
    labels: list[str]


class OfStruct(msgspec.Struct):
    title: Title
    labels: list[str] = []


@attrs.define
class OfAttrs:
    title: Title
    labels: list[str] = attrs.Factory(list)


class OfPydantic(pydantic.BaseModel):
    title: Annotated[str, pydantic.Field(min_length=1, max_length=10)]
    labels: list[str] = []


@dataclass
class OfAnnotatedTypes:
    """msgspec does not see these constraints: functions of our own check them."""

    title: Annotated[str, Len(1, 10)]
    labels: list[str] = field(default_factory=list)


MODELS = [OfDataclass, OfTypedDict, OfStruct, OfAttrs, OfPydantic, OfAnnotatedTypes]


def answer_to(server: OutsideHTTP, method: str, path: str, **options: Any) -> Any:
    server.config["access_log"] = "off"
    with server.test_client() as client:
        return client.request(method, path, **options)


def echo(value: Any) -> str:
    return repr(value)


def told(issue: Any) -> dict[str, Any]:
    return dict(issue) if isinstance(issue, dict) else {"title": issue.title, "labels": issue.labels}


# The body


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_model_is_the_body(server, model, style):
    def plain(issue):
        assert isinstance(issue, dict) or type(issue) is model
        return told(issue)

    async def asynchronous(issue):
        return plain(issue)

    handler = plain if style == "plain" else asynchronous
    handler.__annotations__ = {"issue": model}
    server.post("/issues")(handler)
    with server.test_client() as client:
        # JSON, and its relatives.
        for media_type in (
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
            "application/vnd.api+json",
        ):
            sent = {"headers": {"Content-Type": media_type}, "data": b'{"title": "a", "labels": ["b"], "more": 1}'}
            assert client.post("/issues", **sent).json()["title"] == "a"
        # Forms of both kinds.
        form = {"title": "a", "labels": ["b", "c"]}
        assert client.post("/issues", data=form).json() == form
        assert client.post("/issues", data=form, files={"x": b""}).json() == form
        # Values that do not fit.
        for wrong, at in (
            ({"title": 1}, ["title"]),
            ({"title": ""}, ["title"]),
            ({"title": "a", "labels": ["b", 2]}, ["labels", 1]),
        ):
            response = client.post("/issues", json=wrong)
            assert (response.status_code, response.headers["Content-Type"]) == (422, "application/problem+json")
            problem = response.json()
            assert (problem["status"], problem["title"]) == (422, "Unprocessable Content")
            assert [(one["in"], one["at"]) for one in problem["errors"]] == [("body", at)]
        # JSON that is none, other content, no content.
        malformed = client.post("/issues", data=b'{"title"', headers={"Content-Type": "application/json"})
        assert malformed.status_code == 400
        assert malformed.headers["Content-Type"] == "application/problem+json"
        assert client.post("/issues", data="title").status_code == 415
        assert client.post("/issues", data=b"{}").status_code == 415
        assert client.post("/issues").status_code == 422


@pytest.mark.parametrize("model", [model for model in MODELS if model is not OfTypedDict])
def test_a_field_that_is_missing_is_named(server, model):
    def handler(issue):
        return told(issue)

    handler.__annotations__ = {"issue": model}
    server.post("/")(handler)
    assert [one["at"] for one in answer_to(server, "POST", "/", json={}).json()["errors"]] == [["title"]]


def test_all_faults_of_a_request_are_told(server):
    @server.post("/<id>")
    def handler(id: int, issue: OfAnnotatedTypes, page: Annotated[int, Query(ge=1)] = 1) -> None: ...

    problem = answer_to(server, "POST", "/x?page=0", json={"title": "", "labels": [1]}).json()
    assert problem["errors"] == [
        {"in": "path", "at": ["id"], "message": "Expected `int`, got 'x'"},
        {"in": "body", "at": ["title"], "message": "Expected `str` of length >= 1"},
        {"in": "body", "at": ["labels", 0], "message": "Expected `str`, got `int`"},
        {"in": "query", "at": ["page"], "message": "Expected `int` >= 1"},
    ]
    assert problem["detail"] == "path.id: Expected `int`, got 'x' (and 3 more)"


def test_a_body_may_be_optional(server):
    @server.post("/")
    def handler(issue: OfDataclass | None = None) -> str:
        return "none" if issue is None else issue.title

    assert answer_to(server, "POST", "/").text == "none"
    assert answer_to(server, "POST", "/", headers={"Content-Type": "application/json"}).text == "none"
    assert answer_to(server, "POST", "/", json={"title": "a"}).text == "a"
    assert answer_to(server, "POST", "/", data={"title": "a"}).text == "a"


def test_a_body_may_be_any_type(server):
    @server.post("/many")
    def many(issues: list[OfStruct]) -> str:
        return ",".join(issue.title for issue in issues)

    @server.post("/number")
    def number(amount: Annotated[int, Body(ge=1)]) -> str:
        return echo(amount)

    @server.post("/bytes")
    def raw(content: Annotated[bytes, Body]) -> bytes:
        return content

    @server.post("/any")
    def anything(value: Annotated[Any, Body]) -> str:
        return echo(value)

    with server.test_client() as client:
        assert client.post("/many", json=[{"title": "a"}, {"title": "b"}]).text == "a,b"
        assert client.post("/many", json=[{"title": "a"}, {}]).json()["errors"][0]["at"] == [1, "title"]
        assert client.post("/number", json=5).text == "5"
        assert client.post("/number", json=0).status_code == 422
        assert client.post("/bytes", data="text").text == "text"
        assert client.post("/any", json=None).text == "None"
        assert client.post("/any", data="nul", headers={"Content-Type": "application/json"}).status_code == 400


T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    items: list[T]
    parent: Page[T] | None = None


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Everything:
    """One field of each type, which functions of our own convert."""

    when: datetime.datetime
    day: datetime.date
    id: uuid.UUID
    price: decimal.Decimal
    colour: Colour
    mode: Literal["a", 1]
    pair: tuple[int, str]
    names: set[str]
    by_name: dict[str, int]
    inner: OfPydantic
    number: float = 0
    even: Annotated[int, Predicate(lambda value: value % 2 == 0)] = 0


EVERYTHING = {
    "when": "2026-11-29T10:00:00Z",
    "day": "2026-11-29",
    "id": "0189dcd5-5311-7d40-8db0-9496a2eef37b",
    "price": "1.50",
    "colour": "red",
    "mode": 1,
    "pair": [1, "a"],
    "names": ["a", "a"],
    "by_name": {"a": 1},
    "inner": {"title": "a"},
}


def test_types_of_fields(server):
    seen: list[Everything] = []

    @server.post("/")
    def handler(everything: Everything) -> None:
        seen.append(everything)

    assert answer_to(server, "POST", "/", json=EVERYTHING).status_code == 204
    [made] = seen
    assert made.when == datetime.datetime(2026, 11, 29, 10, tzinfo=datetime.timezone.utc)
    assert (made.day, made.price, made.colour) == (datetime.date(2026, 11, 29), decimal.Decimal("1.50"), Colour.RED)
    assert (made.mode, made.pair, made.names, made.by_name) == (1, (1, "a"), {"a"}, {"a": 1})
    assert made.inner == OfPydantic(title="a")


@pytest.mark.parametrize(
    ("field", "value", "at"),
    [
        ("when", "yesterday", ["when"]),
        ("day", 5, ["day"]),
        ("id", "x", ["id"]),
        ("price", "NaN", ["price"]),
        ("colour", "green", ["colour"]),
        ("mode", True, ["mode"]),
        ("mode", 1.0, ["mode"]),
        ("pair", [1], ["pair"]),
        ("pair", [1, 2], ["pair", 1]),
        ("names", "a", ["names"]),
        ("by_name", {"a": "b"}, ["by_name", "a"]),
        ("inner", {"title": ""}, ["inner", "title"]),
        ("number", "1", ["number"]),
        ("number", True, ["number"]),
        ("even", 3, ["even"]),
    ],
)
def test_faults_inside_of_a_model(server, field, value, at):
    @server.post("/")
    def handler(everything: Everything) -> None: ...

    response = answer_to(server, "POST", "/", json={**EVERYTHING, field: value})
    assert (response.status_code, [one["at"] for one in response.json()["errors"]]) == (422, [at])


def test_generic_models_that_hold_themselves(server):
    @server.post("/")
    def handler(page: Page[OfDataclass]) -> str:
        assert page.parent is not None
        return page.parent.items[0].title

    sent = {"items": [], "parent": {"items": [{"title": "a"}]}}
    assert answer_to(server, "POST", "/", json=sent).text == "a"
    sent["parent"]["items"][0]["title"] = 5
    assert answer_to(server, "POST", "/", json=sent).json()["errors"][0]["at"] == ["parent", "items", 0, "title"]


# By hand


@pytest.mark.parametrize("model", MODELS)
def test_a_handler_may_ask_for_a_model_itself(server, model):
    server.set_route("/", lambda request: told(request.json(model)))
    assert answer_to(server, "POST", "/", json={"title": "a", "labels": []}).json() == {"title": "a", "labels": []}
    unfit = answer_to(server, "POST", "/", json={"title": 5})
    assert (unfit.status_code, unfit.headers["Content-Type"]) == (422, "application/problem+json")
    assert [(one["in"], one["at"]) for one in unfit.json()["errors"]] == [("body", ["title"])]
    assert answer_to(server, "POST", "/", data="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert answer_to(server, "POST", "/", data={"title": "a"}).status_code == 415


def test_json_may_be_strict(server):
    server.set_route("/", lambda request: echo(request.json(strict=True)))
    assert answer_to(server, "POST", "/", json=None).text == "None"
    assert answer_to(server, "POST", "/", data="x", headers={"Content-Type": "application/json"}).status_code == 400
    assert answer_to(server, "POST", "/", data="x").status_code == 415


def test_an_error_of_input_can_be_caught(server):
    @server.post("/")
    def handler(request: Request) -> str:
        try:
            return echo(request.json(list[int]))
        except InputError as error:
            return f"{error.code} {error.errors}"

    assert answer_to(server, "POST", "/", json=[1]).text == "[1]"
    assert answer_to(server, "POST", "/", json=["a"]).text.startswith("422 [{'in': 'body', 'at': [0]")
