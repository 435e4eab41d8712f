"""`HTTPException` is an exception like any other: with subclasses of every shape, arguments by name, copies and pickles."""

from __future__ import annotations

import copy
import pickle

import pytest

from outside import HTTPException


class NotFound(HTTPException):
    def __init__(self, what):
        super().__init__(404, f"no {what}")
        self.what = what


class Named(HTTPException):
    def __init__(self, *, reason):
        HTTPException.__init__(self, code=409, message=reason)


class Plain(HTTPException):
    pass


class Fixed(HTTPException):
    """Its attributes are the class's own."""

    code = 410
    message = "gone"

    def __init__(self):
        pass


class Lookup(NotFound, LookupError):
    pass


class Changed(HTTPException):
    def __init__(self):
        super().__init__(400)
        self.code, self.message = 418, "short and stout"


class Forgetful(HTTPException):
    def __init__(self, what):
        self.what = what


RAISED = [
    (lambda: NotFound("book"), 404, "no book"),
    (lambda: Named(reason="taken"), 409, "taken"),
    (lambda: Plain(403, "no"), 403, "no"),
    (lambda: Plain(code=403), 403, None),
    (lambda: HTTPException(code=404, message="by name"), 404, "by name"),
    (lambda: HTTPException(404, message="by name"), 404, "by name"),
    (lambda: Fixed(), 410, "gone"),
    (lambda: Lookup("key"), 404, "no key"),
    (lambda: Changed(), 418, "short and stout"),
]


@pytest.mark.parametrize("with_hooks", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_each_is_answered_by_its_code(server, start, records, is_async, with_hooks):
    def fail(number):
        raise RAISED[number][0]()

    async def fail_later(number):
        fail(number)

    if with_hooks:
        server.after_request(lambda response: None)
    server.get("/<int:number>")(fail_later if is_async else fail)
    running = start()
    for number, (_, code, message) in enumerate(RAISED):
        answer = running.fetch(f"/{number}")
        assert (answer.status, answer.text.rstrip("\n").partition(": ")[2]) == (code, message or ""), number
    assert not any("Traceback" in text for text in records.texts())


def test_one_that_was_never_initialised_is_a_500_that_says_so(server, start, records):
    @server.get("/")
    def fail():
        raise Forgetful("book")

    assert start().fetch("/").status == 500
    records.wait_for("super().__init__(code, message)")
    with pytest.raises(AttributeError, match="__init__"):
        Forgetful("book").code


def test_it_has_the_attributes_of_exceptions():
    error = NotFound("book")
    error.note = "mine"
    assert (error.code, error.message, error.what, error.note, str(error)) == (404, "no book", "book", "mine", "404: no book")
    assert HTTPException(404).args == (404,)
    assert HTTPException(code=404, message="x").args == (404, "x")
    assert repr(HTTPException(404, "x")) == "HTTPException(404, 'x')"
    with pytest.raises(HTTPException) as raised:
        raise error from KeyError("book")
    assert isinstance(raised.value.__cause__, KeyError)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_can_be_copied(again):
    for error in (HTTPException(404, "x"), HTTPException(410), Plain(code=403, message="no")):
        error.note = "mine"
        other = again(error)
        assert (type(other), other.code, other.message, other.args, other.note) == (
            type(error),
            error.code,
            error.message,
            error.args,
            "mine",
        )


@pytest.mark.parametrize(
    ("arguments", "named", "kind", "says"),
    [
        ((), {}, TypeError, "code"),
        ((200,), {}, ValueError, "400 to 599, not 200"),
        (("404",), {}, TypeError, "int, not str"),
        ((404, 5), {}, TypeError, "message"),
        ((404,), {"massage": "x"}, TypeError, "massage"),
        ((404,), {"code": 404}, TypeError, "code"),
    ],
)
def test_the_wrong_arguments_are_refused(arguments, named, kind, says):
    with pytest.raises(kind, match=says):
        HTTPException(*arguments, **named)


def test_its_attributes_are_looked_at_when_they_are_set():
    error = HTTPException(404)
    with pytest.raises(ValueError, match="400 to 599, not 200"):
        error.code = 200
    with pytest.raises(TypeError):
        error.message = 5
    assert (error.code, error.message) == (404, None)
