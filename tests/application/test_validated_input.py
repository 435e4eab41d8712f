"""Validated input: the annotations of a handler say where its values come from, and values that do not fit are 422."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from annotated_types import Ge, Len, MinLen, Predicate

from outside import Body, Cookie, File, Form, FormFile, Header, InputError, OutsideHTTP, Path, Query, Request, Routes

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


# Single values


@pytest.mark.parametrize(
    ("annotation", "query", "value"),
    [
        (str, "x=a", "a"),
        (str, "x=", ""),
        (int, "x=-7", -7),
        (float, "x=1.5e3", 1500.0),
        (bool, "x=true", True),
        (bool, "x=0", False),
        (bool, "x=ON", True),
        (list[str], "x=a&x=b", ["a", "b"]),
        (list[int], "x=1", [1]),
        (set[int], "x=1&x=1", {1}),
        (tuple[int, ...], "x=1&x=2", (1, 2)),
        (int | None, "x=5", 5),
        (int | str, "x=5", 5),
        (int | str, "x=a", "a"),
        (Colour, "x=blue", Colour.BLUE),
        (Literal["a", 1], "x=1", 1),
        (uuid.UUID, f"x={uuid.UUID(int=5)}", uuid.UUID(int=5)),
        (datetime.date, "x=2026-11-29", datetime.date(2026, 11, 29)),
        (decimal.Decimal, "x=1.5", decimal.Decimal("1.5")),
        (Annotated[int, Ge(1)], "x=1", 1),
        (Annotated[int, msgspec.Meta(le=5)], "x=1", 1),
        (Annotated[str, Query(alias="y")], "y=a", "a"),
        (Annotated[list[str], MinLen(1)], "x=a", ["a"]),
    ],
)
def test_a_simple_type_is_the_query(server, annotation, query, value):
    seen = []

    def handler(x):
        seen.append(x)

    handler.__annotations__ = {"x": annotation}
    server.get("/")(handler)
    assert answer_to(server, "GET", f"/?{query}").status_code == 204
    assert seen == [value]
    assert type(seen[0]) is type(value)


@pytest.mark.parametrize(
    ("annotation", "query"),
    [
        (int, "x=1_000"),
        (int, "x=%D9%A3"),
        (int, "x=1.5"),
        (int, "x="),
        (int, ""),
        (int, "x=" + "9" * 5000),
        (float, "x=nan"),
        (float, "x=1e999"),
        (bool, "x=2"),
        (list[int], "x=1&x=b"),
        (int | None, "x=a"),
        (Colour, "x=green"),
        (Annotated[int, Query(ge=1, lt=10)], "x=10"),
        (Annotated[str, Query(pattern="^a+$")], "x=b"),
        (Annotated[list[str], MinLen(2)], "x=a"),
        (Annotated[float, Query(multiple_of=0.5)], "x=0.7"),
    ],
)
def test_values_of_the_query_that_do_not_fit(server, annotation, query):
    def handler(x): ...

    handler.__annotations__ = {"x": annotation}
    server.get("/")(handler)
    response = answer_to(server, "GET", f"/?{query}")
    assert response.status_code == 422
    assert (response.json()["errors"][0]["in"], response.json()["errors"][0]["at"][0]) == ("query", "x")


def test_defaults(server):
    @server.get("/")
    def handler(page: int = 1, q: str | None = None, tag: list[str] = []) -> str:  # noqa: B006
        tag.append("mine")
        return f"{page} {q} {tag}"

    with server.test_client() as client:
        # A list is a new one for each request. An empty field of a form in a page is none, unless a text is wanted.
        assert client.get("/").text == client.get("/?page=").text == "1 None ['mine']"
        assert client.get("/?page=2&q=&tag=a").text == "2  ['a', 'mine']"


def test_the_other_places_of_a_value(server):
    @server.get("/<id>/<int:number>")
    def handler(
        id: Annotated[int, Path(ge=1)],
        number: Annotated[int, Path(le=9)],
        user_agent: Annotated[str, Header],
        x_token: Annotated[int, Header(alias="X-Number")],
        session: Annotated[str | None, Cookie] = None,
    ) -> str:
        return echo((id, number, user_agent, x_token, session))

    with server.test_client() as client:
        sent = {"User-Agent": "me", "x-number": "5"}
        assert client.get("/1/2", headers=sent).text == "(1, 2, 'me', 5, None)"
        assert client.get("/1/2", headers=sent, cookies={"session": "a"}).text == "(1, 2, 'me', 5, 'a')"
        faults = client.get("/0/10").json()["errors"]
        assert [(one["in"], one["at"]) for one in faults] == [
            ("path", ["id"]),
            ("path", ["number"]),
            ("header", ["user-agent"]),
            ("header", ["X-Number"]),
        ]


def test_fields_and_files_of_a_form(server):
    @dataclass
    class Upload:
        title: str
        photo: FormFile
        year: int | None = None

    @server.post("/single")
    def single(title: Annotated[str, Form], photo: FormFile, more: Annotated[list[FormFile], File] = ()) -> str:  # type: ignore[assignment]
        return echo((title, photo.name, len(more)))

    @server.post("/model")
    def model(upload: Annotated[Upload, Form]) -> str:
        return echo((upload.title, upload.photo.content, upload.year))

    @server.post("/bytes")
    def content(photo: Annotated[bytes, File]) -> bytes:
        return photo

    with server.test_client() as client:
        photo = {"photo": ("a.png", b"png")}
        assert client.post("/single", data={"title": "a"}, files=photo).text == "('a', 'a.png', 0)"
        assert client.post("/model", data={"title": "a", "year": ""}, files=photo).text == "('a', b'png', None)"
        assert client.post("/bytes", files=photo).text == "png"
        faults = client.post("/single", data={"x": "y"}).json()["errors"]
        assert [(one["in"], one["at"]) for one in faults] == [("form", ["title"]), ("file", ["photo"])]
        assert client.post("/single", json={"title": "a"}).status_code == 415


def test_a_model_may_be_the_whole_query(server):
    @dataclass
    class Filters:
        page: Annotated[int, Ge(1)] = 1
        tags: list[str] = field(default_factory=list)

    @server.get("/")
    def handler(filters: Annotated[Filters, Query]) -> str:
        return echo((filters.page, filters.tags))

    assert answer_to(server, "GET", "/?tags=a&page=3&tags=b").text == "(3, ['a', 'b'])"
    assert answer_to(server, "GET", "/?page=0").json()["errors"][0] == {
        "in": "query",
        "at": ["page"],
        "message": "Expected `int` >= 1",
    }


def test_a_parameter_of_the_path_is_converted_where_the_pattern_has_no_converter(server):
    @server.get("/a/<id>")
    def converted(id: int) -> str:
        return echo(id)

    @server.get("/b/<int:id>")
    def by_the_pattern(id: str) -> str:
        return echo(id)

    assert answer_to(server, "GET", "/a/5").text == "5"
    assert answer_to(server, "GET", "/a/x").status_code == 422
    assert answer_to(server, "GET", "/b/5").text == "5"


# Around it


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
