"""Error handlers: for codes, for classes of exceptions, plain and async, and their arguments."""

from __future__ import annotations

import asyncio
import functools

import pytest

from outside import HTTPException, Response, Routes, abort


class Shortage(Exception):
    pass


class Hunger(Shortage):
    pass


def test_a_handler_of_a_code(server, start):
    @server.errorhandler(404)
    def nothing(request, message=None):
        return f"nothing at {request.path}: {message}"

    server.get("/tuple")(lambda: (404, "tuple"))
    server.get("/abort")(lambda: abort(404, "abort"))
    running = start()
    answers = {path: running.fetch(path) for path in ("/none", "/tuple", "/abort")}
    assert {path: (answer.status, answer.text) for path, answer in answers.items()} == {
        "/none": (404, "nothing at /none: None"),
        "/tuple": (404, "nothing at /tuple: tuple"),
        "/abort": (404, "nothing at /abort: abort"),
    }


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda: "none", "none"),
        (lambda message: f"m {message}", "m why"),
        (lambda request: f"r {request.path}", "r /"),
        (lambda request, message: f"{request.path} {message}", "/ why"),
        (lambda error: f"{type(error).__name__} {error.code} {error.message}", "HTTPException 409 why"),
        (lambda code: f"c {code}", "c 409"),
        (lambda message, code, request: f"{request.path} {code} {message}", "/ 409 why"),
        (lambda error, /, *, code: f"{error} {code}", "409: why 409"),
        (lambda **named: f"{sorted(named)}", "['code', 'error', 'message', 'request']"),
        (lambda code, extra="x": f"{code} {extra}", "409 x"),
        (lambda request, **named: f"{request.path} {sorted(named)}", "/ ['code', 'error', 'message']"),
        (lambda *arguments: f"{len(arguments)} {arguments[1]}", "2 why"),
    ],
)
@pytest.mark.parametrize("where", ["server", "group", "server with hooks"])
def test_it_gets_the_parameters_that_it_names(server, start, function, text, where):
    group = Routes("")
    (group if where == "group" else server).errorhandler(409)(function)
    if where == "server with hooks":
        server.before_request(lambda: None)
    group.get("/")(lambda: (409, "why"))
    server.mount(group)
    answer = start().fetch("/")
    assert (answer.status, answer.text) == (409, text)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_error_is_the_exception_that_was_raised(server, start, is_async):
    @server.errorhandler(500)
    @server.errorhandler(410)
    def failed(code, message, error):
        return f"{code} {message} {error!r}"

    def fail(name):
        raise {"gone": HTTPException(410, "gone"), "own": Hunger("bread")}[name]

    async def fail_later(name):
        fail(name)

    server.get("/<name>")(fail_later if is_async else fail)
    running = start()
    assert running.fetch("/gone").text == "410 gone HTTPException(410, 'gone')"
    assert running.fetch("/own").text == "500 None Hunger('bread')"


def test_a_handler_of_a_class_gets_the_parameters_that_it_names(server, start):
    server.errorhandler(Shortage)(lambda code, message, error, request: f"{request.path} {code} {message} {error}")
    server.errorhandler(HTTPException)(lambda code, message: Response(code, content=f"{code} {message}"))

    @server.get("/<name>")
    def fail(name):
        raise {"hunger": Hunger("of it"), "gone": HTTPException(410, "gone")}[name]

    running = start()
    assert running.fetch("/hunger").text == "/hunger 500 None of it"
    assert running.fetch("/gone").text == "410 gone"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda exc: "", "a parameter 'exc'"),
        (lambda e: "", "did you mean 'error'"),
        (lambda request, exception: "", "did you mean 'error'"),
        (lambda request, message, other: "", "a parameter 'other'"),
        (lambda status_code: "", "did you mean 'code'"),
        (lambda req, msg: "", "did you mean 'request'"),
        (lambda *, mesage: "", "did you mean 'message'"),
        (functools.partial(lambda one, message: "", message="x"), "a parameter 'one'"),
    ],
)
@pytest.mark.parametrize("what", [404, Shortage])
def test_other_names_are_refused_with_their_line(server, function, says, what):
    for registry in (server, Routes("/api")):
        with pytest.raises(TypeError) as refused:
            registry.errorhandler(what)(function)
        assert says in str(refused.value)
        line = getattr(function, "func", function).__code__.co_firstlineno
        assert f"{__file__}:{line}" in str(refused.value)


def test_set_errorhandler_goes_on_calling_by_position(server, start):
    server.set_errorhandler(409, lambda anything, text=None: f"{anything.path} {text}")
    server.get("/")(lambda: (409, "why"))
    assert start().fetch("/").text == "/ why"


def test_an_exception_is_handled_by_its_most_derived_class(server, start):
    for kind in (Exception, Hunger, Shortage):
        server.errorhandler(kind)(lambda error, kind=kind: Response(418, content=f"{kind.__name__}: {error}"))

    @server.get("/<name>")
    def fail(name):
        raise {"hunger": Hunger, "shortage": Shortage, "other": RuntimeError}[name]("of it")

    running = start()
    assert running.fetch("/hunger").text == "Hunger: of it"
    assert running.fetch("/shortage").text == "Shortage: of it"
    assert running.fetch("/other").text == "Exception: of it"
    assert running.fetch("/none").text == "Exception: 'none'"


def test_plain_routes_have_them_as_well(server, start):
    server.errorhandler(Shortage)(lambda request, error: Response(507, content=request.path))

    def fail(request):
        raise Hunger

    server.set_route("/plain", fail)
    answer = start().fetch("/plain")
    assert (answer.status, answer.text) == (507, "/plain")


@pytest.mark.parametrize("is_async", [False, True])
def test_async_handlers_and_async_error_handlers(server, start, is_async):
    @server.errorhandler(Shortage)
    async def shortage(error):
        await asyncio.sleep(0)
        return Response(507, content="awaited")

    @server.errorhandler(404)
    async def nothing(message):
        await asyncio.sleep(0)
        return f"awaited {message}"

    if is_async:

        @server.get("/<name>")
        async def handler(name):
            await asyncio.sleep(0)
            return handle(name)

    else:
        server.get("/<name>")(lambda name: handle(name))

    def handle(name):
        if name == "raise":
            raise Hunger
        return 404, name

    running = start()
    assert (running.fetch("/raise").status, running.fetch("/raise").text) == (507, "awaited")
    assert (running.fetch("/tuple").status, running.fetch("/tuple").text) == (404, "awaited tuple")
    assert running.fetch("/no/such").text == "awaited None"


def test_a_code_goes_before_the_class_of_its_exception(server, start):
    server.errorhandler(Exception)(lambda error: Response(500, content="any"))
    server.errorhandler(404)(lambda message: f"code {message}")
    server.get("/<int:code>")(lambda code: abort(code, "asked for"))
    running = start()
    assert running.fetch("/404").text == "code asked for"
    assert running.fetch("/409").text == "any"


def test_abort_can_be_handled_by_its_class(server, start):
    server.errorhandler(HTTPException)(lambda error: Response(error.code, content=f"mine {error.message}"))
    server.get("/")(lambda: abort(410, "gone"))
    answer = start().fetch("/")
    assert (answer.status, answer.text) == (410, "mine gone")


def test_without_a_handler_the_cause_goes_to_the_log_alone(server, start, records):
    server.errorhandler(Shortage)(lambda error: "never")

    @server.get("/")
    def fail():
        raise RuntimeError("secret of the handler")

    answer = start().fetch("/")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert "GET /" in records.wait_for("secret of the handler").whole


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        ("text", 500, "text"),
        (Response(202, content="fine"), 202, "fine"),
        ((404, "as a code"), 404, "404 Not Found: as a code\n"),
        (5, 500, "500 Internal Server Error\n"),
    ],
)
def test_values_that_the_handler_of_an_exception_returns(server, start, value, status, text):
    server.errorhandler(Shortage)(lambda error: value)

    @server.get("/")
    def fail():
        raise Shortage

    answer = start().fetch("/")
    assert (answer.status, answer.text) == (status, text)


def test_one_that_fails_itself_is_the_built_in_page(server, start, records):
    @server.errorhandler(Shortage)
    def fails(error):
        raise RuntimeError("secret of the error handler")

    @server.get("/")
    def fail():
        raise Shortage

    answer = start().fetch("/")
    assert (answer.status, answer.text) == (500, "500 Internal Server Error\n")
    records.wait_for("secret of the error handler")


@pytest.mark.parametrize("what", [200, 399, 600, "404", None, True, int, BaseException, KeyboardInterrupt, ValueError()])
def test_wrong_keys_of_error_handlers(server, what):
    with pytest.raises((TypeError, ValueError)):
        server.errorhandler(what)(lambda: "")


def test_the_limit_that_a_form_has_passed_is_named_in_the_log(server, start, records):
    server.config["max_form_fields"] = 2
    server.after_request(lambda response: response.headers.update({"X-After": "1"}))
    server.post("/")(lambda request: str(len(request.form)))
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = start().fetch("/", "POST", fields, b"a=1&b=2&c=3")
    assert (answer.status, answer.header("X-After")) == (413, "1")
    records.wait_for("max_form_fields")


def test_it_is_also_one_of_set_errorhandler(server):
    @server.errorhandler(404)
    def nothing(request, message=None):
        return "nothing"

    assert server._error_routes == {404: nothing}
    server.remove_errorhandler(404)
    assert server._error_routes == {}
