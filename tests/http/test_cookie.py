"""ResponseCookie: the field that is written (RFC 6265 §4.1), and values that are refused because they would break it."""

from __future__ import annotations

import pytest

from outside import Response, ResponseCookie
from support.harness import shows


def written(serve, **cookies) -> list[str]:
    return serve(lambda request: Response(200, {}, "", cookies)).fetch().all("Set-Cookie")


def test_attributes_as_named():
    cookie = ResponseCookie("v", 60, "a.example", True, True, "/p", "Strict")
    assert (cookie.value, cookie.max_age, cookie.domain) == ("v", 60, "a.example")
    assert (cookie.http_only, cookie.secure, cookie.path, cookie.same_site) == (True, True, "/p", "Strict")
    plain = ResponseCookie("v")
    assert (plain.max_age, plain.domain, plain.http_only, plain.secure) == (None, None, False, False)
    assert (plain.path, plain.same_site) == (None, None)
    assert "v" in repr(plain)


def test_a_plain_cookie(serve):
    assert written(serve, a=ResponseCookie("1")) == ["a=1"]


def test_every_attribute(serve):
    (line,) = written(serve, a=ResponseCookie("1", 60, "a.example", True, True, "/p", "Lax"))
    pair, *attributes = line.split("; ")
    assert pair == "a=1"
    assert sorted(attributes) == sorted(["Max-Age=60", "Domain=a.example", "HttpOnly", "Secure", "Path=/p", "SameSite=Lax"])


def test_several_cookies_are_several_fields_in_order(serve):
    assert written(serve, b=ResponseCookie("1"), a=ResponseCookie("2")) == ["b=1", "a=2"]


def test_beside_a_set_cookie_field(serve):
    answer = serve(lambda request: Response(200, {"Set-Cookie": "x=1"}, "", {"y": ResponseCookie("2")})).fetch()
    assert sorted(answer.all("Set-Cookie")) == ["x=1", "y=2"]


def test_an_age_of_zero_deletes(serve):
    (line,) = written(serve, a=ResponseCookie("", max_age=0))
    assert "Max-Age=0" in line.split("; ")


def test_a_cookie_comes_back(serve):
    running = serve(lambda request: Response(200, {}, request.cookies.get("a", "none"), {"a": ResponseCookie("x=y")}))
    first = running.fetch()
    assert first.text == "none"
    pair = first.header("Set-Cookie").split(";")[0]
    assert running.fetch("/", headers={"Cookie": pair}).text == "x=y"


@pytest.mark.parametrize("same_site", ["Strict", "Lax", "strict", "lax"])
def test_same_site_in_any_case(serve, same_site):
    (line,) = written(serve, a=ResponseCookie("1", same_site=same_site))
    assert f"SameSite={same_site.capitalize()}" in line


def test_same_site_none_needs_secure(serve):
    (line,) = written(serve, a=ResponseCookie("1", secure=True, same_site="None"))
    assert "SameSite=None" in line
    with pytest.raises(ValueError, match="(?i)secure"):
        ResponseCookie("1", same_site="None")


BREAKERS = ["a;b", "a\r\nb", "a\nb", "a\0b", "a\x1fb", "a\x7fb"]


@pytest.mark.parametrize("text", BREAKERS, ids=repr)
@pytest.mark.parametrize("attribute", ["value", "domain", "path", "same_site"])
def test_a_value_that_would_break_the_header_is_refused(attribute, text):
    with pytest.raises(ValueError) as error:
        ResponseCookie(**{"value": "fine", attribute: text})
    assert shows(error.value, text)


@pytest.mark.parametrize(
    "arguments",
    [
        {"value": 5},
        {"value": None},
        {"value": "a", "max_age": "x"},
        {"value": "a", "domain": 5},
        {"value": "a", "path": 5},
    ],
)
def test_wrong_types_are_refused(arguments):
    with pytest.raises((TypeError, ValueError)):
        ResponseCookie(**arguments)


def test_an_unknown_same_site_is_refused():
    with pytest.raises(ValueError, match="Strict"):
        ResponseCookie("a", same_site="Sometimes")


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\r\nb", "a,b", "é"], ids=repr)
def test_a_name_that_would_break_the_header_is_one_clean_500(serve, name):
    answer = serve(lambda request: Response(200, {}, "", {name: ResponseCookie("1")})).fetch()
    assert answer.status == 500
    assert answer.all("Set-Cookie") == []


def test_a_value_changed_later_cannot_break_the_header(serve):
    def handler(request):
        cookie = ResponseCookie("fine")
        cookie.value = "a\r\nX-B: b"
        return Response(200, {}, "", {"a": cookie})

    answer = serve(handler).fetch()
    assert answer.status == 500
    assert answer.header("X-B") is None
