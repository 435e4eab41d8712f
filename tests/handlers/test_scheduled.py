"""ScheduledResponse: a handler called without a server, with the same conversions and the same error handlers."""

from __future__ import annotations

import pytest

from outside import FilePath, Request, Response, ScheduledResponse

REQUEST = Request("GET", {}, b"", "HTTP/1.1", "/a?b=1", ("127.0.0.1", 5000))


def run(function, error_routes=None):
    return ScheduledResponse(REQUEST, function, error_routes or {}).run()


def raises(*_):
    raise RuntimeError("in the handler")


def test_a_response_is_handed_back():
    response = Response(201, {"X-A": "1"}, "text")
    assert run(lambda request: response) is response


def test_the_function_gets_the_request():
    seen = []
    run(lambda request: seen.append(request))
    assert seen == [REQUEST]


@pytest.mark.parametrize(
    ("value", "status", "kind"),
    [
        ("text", 200, "text/plain; charset=utf-8"),
        (b"bytes", 200, "application/octet-stream"),
        ({"a": 1}, 200, "application/json"),
        ([1], 200, "application/json"),
        (None, 204, None),
    ],
)
def test_conversions(value, status, kind):
    response = run(lambda request: value)
    assert isinstance(response, Response)
    assert response.status_code == status
    assert response.headers.get("Content-Type") in (kind, None)


def test_a_file():
    response = run(lambda request: Response(200, {}, FilePath("/missing")))
    assert isinstance(response, Response)


def page(request, message=None):
    return Response(599, {}, f"{request.url if request else None} {message}")


def test_an_exception_asks_the_handler_of_500():
    response = run(raises, {500: page})
    assert (response.status_code, response.content.split()[0]) == (599, "/a")


def test_an_answer_by_code_asks_its_handler():
    response = run(lambda request: (418, "teapot"), {418: page, 500: page})
    assert (response.status_code, response.content) == (599, "/a teapot")


def test_a_wrong_type_asks_the_handler_of_500():
    assert run(lambda request: 5, {500: page}).status_code == 599


@pytest.mark.parametrize("function", [raises, lambda request: 5, lambda request: (418, None)], ids=["raises", "type", "code"])
def test_none_when_the_error_handler_fails_as_well(function):
    assert run(function, {500: raises, 418: raises}) is None


def test_an_async_function():
    async def handler(request):
        return "async"

    response = run(handler)
    assert (response.status_code, response.content) == (200, "async")


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError):
        ScheduledResponse("request", raises, {})
    with pytest.raises(TypeError):
        ScheduledResponse(REQUEST, "function", {})


def test_repr():
    assert "ScheduledResponse" in repr(ScheduledResponse(REQUEST, raises, {}))
