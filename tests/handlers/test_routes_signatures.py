"""The parameters of a handler are checked when it is registered; wrong ones are refused with file and line."""

from __future__ import annotations

import functools
import json

import pytest


def line_of(function) -> str:
    return f"{__file__}:{function.__code__.co_firstlineno}"


def both(request, id):
    return [request.path, id]


def reversed_order(id, request):
    return [request.path, id]


def another_name(req, id):
    return [req.path, id]


def by_keyword(*, id, request):
    return [request.path, id]


def positional_only(request, id, /):
    return [request.path, id]


def with_default(request, id, page=1):
    return [request.path, id]


def anything(request, **named):
    return [request.path, named["id"]]


class Callable:
    def __call__(self, request, id):
        return [request.path, id]

    def method(self, request, id):
        return [request.path, id]

    @classmethod
    def of_class(cls, id, request):
        return [request.path, id]

    @staticmethod
    def static(request, id):
        return [request.path, id]


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        assert "id" in named, "what has a name is handed over by it"
        return function(*arguments, **named)

    return wrapper


@pytest.mark.parametrize(
    "handler",
    [
        both,
        reversed_order,
        another_name,
        by_keyword,
        positional_only,
        with_default,
        anything,
        Callable(),
        Callable().method,
        Callable.of_class,
        Callable.static,
        wrapped(both),
        wrapped(reversed_order),
        functools.partial(with_default, page=3),
        lambda request, id: [request.path, id],
    ],
    ids=lambda handler: getattr(handler, "__name__", type(handler).__name__),
)
def test_the_request_and_a_parameter_in_many_shapes(server, start, handler):
    server.get("/users/<int:id>")(handler)
    assert json.loads(start().fetch("/users/7").body) == ["/users/7", 7]


@pytest.mark.parametrize("handler", [lambda id: [id], lambda *, id: [id], lambda id, other=1: [id]])
def test_without_the_request(server, start, handler):
    server.get("/users/<int:id>")(handler)
    assert json.loads(start().fetch("/users/7").body) == [7]


def test_with_nothing_at_all(server, start):
    server.get("/")(lambda: "nothing")
    server.get("/default")(lambda page=1: str(page))
    server.get("/any")(lambda *arguments: arguments[0].path)
    running = start()
    assert running.fetch("/").text == "nothing"
    assert running.fetch("/default").text == "1"
    assert running.fetch("/any").text == "/any"


def no_such(request, identity):
    return ""


def too_many(request, id, name):
    return ""


def only_request(request):
    return ""


@pytest.mark.parametrize(
    ("pattern", "handler", "kind", "says"),
    [
        ("/users/<int:id>", no_such, TypeError, "no parameter 'id'"),
        ("/users/<int:id>", too_many, TypeError, "wants 'name'"),
        ("/users/<int:id>", only_request, TypeError, "no parameter 'id'"),
        ("/users", both, TypeError, "wants 'id'"),
        ("/users/<itn:id>", both, ValueError, "no converter"),
        ("/users/<integer:id>", both, ValueError, 'did you mean "int"'),
        ("/users/<int:id>-<name>", both, ValueError, "whole segment"),
        ("/users/<path:id>.json", both, ValueError, "whole segment"),
        ("/users/<int:id>/<id>", both, ValueError, "two parameters"),
        ("users/<int:id>", both, ValueError, "/users/<int:id>"),
        ("/<path:id>/<path:b>", both, ValueError, "kind path"),
        ("/<request>/<id>", both, ValueError, "'request'"),
        ("/a//<id>", both, ValueError, "empty segment"),
    ],
)
def test_the_wrong_ones_are_refused_with_their_line(server, pattern, handler, kind, says):
    with pytest.raises(kind) as error:
        server.get(pattern)(handler)
    assert says in str(error.value)
    assert line_of(handler) in str(error.value)


def test_a_refused_route_is_not_there(server, start):
    with pytest.raises(TypeError):
        server.get("/users/<int:id>")(no_such)
    assert start().fetch("/users/7").status == 404


@pytest.mark.parametrize("handler", [None, 5, "text"], ids=repr)
def test_a_handler_can_be_called(server, handler):
    with pytest.raises(TypeError):
        server.get("/")(handler)


def wants_too_much(request, response, more):
    return response


def wants_a_name(*, key):
    return None


@pytest.mark.parametrize(
    ("decorator", "function"),
    [
        ("before_request", both),
        ("after_request", wants_too_much),
        ("on_startup", only_request),
        ("on_shutdown", wants_a_name),
    ],
)
def test_other_functions_are_looked_at_too(server, decorator, function):
    with pytest.raises(TypeError) as error:
        getattr(server, decorator)(function)
    assert line_of(function) in str(error.value)
    with pytest.raises(TypeError) as error:
        server.errorhandler(404)(wants_too_much)
    assert line_of(wants_too_much) in str(error.value)
