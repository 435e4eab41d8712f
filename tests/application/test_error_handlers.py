"""Errors: the handler of every code, those of groups, problem documents, the built-in page."""

from __future__ import annotations

import pytest

from outside import HTTPException, OutsideHTTP, Response, Routes, abort


@pytest.fixture
def server(server: OutsideHTTP) -> OutsideHTTP:
    server.config["access_log"] = "off"
    return server


def test_a_handler_of_every_code(server):
    @server.errorhandler()
    def any_error(request, code, message, error):
        return f"{code} {message} {type(error).__name__} {request.path}"

    server.get("/abort")(lambda: abort(410, "gone"))
    server.get("/pair")(lambda: (409, "twice"))
    server.get("/raise")(lambda: 1 / 0)
    server.get("/body")(lambda: Response(418, content="own"))
    client = server.test_client()
    found = {
        path: (answer.status_code, answer.text)
        for path in ("/abort", "/pair", "/raise", "/body", "/none")
        for answer in [client.get(path)]
    }
    assert found == {
        "/abort": (410, "410 gone HTTPException /abort"),
        "/pair": (409, "409 twice HTTPException /pair"),
        "/raise": (500, "500 None ZeroDivisionError /raise"),
        "/body": (418, "own"),
        "/none": (404, "404 None HTTPException /none"),
    }
    assert client.post("/abort").text == "405 None HTTPException /abort"
    assert client.post("/abort").headers["Allow"]


def test_a_closer_handler_comes_first(server):
    group = Routes("/group")
    group.get("/a")(lambda: abort(404))
    group.get("/b")(lambda: abort(410))
    group.get("/c")(lambda: int("x"))
    group.errorhandler(410)(lambda: "group 410")
    server.mount(group)
    server.errorhandler()(lambda code: f"any {code}")
    server.errorhandler(404)(lambda: "server 404")
    server.errorhandler(ValueError)(lambda: (422, "no number"))
    client = server.test_client()
    assert [client.get(path).text for path in ("/group/a", "/group/b", "/group/c", "/x")] == [
        "server 404",
        "group 410",
        "any 422",
        "server 404",
    ]


def test_a_group_owns_404_and_405_below_its_prefix(server):
    group, inner = Routes("/api"), Routes("/v2")
    group.get("/a")(lambda: "a")
    group.errorhandler(404)(lambda request: {"none": request.path})
    group.errorhandler(405)(lambda: {"no": "method"})
    inner.errorhandler(404)(lambda: {"inner": True})
    group.mount(inner)
    server.mount(group)
    client = server.test_client()
    assert client.get("/api/none").json() == {"none": "/api/none"} and client.get("/api/none").status_code == 404
    assert client.post("/api/a").json() == {"no": "method"} and "GET" in client.post("/api/a").headers["Allow"]
    assert client.get("/api/v2/x").json() == {"inner": True}
    assert "404 Not Found" in client.get("/apis").text and "404 Not Found" in client.get("/").text


def test_a_group_with_a_parameter_in_its_prefix(server):
    group = Routes("/users/<int:id>")
    group.get("/a")(lambda id: "a")
    group.errorhandler(404)(lambda: "no such page of a user")
    server.mount(group)
    assert server.test_client().get("/users/7/b").text == "no such page of a user"


def test_problem_documents_for_clients_that_ask_for_json(server):
    server.config["errors"] = "problem"
    client = server.test_client()
    for accept, media_type in [
        ("application/json", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ("application/json, text/html", "application/problem+json"),
        ("text/html;q=0.5, application/json", "application/problem+json"),
        ("text/html, application/json", "text/html; charset=utf-8"),
        ("text/html, application/json;q=0.9", "text/html; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
    ]:
        assert client.get("/none", headers={"Accept": accept}).headers["Content-Type"] == media_type, accept
    server.get("/abort")(lambda: abort(409, "it is taken"))
    problem = client.get("/abort", headers={"Accept": "application/json"})
    assert problem.json() == {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "it is taken"}
    assert problem.headers.get_all("Content-Type") == ["application/problem+json"]


def test_a_page_says_what_happened_and_a_way_on(server):
    page = server.test_client().get("/none", headers={"Accept": "text/html"}).text
    assert "There is no page at this address." in page and 'href="/"' in page


def test_in_debug_mode_a_404_has_the_nearest_routes(server):
    server.config["debug"] = True
    for path in ("/users/{id}", "/user", "/orders"):
        server.get(path)(lambda **_: "x")
    text = server.test_client().get("/usr").text
    assert "the nearest: GET /user, GET /users/{id}" in text
    server.config["debug"] = False
    assert "nearest" not in server.test_client().get("/usr").text


class Taken(HTTPException):
    """An exception of the program."""

    def __init__(self, name: str) -> None:
        super().__init__(code=409, message=f"{name} is taken")
        self.name = name


def test_http_exceptions_by_name_and_subclassed(server):
    server.get("/a")(lambda: (_ for _ in ()).throw(Taken("ann")))
    server.get("/b")(lambda: (_ for _ in ()).throw(HTTPException(message="no", code=403)))
    client = server.test_client()
    assert (client.get("/a").status_code, client.get("/b").status_code) == (409, 403)
    assert "ann is taken" in client.get("/a").text
    server.errorhandler(Taken)(lambda error: (error.code, error.name))
    assert server.test_client().get("/a").status_code == 409


@pytest.mark.parametrize("name", ["exception", "status", "request2"])
def test_another_name_is_refused_at_registration(server, name):
    with pytest.raises(TypeError, match=r"test_error_handlers|<string>"):
        server.errorhandler()(eval(f"lambda {name}: 'x'"))
