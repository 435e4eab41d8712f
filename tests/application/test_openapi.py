"""`server.openapi("/docs")`: a document of OpenAPI 3.1 about the routes as they are served, and a page to read and try them."""

from __future__ import annotations

import datetime
import enum
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from openapi_spec_validator import validate

from outside import Body, Cookie, Depends, Form, FormFile, Header, OutsideHTTP, Query, Request, Response, Routes
from support.browser import PICTURES, Tab, chromium, devtools, needs_chromium


class Priority(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class NewIssue:
    """What a client sends to open an issue."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="One line.")]
    labels: list[str] = field(default_factory=list)
    priority: Priority = Priority.LOW
    parent: NewIssue | None = None


@dataclass
class Issue:
    number: int
    title: str
    opened: datetime.datetime


class OfPydantic(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(max_length=5)]
    inner: list[OfPydantic] = []


class OfStruct(msgspec.Struct):
    x: int
    inner: list[OfStruct] = []


def signed_in(authorization: Annotated[str | None, Header(description="A bearer token.")] = None) -> str:
    return "Ada"


def tracker(server: OutsideHTTP) -> None:
    """Routes of many kinds."""
    group = Routes("/issues")

    @group.get("")
    def issues(
        page: Annotated[int, Query(ge=1)] = 1,
        q: str | None = None,
        tag: list[str] = [],  # noqa: B006
        priority: Priority | None = None,
    ) -> list[Issue]:
        """Lists issues.

        The newest come first.
        """
        return []

    @group.post("")
    def create(issue: NewIssue, user: Annotated[str, Depends(signed_in)]) -> tuple[Issue, Literal[201]]:  # type: ignore[type-var]
        """Opens an issue."""

    @group.get("/<int:number>")
    def show(number: int) -> Issue | tuple[Literal[404], str]: ...  # type: ignore[type-var]

    @group.delete("/<number>")
    def remove(number: int, session: Annotated[str, Cookie]) -> None: ...

    @server.post("/photos/{album}")
    def upload(request: Request, album: str, photo: FormFile, title: Annotated[str, Form(max_length=20)] = "") -> str:
        """Stores a photo."""
        return f"{title}: {photo.name}, {photo.size} bytes in {album}"

    @server.post("/of-pydantic")
    def of_pydantic(value: OfPydantic) -> OfPydantic: ...  # type: ignore[type-var]

    @server.post("/of-struct")
    def of_struct(value: OfStruct) -> list[OfStruct]: ...

    @server.put("/raw/<path:rest>")
    def raw(rest: str, content: Annotated[bytes, Body], files: Annotated[int, Query(deprecated=True)] = 1) -> bytes: ...

    @server.get("/plain")
    def plain(request):
        return Response(content=request.path)

    server.mount(group)


def document_of(server: OutsideHTTP, **options: Any) -> dict[str, Any]:
    server.openapi(**{"title": "Issues", "version": "1.2", **options})
    server.config["access_log"] = "off"
    with server.test_client() as client:
        response = client.get("/openapi.json")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    document: dict[str, Any] = response.json()
    validate(document)
    return document


def test_there_is_none_unless_asked_for(server):
    tracker(server)
    with server.test_client() as client:
        assert client.get("/openapi.json").status_code == client.get("/docs").status_code == 404


def test_the_document_is_valid_and_has_every_route(server):
    tracker(server)
    document = document_of(server, description="All of it.")
    assert document["info"] == {"title": "Issues", "version": "1.2", "description": "All of it."}
    assert {path: sorted(methods) for path, methods in document["paths"].items()} == {
        "/issues": ["get", "post"],
        "/issues/{number}": ["delete", "get"],
        "/photos/{album}": ["post"],
        "/of-pydantic": ["post"],
        "/of-struct": ["post"],
        "/raw/{rest}": ["put"],
        "/plain": ["get"],
    }
    assert sorted(document["components"]["schemas"]) == ["Issue", "NewIssue", "OfPydantic", "OfStruct", "Priority", "Problem"]


def test_docstrings_are_descriptions(server):
    tracker(server)
    operation = document_of(server)["paths"]["/issues"]["get"]
    assert (operation["summary"], operation["description"]) == ("Lists issues.", "The newest come first.")
    assert operation["operationId"] == "issues"


def test_parameters(server):
    tracker(server)
    paths = document_of(server)["paths"]
    assert paths["/issues"]["get"]["parameters"] == [
        {"name": "page", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1, "default": 1}},
        {"name": "q", "in": "query", "required": False, "schema": {"type": ["string", "null"]}},
        {
            "name": "tag",
            "in": "query",
            "required": False,
            "schema": {"type": "array", "items": {"type": "string"}, "default": []},
        },
        {
            "name": "priority",
            "in": "query",
            "required": False,
            "schema": {"anyOf": [{"$ref": "#/components/schemas/Priority"}, {"type": "null"}]},
        },
    ]
    # Those of functions that the handler depends on are its own.
    [token] = paths["/issues"]["post"]["parameters"]
    assert (token["name"], token["in"], token["description"]) == ("authorization", "header", "A bearer token.")
    number, session = paths["/issues/{number}"]["delete"]["parameters"]
    assert number == {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
    assert (session["name"], session["in"], session["required"]) == ("session", "cookie", True)
    assert paths["/issues/{number}"]["get"]["parameters"][0]["schema"] == {"type": "integer", "minimum": 0}
    assert paths["/raw/{rest}"]["put"]["parameters"][1]["deprecated"] is True


def test_bodies(server):
    tracker(server)
    document = document_of(server)
    paths, schemas = document["paths"], document["components"]["schemas"]
    content = paths["/issues"]["post"]["requestBody"]
    assert content["required"] is True
    assert list(content["content"]) == ["application/json", "application/x-www-form-urlencoded"]
    assert content["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/NewIssue"}
    assert schemas["NewIssue"]["description"] == "What a client sends to open an issue."
    assert schemas["NewIssue"]["required"] == ["title"]
    assert schemas["NewIssue"]["properties"]["title"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "description": "One line.",
    }
    assert schemas["NewIssue"]["properties"]["priority"] == {
        "allOf": [{"$ref": "#/components/schemas/Priority"}],
        "default": "low",
    }
    [(media_type, form)] = paths["/photos/{album}"]["post"]["requestBody"]["content"].items()
    assert media_type == "multipart/form-data"
    assert form["schema"]["properties"]["photo"] == {"type": "string", "format": "binary"}
    assert list(paths["/raw/{rest}"]["put"]["requestBody"]["content"]) == ["application/octet-stream"]
    assert schemas["OfPydantic"]["properties"]["inner"]["items"] == {"$ref": "#/components/schemas/OfPydantic"}
    assert schemas["OfStruct"]["properties"]["inner"]["items"] == {"$ref": "#/components/schemas/OfStruct"}


def test_answers(server):
    tracker(server)
    paths = document_of(server)["paths"]
    created = paths["/issues"]["post"]["responses"]
    assert created["201"]["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Issue"}}}
    assert sorted(created) == ["201", "400", "415", "422"]
    assert created["422"]["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert sorted(paths["/issues/{number}"]["get"]["responses"]) == ["200", "404"]
    assert list(paths["/issues/{number}"]["delete"]["responses"]) == ["204", "422"]
    assert paths["/photos/{album}"]["post"]["responses"]["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert paths["/plain"]["get"]["responses"] == {"200": {"description": "OK"}}


def test_routes_that_come_later_are_there(server):
    server.openapi(title="Issues")
    with server.test_client() as client:
        assert client.get("/openapi.json").json()["paths"] == {}
        server.get("/later")(lambda: "later")
        assert list(client.get("/openapi.json").json()["paths"]) == ["/later"]
        server.remove_route("/later")
        assert client.get("/openapi.json").json()["paths"] == {}


def test_two_classes_of_one_name_have_two(server):
    def other() -> Any:
        @dataclass
        class Issue:
            text: str

        return Issue

    def first(issue): ...
    def second(issue): ...

    first.__annotations__, second.__annotations__ = {"issue": Issue}, {"issue": other()}
    server.post("/first")(first)
    server.post("/second")(second)
    assert {"Issue", "Issue2"} <= document_of(server)["components"]["schemas"].keys()


class Secret:
    """No model."""


class Holder(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    secret: Secret


@pytest.mark.parametrize("is_before", [True, False])
def test_a_model_that_cannot_be_described_is_refused_with_file_and_line(server, is_before):
    def handler(holder: Holder) -> None: ...

    with pytest.raises(TypeError) as refused:
        if is_before:
            server.openapi(title="Issues")
        server.post("/")(handler)
        server.openapi(title="Issues")
    assert str(refused.value).startswith(
        f"{__file__}:{handler.__code__.co_firstlineno}: handler() cannot be described for OpenAPI: "
    )


@pytest.mark.parametrize("wrong", [{"title": ""}, {"version": 1}])
def test_wrong_options(server, wrong):
    with pytest.raises(TypeError, match="openapi\\(\\) takes a"):
        server.openapi(**wrong)


def test_other_addresses(server):
    server.openapi("/api/docs", title="<Issues>", document="/api/v1/openapi.json")
    with server.test_client() as client:
        page = client.get("/api/docs")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        # Relative, so that it works behind a proxy that takes a prefix away.
        assert 'content="v1/openapi.json"' in page.text
        assert "<title>&lt;Issues&gt;</title>" in page.text
        assert client.get("/api/v1/openapi.json").json()["info"]["title"] == "<Issues>"


def test_the_page_asks_no_other_host(server):
    server.openapi(title="Issues")
    with server.test_client() as client:
        page = client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "script-src 'sha256-" in policy
    assert "http://" not in page.text and "https://" not in page.text


@needs_chromium
def test_the_page_in_a_browser(server, start, tmp_path):
    tracker(server)
    server.openapi(title="Issue tracker", version="1.2")
    running = start()
    site = f"http://127.0.0.1:{running.address[1]}"
    with chromium("--remote-debugging-port=0", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1") as browser:
        tab = Tab(devtools(browser), f"{site}/docs%23post-%252Fphotos%252F%257Balbum%257D")
        tab.wait_for_text("details.operation .path", "/photos/{album}")
        assert tab.texts("h1") == ["Issue tracker"]
        assert len(tab.texts("details.operation")) == 9
        tab.wait_for_text("details.operation[open] .path", "/photos/{album}")
        # A form with a file is tried.
        tab.evaluate("""(() => {
            const form = document.querySelector("details.operation[open] form");
            const file = form.querySelector("input[type=file]"), chosen = new DataTransfer();
            chosen.items.add(new File(["12345"], "a.png"));
            file.files = chosen.files;
            form.querySelectorAll(".row input")[0].value = "holidays";
            form.querySelectorAll(".row input")[2].value = "Sea";
            form.querySelector("button").click();
        })()""")
        tab.wait_for_text(".status", "200")
        tab.wait_for_text("pre.body", "Sea: a.png, 5 bytes in holidays")
        # JSON that does not fit is shown as the server says it.
        tab.evaluate("""(() => {
            location.hash = "post-%2Fissues";
            const form = document.getElementById("post-/issues").querySelector("form");
            form.querySelector("textarea").value = '{"title": 5}';
            form.querySelector("button").click();
        })()""")
        tab.wait_for_text(".status", "422")
        tab.wait_for_text("pre.body", "Expected `str`, got `int`")
        pictures = {}
        for scheme in ("light", "dark"):
            pictures[scheme] = tab.picture(Path(PICTURES or tmp_path) / f"docs-{scheme}-{os.getpid()}.png", 1200, 1400, scheme)
        narrow = tab.picture(Path(PICTURES or tmp_path) / f"docs-narrow-{os.getpid()}.png", 390, 900, "light")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert len({*pictures.values(), narrow}) == 3
        tab.close()
