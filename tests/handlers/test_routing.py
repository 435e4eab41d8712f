"""Which handler answers: the paths below a route, longest match, changes while the server runs, arguments refused."""

from __future__ import annotations

import functools
import threading

import pytest

from outside import OutsideHTTP, Response
from support.harness import shows


def says(text: str):
    return lambda request: text


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/files", "files"),
        ("/files/", "files"),
        ("/files/a.txt", "files"),
        ("/files/a/b", "files"),
        ("/files?x", "files"),
        ("/files/deep", "deep"),
        ("/files/deep/er", "deep"),
        ("/files/deeper", "files"),
        ("/filesystem", "root"),
        ("/file", "root"),
        ("/FILES", "root"),
        ("/", "root"),
        ("/files/../other", "root"),
        ("/other/../files", "files"),
        ("/files%2Fdeep", "root"),
        ("/f%69les", "files"),
    ],
)
def test_longest_match(serve, target, route):
    running = serve({"/": says("root"), "/files": says("files"), "/files/deep": says("deep")})
    assert running.fetch(target).text == route


def test_a_path_without_a_route(serve):
    assert serve({"/a": says("a")}).fetch("/b").status == 404


def test_a_route_set_again_is_replaced(serve):
    running = serve({"/a": says("old")})
    running.server.set_route("/a", says("new"))
    assert running.fetch("/a").text == "new"
    assert list(running.server._routes) == ["/a"]


def test_routes_change_while_the_server_runs(serve):
    running = serve({"/a": says("a")})
    assert running.fetch("/b").status == 404
    running.server.set_route("/b", says("b"))
    assert running.fetch("/b").text == "b"
    running.server.remove_route("/b")
    assert running.fetch("/b").status == 404


def test_routes_change_on_a_kept_connection(serve):
    running = serve({"/a": says("a")})
    request = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
    with running.wire() as wire:
        assert wire.send(request).receive_answer().text == "a"
        running.server.remove_route("/a")
        assert wire.send(request).receive_answer().status == 404
        running.server.set_route("/a", says("again"))
        assert wire.send(request).receive_answer().text == "again"


def test_routes_change_from_within_a_handler_and_from_threads(serve):
    def grow(request):
        running.server.set_route("/grown", says("grown"))
        return "set"

    running = serve({"/grow": grow})
    assert running.fetch("/grow").text == "set"
    assert running.fetch("/grown").text == "grown"
    threads = [threading.Thread(target=running.server.set_route, args=(f"/t{i}", says(str(i)))) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [running.fetch(f"/t{i}").text for i in range(16)] == [str(i) for i in range(16)]


def test_removing_an_unknown_route_names_the_known_ones():
    server = OutsideHTTP(("127.0.0.1", 0))
    server.set_route("/known", says(""))
    with pytest.raises(KeyError) as error:
        server.remove_route("/unknwon")
    assert "/known" in str(error.value)
    assert "/unknwon" in str(error.value)


def test_routes_are_shown_as_a_copy():
    server = OutsideHTTP(("127.0.0.1", 0))
    handler = says("a")
    server.set_route("/a", handler)
    shown = server._routes
    assert isinstance(shown, dict)
    assert shown == {"/a": handler}
    shown.clear()
    assert server._routes == {"/a": handler}


class Callable:
    def __call__(self, request):
        return "object"

    def method(self, request):
        return "method"


def _plain(prefix, request):
    return prefix


@pytest.mark.parametrize(
    ("handler", "text"),
    [(Callable(), "object"), (Callable().method, "method"), (functools.partial(_plain, "partial"), "partial")],
    ids=["object", "method", "partial"],
)
def test_every_callable_is_a_handler(serve, handler, text):
    assert serve(handler).fetch().text == text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_the_handler_gets_every_method(serve, method):
    assert serve(lambda request: request.method).fetch("/", method).text == method


def test_the_body_of_an_answer_to_head_is_dropped(serve):
    seen = []

    def handler(request):
        seen.append(request.method)
        return Response(200, {}, "body")

    answer = serve(handler).fetch("/", "HEAD")
    assert (answer.status, answer.header("Content-Length"), answer.body) == (200, "4", b"")
    assert seen == ["HEAD"]


@pytest.mark.parametrize("route", ["", "hello", "http://a/", "/a?b", "/a#b", "/a\r\nb", "/a\0"])
def test_a_malformed_route_is_refused_at_once(route):
    with pytest.raises(ValueError) as error:
        OutsideHTTP(("127.0.0.1", 0)).set_route(route, says(""))
    assert shows(error.value, route)


@pytest.mark.parametrize("route", [None, 5, b"/a", ["/a"]])
def test_a_route_is_a_string(route):
    with pytest.raises(TypeError):
        OutsideHTTP(("127.0.0.1", 0)).set_route(route, says(""))


@pytest.mark.parametrize("handler", [None, 5, "text", {"a": 1}])
def test_a_handler_can_be_called(handler):
    with pytest.raises(TypeError) as error:
        OutsideHTTP(("127.0.0.1", 0)).set_route("/a", handler)
    assert type(handler).__name__ in str(error.value)
