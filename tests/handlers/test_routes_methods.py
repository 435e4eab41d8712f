"""Decorators: which path and method a handler answers, and the answers to other methods."""

from __future__ import annotations

import pytest

from outside import FilePath, Folder, OutsideHTTP, Request, Response
from support.wire import request_bytes


def test_one_decorator_for_each_method(server, start):
    @server.get("/books")
    def books(request):
        return "all books"

    @server.post("/books")
    def add(request):
        return Response(201, content=f"added {request.text}")

    @server.put("/books/1")
    def replace(request):
        return "replaced"

    @server.patch("/books/1")
    def change(request):
        return "changed"

    @server.delete("/books/1")
    def remove(request):
        return None

    running = start()
    assert running.fetch("/books").text == "all books"
    answer = running.fetch("/books", "POST", body=b"Emma")
    assert (answer.status, answer.text) == (201, "added Emma")
    assert running.fetch("/books/1", "PUT").text == "replaced"
    assert running.fetch("/books/1", "PATCH").text == "changed"
    assert running.fetch("/books/1", "DELETE").status == 204


def test_one_handler_for_several_methods(server, start):
    @server.route("/", methods=["GET", "POST"])
    def either(request):
        return request.method

    @server.route("/default")
    def default(request):
        return request.method

    running = start()
    assert running.fetch("/").text == "GET"
    assert running.fetch("/", "POST").text == "POST"
    assert running.fetch("/", "PUT").status == 405
    assert running.fetch("/default").text == "GET"
    assert running.fetch("/default", "POST").status == 405


async def told_later(request):
    return f"{request.method} {request.path}"


def told(request):
    return f"{request.method} {request.path}"


@pytest.mark.parametrize("handler", [told, told_later])
def test_methods_are_case_sensitive(server, start, handler):
    """RFC 9110 section 9.1: a handler is told the method as it was sent, and `delete` is not DELETE, or rules that stand
    in front of the server could be passed by.
    """
    server.set_route("/any", handler)
    server.get("/get")(handler)
    server.delete("/delete/<name>")(lambda name: name)
    running = start()
    for method in ("delete", "Delete", "dELETE", "get", "head", "x-own", "DELETE"):
        assert running.fetch("/any", method).text == f"{method} /any"
    for method, target in (("get", "/get"), ("Head", "/get"), ("delete", "/delete/it"), ("options", "/get")):
        answer = running.fetch(target, method)
        assert (answer.status, answer.header("Allow") is not None) == (405, True), method
    assert Request("delete", {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 1)).method == "delete"


def test_the_decorated_function_stays_the_same(server):
    def handler(request):
        return "x"

    assert server.get("/")(handler) is handler


@pytest.mark.parametrize("target", ["/books", "/books?x=1", "/b%6Foks", "/x/../books"])
def test_a_whole_path_is_answered(server, start, target):
    server.get("/books")(lambda request: "books")
    assert start().fetch(target).text == "books"


@pytest.mark.parametrize("target", ["/books/1", "/book", "/BOOKS", "//books", "/books%2F", "/"])
def test_and_nothing_beside_it(server, start, target):
    server.get("/books")(lambda request: "books")
    assert start().fetch(target).status == 404


def test_a_slash_at_the_end_is_redirected_to_the_route(server, start):
    server.get("/books/")(lambda request: "with")
    running = start()
    assert running.fetch("/books/").text == "with"
    redirected = running.fetch("/books")
    assert (redirected.status, redirected.header("Location")) == (301, "/books/")


def test_another_method_is_405_with_those_there_are(server, start):
    server.get("/books")(lambda request: "")
    server.post("/books")(lambda request: "")
    answer = start().fetch("/books", "DELETE")
    assert answer.status == 405
    assert answer.header("Allow") == "GET, HEAD, OPTIONS, POST"


def test_a_page_for_405_keeps_allow(server, start):
    server.get("/books")(lambda request: "")

    @server.errorhandler(405)
    def wrong_method(request):
        return f"not {request.method}"

    answer = start().fetch("/books", "PUT")
    assert (answer.status, answer.text, answer.header("Allow")) == (405, "not PUT", "GET, HEAD, OPTIONS")


def test_options_is_answered_by_itself(server, start):
    server.get("/books")(lambda request: "")
    answer = start().fetch("/books", "OPTIONS")
    assert (answer.status, answer.header("Allow"), answer.body) == (204, "GET, HEAD, OPTIONS", b"")


def test_options_of_ones_own(server, start):
    server.get("/books")(lambda request: "")
    server.route("/books", methods=["OPTIONS"])(lambda request: "mine")
    assert start().fetch("/books", "OPTIONS").text == "mine"


def test_get_answers_head(server, start):
    seen = []

    @server.get("/books")
    def books(request):
        seen.append(request.method)
        return "some text"

    answer = start().fetch("/books", "HEAD")
    assert (answer.status, answer.header("Content-Length"), answer.body) == (200, "9", b"")
    assert seen == ["HEAD"]


def test_head_of_ones_own(server, start):
    server.get("/books")(lambda request: "get")
    server.route("/books", methods=["HEAD"])(lambda request: Response(headers={"X-Head": "1"}))
    assert start().fetch("/books", "HEAD").header("X-Head") == "1"


def test_a_method_of_ones_own(server, start):
    server.route("/tea", methods=["BREW"])(lambda request: "brewing")
    running = start()
    assert running.fetch("/tea", "BREW").text == "brewing"
    assert running.fetch("/tea").header("Allow") == "BREW, OPTIONS"


def test_plain_routes_answer_where_no_decorated_one_does(server, start):
    server.set_route("/", lambda request: "rest")
    server.set_route("/static/logo", lambda request: "logo")
    server.get("/")(lambda request: "front page")
    server.get("/<path:page>")(lambda request, page: f"page {page}")
    running = start()
    assert running.fetch("/").text == "front page"
    assert running.fetch("/about").text == "page about"
    assert running.fetch("/static/logo").text == "logo"
    assert running.fetch("/static/logo/small").text == "logo"
    assert running.fetch("/static").text == "page static"


def test_a_route_of_a_host_goes_before(server, start):
    server.get("/who")(lambda request: "anybody")
    server.set_route("/", lambda request: "the host", host="api.example.com")
    with start().wire() as wire:
        wire.send(request_bytes("/who", headers={"Host": "api.example.com"}))
        assert wire.receive_answer().text == "the host"
        wire.send(request_bytes("/who", headers={"Host": "example.com"}))
        assert wire.receive_answer().text == "anybody"


def test_files_and_folders_by_decorator_too(server, start, site):
    server.get("/a")(FilePath(site / "a.txt"))
    server.set_route("/site", Folder(site))
    running = start()
    assert running.fetch("/a").text == "a.txt"
    assert running.fetch("/a/b").status == 404
    assert running.fetch("/site/a.txt").text == "a.txt"


def test_routes_are_added_and_removed_while_the_server_runs(server, start):
    running = start()
    assert running.fetch("/new").status == 404
    server.get("/new")(lambda request: "new")
    assert running.fetch("/new").text == "new"
    server.remove_route("/new")
    assert running.fetch("/new").status == 404
    with pytest.raises(KeyError):
        server.remove_route("/new")


def test_two_handlers_of_the_same_are_an_error_that_shows_both():
    server = OutsideHTTP(("127.0.0.1", 0))

    @server.get("/users/<int:id>")
    def first(id):
        return "first"

    with pytest.raises(ValueError) as error:

        @server.route("/users/{number:int}", methods=["POST", "GET"])
        def second(number):
            return "second"

    text = str(error.value)
    assert "/users/<int:id>" in text
    assert "/users/{number:int}" in text
    assert f"{__file__}:{first.__code__.co_firstlineno}" in text
    assert text.count(__file__) >= 2


def test_the_same_path_for_other_methods_is_no_conflict(server):
    server.get("/users/<int:id>")(lambda id: "")
    server.put("/users/<int:number>")(lambda number: "")
    server.get("/users/<name>")(lambda name: "")


@pytest.mark.parametrize("methods", [["get"], ["GE T"], [""], []], ids=repr)
def test_methods_are_upper_case(server, methods):
    with pytest.raises(ValueError, match="method"):
        server.route("/", methods=methods)(lambda request: "")


def test_forgotten_brackets_are_told_of(server):
    with pytest.raises(TypeError, match="@server.get"):

        @server.get
        def handler(request):
            return ""

    with pytest.raises(TypeError, match="list"):
        server.route("/", methods="GET")


def test_a_request_made_by_hand_has_no_route():
    request = Request("GET", {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 1))
    assert request.route is None
    assert request.path_params == {}
