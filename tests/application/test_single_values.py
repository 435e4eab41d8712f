"""Single values of a request: the query, header fields, cookies, fields and files of forms, parameters of the path."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import pytest
from annotated_types import Ge, MinLen

from outside import Cookie, File, Form, FormFile, Header, OutsideHTTP, Path, Query


def answer_to(server: OutsideHTTP, method: str, path: str, **options: Any) -> Any:
    server.config["access_log"] = "off"
    with server.test_client() as client:
        return client.request(method, path, **options)


def echo(value: Any) -> str:
    return repr(value)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


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
