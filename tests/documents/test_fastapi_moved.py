"""A FastAPI app and the same app moved over: one test for both, by each one's own test client."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
from openapi_spec_validator import validate

from support.harness import ROOT

FOLDER = ROOT / "examples/python/fastapi_moved"
SIGNED_IN = {"Authorization": "Bearer secret"}


def imported(name: str) -> ModuleType:
    """A fresh copy of a program, which starts with no issues."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Where pydantic looks for the names of annotations.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["fastapi_app", "outside_app"])
def program(request: pytest.FixtureRequest) -> Any:
    if request.param == "fastapi_app":
        pytest.importorskip("fastapi")
        testing = pytest.importorskip("fastapi.testclient")
    module = imported(request.param)
    if request.param == "fastapi_app":
        module.client = testing.TestClient(module.app, raise_server_exceptions=False)
    else:
        module.server.config["access_log"] = "off"
        module.client = module.server.test_client()
    yield module
    module.client.close()
    del sys.modules[request.param]


def test_an_issue_from_its_opening_to_its_end(program):
    client = program.client
    created = client.post("/issues", json={"title": "a", "labels": ["x"]}, headers=SIGNED_IN)
    assert (created.status_code, created.headers["Location"]) == (201, "/issues/1")
    issue = {"number": 1, "title": "a", "labels": ["x"], "author": "ada"}
    assert created.json() == client.get("/issues/1").json() == issue
    client.post("/issues", json={"title": "b"}, headers=SIGNED_IN)
    assert [one["title"] for one in client.get("/issues").json()] == ["a", "b"]
    assert client.get("/issues?label=x").json() == [issue]
    assert client.get("/issues?page=2").json() == []
    photo = client.post("/issues/1/photo", data={"caption": "sea"}, files={"photo": ("a.png", b"12345")})
    assert photo.json() == {"number": 1, "caption": "sea", "name": "a.png", "size": 5}
    closed = client.delete("/issues/1", headers=SIGNED_IN)
    assert (closed.status_code, closed.text) == (204, "")
    assert client.get("/issues/1").status_code == 404


def test_a_request_that_ends_badly_changes_nothing(program):
    client = program.client
    client.post("/issues", json={"title": "a"}, headers=SIGNED_IN)
    program.stored[1]["author"] = "bob"
    refused = client.delete("/issues/1", headers=SIGNED_IN)
    assert (refused.status_code, refused.json()) == (403, {"detail": "issue 1 is not yours"})
    assert client.get("/issues/1").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "text"),
    [
        ("POST", "/issues", {"json": {"title": "a"}}, 401, "sign in first"),
        ("POST", "/issues", {"json": {"title": ""}, "headers": SIGNED_IN}, 422, "title"),
        ("POST", "/issues", {"json": {"title": "a", "labels": ["b", 5]}, "headers": SIGNED_IN}, 422, "labels"),
        ("POST", "/issues", {"json": {}, "headers": SIGNED_IN}, 422, "title"),
        ("POST", "/issues", {"headers": SIGNED_IN}, 422, "body"),
        ("GET", "/issues?page=0", {}, 422, "page"),
        ("GET", "/issues?page=one", {}, 422, "page"),
        ("GET", "/issues/one", {}, 422, "number"),
        ("GET", "/issues/7", {}, 404, "no issue 7"),
        ("POST", "/issues/1/photo", {"data": {"caption": "a"}}, 422, "photo"),
        ("PUT", "/issues", {}, 405, ""),
    ],
)
def test_wrong_requests(program, method: str, path: str, options: dict, status: int, text: str):
    response = program.client.request(method, path, **options)
    assert response.status_code == status
    assert text in response.text


def test_both_describe_the_same_routes(program):
    document = program.client.get("/openapi.json").json()
    validate(document)
    assert {path: sorted(methods) for path, methods in document["paths"].items()} == {
        "/issues": ["get", "post"],
        "/issues/{number}": ["delete", "get"],
        "/issues/{number}/photo": ["post"],
    }
    [page] = [one for one in document["paths"]["/issues"]["get"]["parameters"] if one["name"] == "page"]
    assert (page["in"], page["schema"]["minimum"], page["schema"]["default"]) == ("query", 1, 1)
    assert document["components"]["schemas"]["NewIssue"]["properties"]["title"]["maxLength"] == 100
    assert program.client.get("/docs").status_code == 200


def test_a_test_replaces_the_user(program):
    if hasattr(program, "app"):
        program.app.dependency_overrides[program.signed_in] = lambda: "eve"
    else:
        program.client.override(program.signed_in, lambda: "eve")
    assert program.client.post("/issues", json={"title": "a"}).json()["author"] == "eve"
