"""The small public functions, the 1.5.8 homes of the names, and the names that `import outside` offers."""

from __future__ import annotations

import http
import importlib

import pytest

import outside
from outside import get_description, get_insensitive_header

HEADERS = {"Content-Type": "application/json", "X-A": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "application/json"),
        ("CONTENT-TYPE", "application/json"),
        ("Content-Type", "application/json"),
        ("x-a", "1"),
        ("X-B", None),
        ("", None),
    ],
)
def test_get_insensitive_header(name, value):
    assert get_insensitive_header(HEADERS, name) == value


def test_get_insensitive_header_of_a_request(serve):
    running = serve(lambda request: get_insensitive_header(request.headers, "x-OWN"))
    assert running.fetch("/", headers={"X-Own": "v"}).text == "v"


@pytest.mark.parametrize(
    ("code", "phrase"),
    [
        (100, "Continue"),
        (200, "OK"),
        (204, "No Content"),
        (301, "Moved Permanently"),
        (304, "Not Modified"),
        (404, "Not Found"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (421, "Misdirected Request"),
        (422, "Unprocessable Content"),
        (426, "Upgrade Required"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (505, "HTTP Version Not Supported"),
        (511, "Network Authentication Required"),
        (299, "Unknown"),
        (0, "Unknown"),
        (999, "Unknown"),
        (-1, "Unknown"),
        (10**6, "Unknown"),
    ],
)
def test_get_description(code, phrase):
    assert get_description(code) == phrase


def test_every_registered_code_has_a_phrase():
    for status in http.HTTPStatus:
        assert get_description(status) != "Unknown" or status == 418, status


def test_get_description_of_something_else():
    with pytest.raises(TypeError):
        get_description("404")


NAMES = [
    "OutsideHTTP",
    "OutsideHTTP_Redirect",
    "Request",
    "Response",
    "ScheduledResponse",
    "FilePath",
    "ResponseCookie",
    "get_insensitive_header",
    "get_description",
]


@pytest.mark.parametrize("name", NAMES)
def test_public_names(name):
    assert hasattr(outside, name)
    assert name in outside.__all__


def test_every_public_name_exists():
    for name in outside.__all__:
        assert hasattr(outside, name), name


@pytest.mark.parametrize(
    ("home", "names"),
    [
        (
            "outside.protocol_http",
            [
                "OutsideHTTP",
                "OutsideHTTP_Redirect",
                "Request",
                "Response",
                "ScheduledResponse",
                "FilePath",
                "ResponseCookie",
            ],
        ),
        ("outside.utility", ["get_insensitive_header"]),
        ("outside.code_description", ["get_description"]),
    ],
)
def test_homes_of_1_5_8(home, names):
    module = importlib.import_module(home)
    for name in names:
        assert getattr(module, name) is getattr(outside, name)


def test_code_info():
    from outside.code_description import code_info

    assert code_info[404] == "Not Found"
    assert code_info[200] == "OK"


@pytest.mark.parametrize("name", NAMES)
def test_documented(name):
    assert getattr(outside, name).__doc__


def test_version():
    assert outside.__version__
